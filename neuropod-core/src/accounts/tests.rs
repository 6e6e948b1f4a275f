//! What becomes of accounts that run dry, on a paused clock; and what is posted when a month ends. In these tests it is 1970.

use super::*;
use crate::auth::Identity;
use crate::billing::Credit;
use crate::id::PodId;
use crate::money::Money;
use crate::pod::{Desired, Phase, Reason};
use crate::scene::Scene;
use crate::store::{EventQuery, Meter, Posted, TransferQuery};
use crate::{Clock, Launch, Store};

fn time(s: &str) -> Time {
    s.parse().unwrap()
}

mod at_the_end_of_a_month {
    use super::*;
    use crate::fixture::running;

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
            accounts: vec![crate::store::AccountChange {
                id: payer.clone(),
                unlimited: true,
            }],
            wakes: vec![Wake {
                key: WorkKey::Account(payer.clone()),
                at: posting::next(scene.core().clock.now()),
            }],
            ..Changes::default()
        };
        scene.store.commit(&changes).await.unwrap();
        let due = scene.due(&WorkKey::Account(payer.clone())).unwrap();
        tokio::time::advance(due).await;
        let work = scene.claim(&WorkKey::Account(payer.clone())).await;
        super::super::pass(scene.core(), &payer, &Claimed::new(work))
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
                until: Some(time(FEBRUARY)),
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

mod run_dry {
    use super::*;
    use crate::budget::Period;

    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 3_600;

    /// A client who has these euros. A pod with an `rtx-4050` and the usual disks takes five of them an hour.
    async fn client(scene: &Scene, n: u8, euros: i64) -> Identity {
        let mut who = Identity::local();
        who.user.id = crate::id::UserId::from_bytes([n; 12]);
        who.user.role = crate::user::Role::Client;
        fund(scene, &who, "given", euros * 1_000_000).await;
        who
    }

    async fn fund(scene: &Scene, who: &Identity, id: &str, micros: i64) {
        let credit = Credit {
            id: format!("{id}/{}", who.user.id),
            account: AccountId::of(who.user.id),
            from: AccountId::from("funding"),
            amount: Money::from_micros(micros),
            memo: String::new(),
            actor: None,
            at: scene.core().clock.now(),
        };
        scene.platform.book(&credit).await.unwrap();
    }

    fn ask(gpu: &str) -> Launch {
        Launch::image("there").gpu(gpu).disks(10, 20)
    }

    /// A pod of `who` that was started just now.
    async fn running_pod(scene: &Scene, who: &Identity, gpu: &str) -> PodId {
        let pod = scene.platform.launch(who, &ask(gpu)).await.unwrap();
        scene.platform.run_until_idle().await.unwrap();
        pod.id
    }

    /// Lets every loop do its work as it comes due, for so long.
    async fn pass_time(scene: &Scene, secs: u64) {
        let until = scene.core().clock.now() + Duration::from_secs(secs);
        loop {
            scene.platform.run_until_idle().await.unwrap();
            let now = scene.core().clock.now();
            let due = scene.store.ready().into_iter().map(|(at, _)| at);
            let next = due.filter(|at| *at > now).chain([until]).min().unwrap();
            tokio::time::advance(next.min(until).since(now)).await;
            if next >= until {
                return scene.platform.run_until_idle().await.unwrap();
            }
        }
    }

    /// What the events of that kind say, and when they came after `from`.
    async fn told(scene: &Scene, kind: EventKind, from: Time) -> Vec<(serde_json::Value, u64)> {
        let all = EventQuery {
            after: None,
            limit: 1000,
        };
        let events = scene.store.events(&all).await.unwrap().events;
        let events = events.into_iter().map(|event| event.event);
        let events = events.filter(|event| event.kind == kind);
        events
            .map(|event| (event.body, event.at.since(from).as_secs()))
            .collect()
    }

    async fn notices(scene: &Scene, from: Time) -> Vec<(Rung, u64)> {
        let told = told(scene, EventKind::LowBalance, from).await.into_iter();
        let rung = |body: serde_json::Value| serde_json::from_value(body["rung"].clone()).unwrap();
        told.map(|(body, at)| (rung(body), at)).collect()
    }

