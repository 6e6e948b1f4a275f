use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::auth::{Credential, SessionRules, Sessions, SigningKeys};
use crate::event::NewEvent;
use crate::fault::{Call, Fault, Faulty};
use crate::fixture::NOW;
use crate::memory::MemoryStore;
use crate::pod::Secret;
use crate::store::Changes;
use crate::time::SystemClock;
use crate::visit::Visit;
use crate::{Auth, Clock, ErrorKind, Platform, Store};

const HOUR: Duration = Duration::from_secs(3600);

/// One replica with sessions, over a store that others may share.
struct Replica {
    platform: Platform,
    store: Arc<MemoryStore>,
    reads: Arc<AtomicUsize>,
}

impl Replica {
    async fn over(store: Arc<MemoryStore>, admins: &[&str]) -> Self {
        let clock = Arc::new(SystemClock::anchored(NOW));
        let reads: Arc<AtomicUsize> = Arc::default();
        let counted = {
            let reads = reads.clone();
            move |call: Call| {
                reads.fetch_add(usize::from(call.operation == "events"), Ordering::Relaxed);
                Fault::default()
            }
        };
        let keys = SigningKeys::new(&Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0")).unwrap();
        let rules = SessionRules {
            lifetime: HOUR,
            admins: admins
                .iter()
                .map(|&a| a.to_owned())
                .collect::<BTreeSet<_>>(),
            allowed: None,
            development: true,
        };
        let sessions = Sessions::new(store.clone(), clock.clone(), keys, rules);
        let platform = Platform::builder()
            .store(Faulty::new(store.clone(), counted))
            .auth(sessions)
            .clock(clock)
            .build();
        Self {
            platform: platform.await.unwrap(),
            store,
            reads,
        }
    }

    async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), &["root@example.com"]).await
    }

    async fn sign_in(&self, name: &str) -> Credential {
        let email = format!("{name}@example.com");
        let development = Credential::Development { email };
        let signed_in = self.platform.auth().sign_in(&development).await.unwrap();
        Credential::Bearer(signed_in.token)
    }

    async fn visit(&self, name: &str) -> Visit {
        let credential = self.sign_in(name).await;
        self.platform.visit(credential).await.unwrap()
    }

    async fn follow(&self, name: &str) -> Following {
        let visit = self.visit(name).await;
        self.platform.follow(visit, None).await.unwrap()
    }

    async fn write(&self, events: impl IntoIterator<Item = NewEvent>) {
        let changes = Changes {
            events: events.into_iter().collect(),
            ..Changes::default()
        };
        self.store.commit(&changes).await.unwrap();
    }

    async fn cursor(&self) -> String {
        self.store.newest().await.unwrap()
    }
}

fn update(owner: Option<UserId>, n: u64) -> NewEvent {
    NewEvent {
        kind: EventKind::PodUpdate,
        at: NOW,
        pod: None,
        owner,
        body: json!(n),
    }
}

/// What he is told next: the number of an event, or that something was left out.
async fn next(following: &mut Following) -> Option<u64> {
    match following.next().await {
        Told::Event(published) => published.event().event.body.as_u64(),
        Told::Lagged => None,
        Told::Ended(why) => panic!("{why}"),
    }
}

