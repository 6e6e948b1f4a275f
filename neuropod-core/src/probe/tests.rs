use super::*;
use crate::fixture::{at, running};
use crate::pod::Phase;

fn device(id: &str, healthy: bool) -> Device {
    Device {
        id: DeviceId::from(id),
        product: "x".to_owned(),
        memory_mib: 1,
        healthy,
    }
}

#[test]
fn a_device_is_lost_at_its_second_bad_probe_in_a_row_since_its_last_good_one() {
    let mut known = Probed::default();
    let mut lost = |seconds: u64, healthy: bool| {
        let (after, lost) = known.next(&[device("a", true), device("b", healthy)], at(seconds));
        known = after;
        lost.into_iter().collect::<Vec<_>>()
    };
    let b = |good| vec![(DeviceId::from("b"), at(good))];
    assert_eq!(lost(30, true), []);
    assert_eq!(lost(60, false), []);
    assert_eq!(lost(90, true), [], "once is not enough");
    assert_eq!(lost(120, false), []);
    assert_eq!(lost(150, false), b(90));
    assert_eq!(lost(180, false), b(90), "until it is taken away");
    assert_eq!(lost(210, true), []);
    // One that the backend does not know is not told to be broken.
    let (after, gone) = known.next(&[device("a", true)], at(240));
    assert_eq!((after.bad.len(), gone.len()), (0, 0));
}

#[test]
fn a_run_is_charged_to_the_last_good_probe_of_what_it_lost() {
    let mut pod = running();
    pod.devices = vec![DeviceId::from("a"), DeviceId::from("b")];
    let lost = DeviceId::from("b");
    let after = without(&pod, &lost, at(90)).unwrap();
    assert_eq!(after.devices, [DeviceId::from("a")]);
    assert_eq!(after.run.as_ref().unwrap().cutoff, Some(at(90)));
    assert_eq!(
        (after.phase(), after.reason),
        (Phase::Stopping, Some(Reason::GpuLost))
    );
    assert!(
        after.message.as_ref().unwrap().contains("GPU b"),
        "{after:?}"
    );
    assert_eq!(without(&after, &lost, at(90)), None, "once");

    // What its owner has ended already he has ended.
    let mut stopped = pod.clone();
    wish::stop(&mut stopped, Reason::User, at(100));
    let after = without(&stopped, &lost, at(90)).unwrap();
    assert_eq!(after.reason, Some(Reason::User));
    assert_eq!(after.run.unwrap().cutoff, Some(at(90)));
}

#[cfg(feature = "testing")]
mod over_a_scene {
    use std::time::Duration;

    use super::*;
    use crate::auth::Identity;
    use crate::money::price;
    use crate::scene::Scene;
    use crate::store::Meter;
    use crate::{Launch, Store, sweep};

    /// So many sweeps.
    async fn sweeps(scene: &Scene, n: u32) {
        for _ in 0..n * 7 {
            tokio::time::advance(Duration::from_secs(5)).await;
            scene.platform.run_until_idle().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_gpu_ends_the_run_that_has_it_and_is_nobodys_for_an_hour() {
        let scene = Scene::new().await;
        let gpu = DeviceId::from("GPU-1");
        let ask = || Launch::image("there").gpu("rtx-4050");
        let id = scene.launch(ask()).await;
        sweeps(&scene, 2).await;
        assert_eq!(scene.pod(id).await.phase(), Phase::Running);

        scene.engine.break_device(&gpu, true);
        sweeps(&scene, 1).await;
        scene.engine.break_device(&gpu, false);
        sweeps(&scene, 2).await;
        let pod = scene.pod(id).await;
        assert_eq!(pod.phase(), Phase::Running, "it was bad once: {pod:?}");

        let good = sweep::last(scene.core()).await.unwrap().listed_at;
        scene.engine.break_device(&gpu, true);
        sweeps(&scene, 3).await;
        let paid = scene.store.meters(&[Meter::Run(id, 1)]).await.unwrap();
        let from = pod.run.unwrap().charged_from.unwrap();
        let expected = price(pod.terms.run_rate, good.since(from));
        assert_eq!(
            paid[0].as_ref().map(|p| (p.total, p.closed)),
            Some((expected, true))
        );
        let pod = scene.pod(id).await;
        assert_eq!(pod.reason, Some(Reason::GpuLost), "{pod:?}");
        assert_eq!((pod.phase(), pod.run.is_some()), (Phase::Error, false));

        // However well it looks from now on.
        scene.engine.break_device(&gpu, false);
        let next = scene.launch(ask()).await;
        sweeps(&scene, 2).await;
        assert_eq!(scene.pod(next).await.phase(), Phase::Queued);
        tokio::time::advance(QUARANTINE).await;
        sweeps(&scene, 8).await;
        assert_eq!(scene.pod(next).await.phase(), Phase::Running);
        scene
            .platform
            .delete(&Identity::local(), next)
            .await
            .unwrap();
    }
}