    async fn left(scene: &Scene, who: &Identity) -> Balance {
        let account = AccountId::of(who.user.id);
        let now = scene.core().clock.now();
        scene
            .platform
            .billing()
            .balance(&account, now)
            .await
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn step_by_step_until_nothing_is_left() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let id = running_pod(&scene, &who, "rtx-4050").await;
        let started = scene.pod(id).await.run.unwrap().charged_from.unwrap();
        pass_time(&scene, 2 * 3_600 + 5).await;

        let pod = scene.pod(id).await;
        assert_eq!(
            (pod.phase(), pod.reason),
            (Phase::Stopped, Some(Reason::LowBalance))
        );
        // The volume counts from the same instant: two hours cost ten euros exactly.
        let dry = started + Duration::from_secs(2 * 3_600);
        let kept = pod.volume.clone().unwrap().kept_until.unwrap();
        assert_eq!(kept.since(dry).as_secs(), 7 * DAY);
        let balance = left(&scene, &who).await;
        assert_eq!(balance.left(), Money::ZERO);
        assert_eq!(balance.posted, Money::ZERO);

        // Events are kept for seven days.
        let mut told = notices(&scene, started).await;
        pass_time(&scene, 8 * DAY).await;
        assert!(scene.pod(id).await.is_tombstone());
        let gone = scene.pod(id).await.deleted_at.unwrap();
        assert_eq!(gone.since(kept).as_secs(), 0);
        told.extend(notices(&scene, started).await.into_iter().skip(1));
        let expected = [
            (Rung::Low, 60 * MINUTE),
            (Rung::ThirtyMinutes, 90 * MINUTE),
            (Rung::TenMinutes, 110 * MINUTE),
            (Rung::TwoMinutes, 118 * MINUTE),
            (Rung::Dry, 120 * MINUTE),
            (Rung::LastNotice, 120 * MINUTE + 6 * DAY),
        ];
        assert_eq!(told, expected);
        let balance = left(&scene, &who).await;
        assert_eq!(
            (balance.posted, balance.burn_per_hour),
            (Money::ZERO, Money::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn money_that_comes_in_time_keeps_the_volume() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 5).await;
        let id = scene
            .platform
            .launch(&who, &ask("rtx-4050"))
            .await
            .unwrap()
            .id;
        pass_time(&scene, 3_600 + 2 * DAY).await;
        let pod = scene.pod(id).await;
        assert!(pod.volume.as_ref().unwrap().kept_until.is_some());

        // Less than a minute of it costs is no help.
        fund(&scene, &who, "crumb", 10_000).await;
        pass_time(&scene, 60).await;
        assert!(scene.pod(id).await.volume.unwrap().kept_until.is_some());
        fund(&scene, &who, "more", 6_990_000).await;
        pass_time(&scene, 3_600).await;
        let pod = scene.pod(id).await;
        assert_eq!(
            pod.desired,
            Desired::Stopped,
            "it starts when its owner says so"
        );
        assert_eq!(pod.volume.unwrap().kept_until, None);
        // An hour of the volume.
        assert_eq!(
            left(&scene, &who).await.left(),
            Money::from_micros(5_000_000)
        );
        scene.platform.start(&who, id).await.unwrap();
        pass_time(&scene, 1_800).await;
        let (pod, balance) = (scene.pod(id).await, left(&scene, &who).await);
        assert_eq!(pod.phase(), Phase::Running);
        assert_eq!(balance.left(), Money::from_micros(2_500_000));
        let dry = balance.runs_dry_at.unwrap().since(scene.core().clock.now());
        assert_eq!(dry.as_secs(), 1_800);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_runs_on_it_or_waits_for_it_is_stopped_at_once() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 20).await;
        let other = client(&scene, 8, 100).await;
        let mut pods = Vec::new();
        for gpu in ["rtx-4050", "rtx-4050", "cpu"] {
            let launched = scene.platform.launch(&who, &ask(gpu)).await.unwrap();
            scene.platform.run_until_idle().await.unwrap();
            pods.push(launched.id);
        }
        let theirs = scene.platform.launch(&other, &ask("cpu")).await.unwrap().id;
        scene.platform.run_until_idle().await.unwrap();
        assert_eq!(scene.pod(pods[1]).await.phase(), Phase::Queued);
        let dry = left(&scene, &who).await.runs_dry_at.unwrap();
        pass_time(&scene, dry.since(scene.core().clock.now()).as_secs()).await;
        assert_eq!(scene.pod(pods[0]).await.phase(), Phase::Running);
        pass_time(&scene, 5).await;
        for id in pods {
            let pod = scene.pod(id).await;
            assert_eq!(
                (pod.phase(), pod.reason),
                (Phase::Stopped, Some(Reason::LowBalance))
            );
            assert_eq!(pod.hold, None);
        }
        assert_eq!(scene.pod(theirs).await.phase(), Phase::Running);
        assert_eq!(left(&scene, &who).await.runs_dry_at, None);
    }