async fn end(following: &mut Following) -> ErrorKind {
    match following.next().await {
        Told::Ended(why) => why.kind().clone(),
        told => panic!("{told:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_told_once_what_he_may_see_by_one_reader() {
    let here = Replica::new().await;
    let (ana, ben) = (here.visit("ana").await, here.visit("ben").await);
    let mine = Some(ana.who().user.id);
    let mut all = here.platform.follow_all().await.unwrap();
    let mut root = here.follow("root").await;
    let mut anas = Vec::new();
    for _ in 0..50 {
        anas.push(here.platform.follow(ana.clone(), None).await.unwrap());
    }
    let mut ben = here.platform.follow(ben, None).await.unwrap();
    let before = here.reads.load(Ordering::Relaxed);

    let broadcast = NewEvent {
        kind: EventKind::Broadcast,
        ..update(None, 3)
    };
    here.write([update(mine, 1), update(None, 2), broadcast])
        .await;
    let (made, mut first) = (AtomicUsize::new(0), None);
    for ana in &mut anas {
        let Told::Event(told) = ana.next().await else {
            panic!("an event")
        };
        told.text(|event| {
            made.fetch_add(1, Ordering::Relaxed);
            event.cursor.clone()
        });
        let first = first.get_or_insert_with(|| told.clone());
        assert!(Arc::ptr_eq(first, &told), "all share it");
        assert_eq!(next(ana).await, Some(3));
        assert_eq!(ana.cursor(), here.cursor().await);
    }
    assert_eq!(made.into_inner(), 1);
    for n in 1..=3 {
        assert_eq!(next(&mut root).await, Some(n));
        assert_eq!(next(&mut all).await, Some(n));
    }
    assert_eq!(next(&mut ben).await, Some(3));
    assert_eq!(here.reads.load(Ordering::Relaxed), before + 1);

    // And nobody reads for nobody.
    drop((anas, all, root, ben));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = here.reads.load(Ordering::Relaxed);
    tokio::time::sleep(HOUR).await;
    assert_eq!(here.reads.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_what_he_has_missed_and_nothing_twice() {
    let here = Replica::new().await;
    let visit = here.visit("ana").await;
    let mine = Some(visit.who().user.id);
    let after = here.cursor().await;
    let from = async |after: &str| {
        let following = here.platform.follow(visit.clone(), Some(after)).await;
        following.unwrap()
    };
    here.write((0..10).map(|n| update(mine, n))).await;
    here.write([update(None, 99)]).await;

    for beside_others in [false, true] {
        let other = match beside_others {
            true => Some(here.follow("ben").await),
            false => None,
        };
        let mut ana = from(&after).await;
        for n in 0..4 {
            assert_eq!(next(&mut ana).await, Some(n));
        }
        let halfway = ana.cursor().to_owned();
        drop(ana);
        let mut ana = from(&halfway).await;
        let mut expected: Vec<u64> = (4..10).collect();
        if beside_others {
            expected.extend([10, 11]);
        }
        here.write([update(mine, 10)]).await;
        expected.push(10);
        for n in expected {
            assert_eq!(next(&mut ana).await, Some(n));
        }
        here.write([update(mine, 11)]).await;
        assert_eq!(next(&mut ana).await, Some(11));
        drop((ana, other));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    for stranger in ["", "x", "1.2.3"] {
        let mut ana = from(stranger).await;
        assert_eq!(next(&mut ana).await, None, "{stranger}");
        here.write([update(mine, 7)]).await;
        assert_eq!(next(&mut ana).await, Some(7));
    }
    // Once nobody reads, so that it is not handed out meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    here.write((0..10_000).map(|n| update(None, n))).await;
    assert_eq!(next(&mut from(&after).await).await, None, "too much");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_told_so_and_nobody_else_suffers() {
    let here = Replica::new().await;
    let mine = Some(here.visit("ana").await.who().user.id);
    let (mut slow, mut quick) = (here.follow("ana").await, here.follow("ana").await);
    for n in 0..2 * QUEUE as u64 {
        here.write([update(mine, n)]).await;
        assert_eq!(next(&mut quick).await, Some(n));
    }
    for n in 0..QUEUE as u64 {
        assert_eq!(next(&mut slow).await, Some(n));
    }
    assert_eq!(next(&mut slow).await, None);
    here.write([update(mine, 1)]).await;
    assert_eq!(next(&mut slow).await, Some(1));
    assert_eq!(next(&mut quick).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn it_ends_within_a_second_of_what_ends_the_session_at_any_replica() {
    let here = Replica::new().await;
    let there = Replica::over(here.store.clone(), &["chief@example.com"]).await;
    let chief = there.visit("chief").await;
    let within = async |following: &mut Following| {
        let ended = tokio::time::timeout(Duration::from_secs(1), end(following));
        ended.await.expect("within a second")
    };

    let (ana, other) = (here.sign_in("ana").await, here.visit("ana").await);
    let visit = here.platform.visit(ana.clone()).await.unwrap();
    let mut signs_out = here.platform.follow(visit, None).await.unwrap();
    let mut stays = here.platform.follow(other, None).await.unwrap();
    let identity = there.platform.auth().authenticate(&ana).await.unwrap();
    there.platform.auth().sign_out(&identity).await.unwrap();
    assert_eq!(within(&mut signs_out).await, ErrorKind::Unauthenticated);
    let goes_on = tokio::time::timeout(HOUR / 2, stays.next()).await;
    assert!(goes_on.is_err(), "another session of hers");

    let ana = identity.user.id;
    let suspended = there.platform.suspend(chief.who(), ana).await;
    suspended.unwrap();
    assert_eq!(within(&mut stays).await, ErrorKind::Suspended);

    let mut ben = here.follow("ben").await;
    let id = here.visit("ben").await.who().user.id;
    there.platform.delete_user(chief.who(), id).await.unwrap();
    assert_eq!(within(&mut ben).await, ErrorKind::Unauthenticated);

    // There she is no administrator.
    let mut root = here.follow("root").await;
    there.sign_in("root").await;
    assert_eq!(within(&mut root).await, ErrorKind::Unauthenticated);

    let visit = here.visit("carl").await;
    let ends_at = visit.ends_at().unwrap();
    let mut carl = here.platform.follow(visit, None).await.unwrap();
    assert_eq!(end(&mut carl).await, ErrorKind::Unauthenticated);
    let late = here.platform.clock().now().since(ends_at);
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_visit_of_which_nothing_is_heard_is_looked_at_all_the_same() {
    let here = Replica::new().await;
    let ana = here.sign_in("ana").await;
    let visit = here.platform.visit(ana.clone()).await.unwrap();
    let mut following = here.platform.follow(visit, None).await.unwrap();
    let session = here.platform.auth().authenticate(&ana).await.unwrap();
    let key = session.session.unwrap();
    let now = here.platform.clock().now();
    // By somebody who tells nobody.
    let document = crate::store::StoreExt::document(&*here.store, "session", &key, now).await;
    let changes = Changes {
        now,
        documents: vec![crate::store::DocChange::remove(&document.unwrap().unwrap())],
        ..Changes::default()
    };
    here.store.commit(&changes).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(61), end(&mut following));
    assert_eq!(ended.await.unwrap(), ErrorKind::Unauthenticated);
}
