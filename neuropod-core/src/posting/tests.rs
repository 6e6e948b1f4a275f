//! What is posted when a month ends. In these tests it is 1970.

use super::*;

fn time(s: &str) -> Time {
    s.parse().unwrap()
}

#[test]
fn months_begin_at_midnight_in_utc() {
    assert_eq!(
        month(time("2026-12-31T23:59:59.999999Z")),
        (time("2026-12-01T00:00:00Z"), time("2027-01-01T00:00:00Z"))
    );
    assert_eq!(
        month(time("2028-02-01T00:00:00Z")),
        (time("2028-02-01T00:00:00Z"), time("2028-03-01T00:00:00Z"))
    );
}

#[test]
fn an_account_is_looked_at_a_minute_after_its_month() {
    let payer = AccountId::from("user:x");
    assert_eq!(
        wake(&payer, time("2026-12-31T23:59:59Z")),
        Wake {
            key: WorkKey::Account(payer),
            at: time("2027-01-01T00:01:00Z"),
        }
    );
}

#[test]
fn a_run_is_read_for_the_generation_it_was_opened_for() {
    let mut pod = crate::fixture::running();
    pod.generation = 3;
    let readings = readings(&AccountId::from("user:x"), &[pod], Time::EPOCH);
    let generations = readings.iter().map(|r| (r.meter, r.generation));
    let pod = crate::id::PodId::from_bytes([1; 8]);
    assert!(generations.eq([(Meter::Run(pod, 1), 1), (Meter::Volume(pod), 3)]));
}

#[cfg(feature = "testing")]
mod at_the_end_of_a_month {
    use super::*;
    use crate::fixture::running;
    use crate::money::Money;
    use crate::scene::Scene;
    use crate::store::{Posted, TransferQuery};
    use crate::{Clock, Store};

    const FEBRUARY: &str = "1970-02-01T00:00:00Z";

    /// One pass over the pods' payer, on the first of February.
    async fn posted(pods: &[Pod]) -> (Scene, AccountId) {
        let scene = Scene::new().await;
        let payer = AccountId::from("user:x");
        let new = |pod: &Pod| Pod {
            version: 0,
            ..pod.clone()
        };
        let changes = Changes {
            pods: pods.iter().map(new).collect(),
            wakes: vec![wake(&payer, scene.core().clock.now())],
            ..Changes::default()
        };
        scene.store.commit(&changes).await.unwrap();
        let due = scene.due(&WorkKey::Account(payer.clone())).unwrap();
        tokio::time::advance(due).await;
        let work = scene.claim(&WorkKey::Account(payer.clone())).await;
        pass(scene.core(), &payer, &Claimed::new(work))
            .await
            .unwrap();
        (scene, payer)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_is_posted_as_of_its_last_instant() {
        let pod = running();
        let (scene, payer) = posted(std::slice::from_ref(&pod)).await;
        let meters = [Meter::Run(pod.id, 1), Meter::Volume(pod.id)];
        let open = |total| {
            Some(Posted {
                total: Money::from_micros(total),
                closed: false,
            })
        };
        // It is charged from second 1, its volume from second 2.
        let secs = |from: u64| {
            let since = crate::fixture::at(from);
            i64::try_from(time(FEBRUARY).since(since).as_secs()).unwrap()
        };
        assert_eq!(
            scene.store.meters(&meters).await.unwrap(),
            [open(secs(1) * 1_000_000), open(secs(2) * 1_000)]
        );
        let all = TransferQuery {
            account: payer.clone(),
            after: None,
            limit: 10,
        };
        let transfers = scene.store.transfers(&all).await.unwrap().items;
        assert!(transfers.iter().all(|t| t.at == time(FEBRUARY)));
        let account = WorkKey::Account(payer);
        let next = time("1970-03-01T00:01:00Z").since(scene.core().clock.now());
        assert_eq!(scene.due(&account), Some(next));
    }

    #[tokio::test(start_paused = true)]
    async fn who_pays_for_nothing_is_not_looked_at_again() {
        let mut pod = running();
        pod.run.as_mut().unwrap().terms.payer = AccountId::from("user:y");
        pod.volume.as_mut().unwrap().payer = AccountId::from("user:y");
        let (scene, payer) = posted(&[pod]).await;
        assert_eq!(scene.due(&WorkKey::Account(payer)), None);
    }
}