    /// The pass over the account is late: nothing past the instant at which the balance ran out is charged, whatever else
    /// was written meanwhile.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_charged_past_that_instant_however_late_the_pass_is() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let one = running_pod(&scene, &who, "rtx-4050").await;
        tokio::time::advance(Duration::from_secs(3 * 3_600)).await;
        // Its own pass comes first, and finds that it has ended.
        scene.engine.kill_containers(one);
        let work = WorkKey::Pod(one);
        let wake = Wake {
            key: work.clone(),
            at: scene.core().clock.now(),
        };
        let woken = Changes {
            wakes: vec![wake],
            ..Changes::default()
        };
        scene.store.commit(&woken).await.unwrap();
        let claimed = Claimed::new(scene.claim(&work).await);
        reconcile::pass(scene.core(), one, &claimed).await.unwrap();
        assert!(
            scene.pod(one).await.run.is_some(),
            "what comes first has not happened"
        );
        pass_time(&scene, 30).await;
        let pod = scene.pod(one).await;
        assert!(pod.run.is_none());
        let run = scene.store.meters(&[Meter::Run(one, 1)]).await.unwrap()[0].unwrap();
        assert_eq!(run.total, Money::from_micros(6_000_000), "two hours");
        assert_eq!(left(&scene, &who).await.left(), Money::ZERO);
    }

    /// Money that comes while a pass is looking is not overlooked: what the pass has found is no longer so.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_stopped_for_a_payer_who_has_money_by_then() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let id = running_pod(&scene, &who, "rtx-4050").await;
        tokio::time::advance(Duration::from_secs(2 * 3_600 + 60)).await;
        let (store, account) = (scene.store.clone(), AccountId::of(who.user.id));
        let mut given = false;
        let at = scene.core().clock.now();
        let payer = account.clone();
        scene.plan(move |operation| {
            // The last that is read before the pass writes what it has found.
            if operation == "documents" && !std::mem::replace(&mut given, true) {
                let more = crate::store::Transfer {
                    id: "meanwhile".to_owned(),
                    debit: AccountId::from("funding"),
                    credit: payer.clone(),
                    amount: euros(100),
                    memo: String::new(),
                    actor: None,
                    at,
                    charge: None,
                };
                let changes = Changes {
                    touch: vec![payer.clone()],
                    transfers: vec![more],
                    ..Changes::default()
                };
                let written = futures::FutureExt::now_or_never(store.commit(&changes));
                written.unwrap().unwrap();
            }
            crate::fault::Fault::default()
        });
        let claimed = Claimed::new(scene.claim(&WorkKey::Account(account)).await);
        super::super::pass(scene.core(), &AccountId::of(who.user.id), &claimed)
            .await
            .unwrap();
        pass_time(&scene, 30).await;
        let pod = scene.pod(id).await;
        assert_eq!(
            (pod.phase(), pod.run.unwrap().cutoff),
            (Phase::Running, None)
        );
    }

    /// Between a delete and the end of what is left of a pod, nobody spends what its volume has cost.
    #[tokio::test(start_paused = true)]
    async fn what_a_volume_has_cost_is_posted_with_the_delete() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let id = scene.platform.launch(&who, &ask("cpu")).await.unwrap().id;
        scene.platform.run_until_idle().await.unwrap();
        pass_time(&scene, 3_600).await;
        let before = left(&scene, &who).await.left();
        scene.engine.unreachable(true);
        scene.platform.delete(&who, id).await.unwrap();
        assert_eq!(left(&scene, &who).await.left(), before);
        let posted = scene.store.meters(&[Meter::Volume(id)]).await.unwrap()[0].unwrap();
        assert_eq!((posted.total, posted.closed), (euros(2), true));
        scene.engine.unreachable(false);
        pass_time(&scene, 60).await;
        assert!(scene.pod(id).await.is_tombstone());
        let after = scene.store.meters(&[Meter::Volume(id)]).await.unwrap()[0].unwrap();
        assert_eq!(after, posted);
    }

    /// Whoever deletes a pod just when nothing is left, and nobody has found that yet, pays for all there was.
    #[tokio::test(start_paused = true)]
    async fn a_delete_that_comes_before_the_late_pass_gives_nothing_back() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let id = running_pod(&scene, &who, "rtx-4050").await;
        tokio::time::advance(Duration::from_secs(3 * 3_600)).await;
        scene.platform.delete(&who, id).await.unwrap();
        pass_time(&scene, 60).await;
        assert!(scene.pod(id).await.is_tombstone());
        let meters = [Meter::Run(id, 1), Meter::Volume(id)];
        let posted = scene.store.meters(&meters).await.unwrap();
        let totals: Vec<_> = posted.iter().map(|posted| posted.unwrap().total).collect();
        assert_eq!(totals, [euros(6), euros(4)], "two hours");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_was_under_way_is_written_down_and_costs_nothing() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let one = scene
            .platform
            .launch(&who, &ask("rtx-4050"))
            .await
            .unwrap()
            .id;
        pass_time(&scene, 5).await;
        let left_over = left(&scene, &who).await;
        let two = scene.platform.launch(&who, &ask("cpu")).await.unwrap().id;
        // The second one is opened, and starts only when there is nothing left.
        let dry = left_over
            .runs_dry_at
            .unwrap()
            .since(scene.core().clock.now());
        let claimed = scene.claim(&WorkKey::Pod(two)).await;
        tokio::time::advance(dry + Duration::from_secs(1)).await;
        reconcile::pass(scene.core(), two, &Claimed::new(claimed))
            .await
            .unwrap();
        pass_time(&scene, 60).await;
        for id in [one, two] {
            let pod = scene.pod(id).await;
            assert_eq!(pod.phase(), Phase::Stopped, "{:?}", pod.reason);
        }
        let second = scene.store.meters(&[Meter::Run(two, 1)]).await.unwrap()[0];
        assert_eq!(second.map(|posted| posted.total), Some(Money::ZERO));
        assert!(left(&scene, &who).await.left() >= Money::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_at_rest_writes_nothing() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 1_000).await;
        scene.platform.launch(&who, &ask("rtx-4050")).await.unwrap();
        pass_time(&scene, 60).await;
        let account = WorkKey::Account(AccountId::of(who.user.id));
        // 1,000 euros at 5 an hour: the next it has to do with is the threshold, in 199 hours.
        let due = scene.due(&account).unwrap();
        assert_eq!(due.as_secs() / 3_600, 198);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_stops_what_runs_at_its_hard_limit_until_the_next_day() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 1_000).await;
        let user = crate::user::User {
            version: 0,
            ..who.user.clone()
        };
        let changes = Changes {
            users: vec![user],
            ..Changes::default()
        };
        scene.store.commit(&changes).await.unwrap();
        let mut who = who;
        who.user.version = 1;
        let limits = (Period::Day, Some(euros(5)), Some(euros(10)));
        scene
            .platform
            .set_budget(&who, who.user.id, Some(limits))
            .await
            .unwrap();
        let id = running_pod(&scene, &who, "rtx-4050").await;
        let started = scene.pod(id).await.run.unwrap().charged_from.unwrap();
        pass_time(&scene, 2 * 3_600 + 5).await;

        let pod = scene.pod(id).await;
        assert_eq!(
            (pod.phase(), pod.reason),
            (Phase::Stopped, Some(Reason::Budget))
        );
        let reached = told(&scene, EventKind::BudgetReached, started)
            .await
            .into_iter();
        let limit = |body: serde_json::Value| body["limit"].as_str().unwrap().to_owned();
        let reached: Vec<_> = reached.map(|(body, at)| (limit(body), at)).collect();
        let expected = [("soft".to_owned(), 3_600), ("hard".to_owned(), 7_200)];
        assert_eq!(reached, expected);
        let spent = scene
            .platform
            .budget(&who, who.user.id)
            .await
            .unwrap()
            .unwrap();
        assert!(spent.spent >= euros(10) && spent.spent < euros(10) + Money::from_micros(10_000));

        let refused = scene.platform.start(&who, id).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::QuotaExceeded);
        let refused = scene.platform.launch(&who, &ask("cpu")).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::QuotaExceeded);
        // Its volume counts on: two an hour. In 1970 the first day is 16 minutes old when the test begins.
        let midnight = spent.until.since(scene.core().clock.now()).as_secs() + 1;
        pass_time(&scene, midnight).await;
        scene.platform.start(&who, id).await.unwrap();
        pass_time(&scene, 60).await;
        assert_eq!(scene.pod(id).await.phase(), Phase::Running);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_administrator_has_set_only_one_changes() {
        let scene = Scene::new().await;
        let who = client(&scene, 7, 10).await;
        let (root, id) = (Identity::local(), who.user.id);
        let limits = |hard| Some((Period::Month, None, Some(euros(hard))));
        let set = async |who: &Identity, limits| scene.platform.set_budget(who, id, limits).await;
        assert!(set(&who, limits(20)).await.is_ok());
        assert!(set(&who, None).await.unwrap().is_none());
        assert!(set(&root, limits(10)).await.is_ok());
        let refused = set(&who, limits(20)).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Forbidden);
        assert_eq!(
            *set(&who, None).await.unwrap_err().kind(),
            ErrorKind::Forbidden
        );
        assert!(set(&root, None).await.unwrap().is_none());
    }

    fn euros(n: i64) -> Money {
        Money::from_micros(n * 1_000_000)
    }
}
