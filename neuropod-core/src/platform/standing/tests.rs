//! Suspension and deletion over memory backends.

use super::*;
use crate::auth::Identity;
use crate::auth::sessions::{EMAIL, IDENTITY, SESSION};
use crate::billing::Credit;
use crate::error::ErrorKind;
use crate::fault::{Fault, Reply};
use crate::money::Money;
use crate::pod::{Env, Phase};
use crate::scene::Scene;
use crate::store::{DocChange, Document, TransferQuery};
use crate::user::Role;
use crate::{Launch, Store};

/// A client with a session, and 100 euros.
async fn client(scene: &Scene) -> Identity {
    let core = scene.core();
    let now = core.clock.now();
    let user = User {
        id: UserId::from_bytes([7; 12]),
        identity: "issuer#7".to_owned(),
        email: "ana@example.com".to_owned(),
        role: Role::Client,
        version: 0,
        ..Identity::local().user
    };
    let about = |kind: &str, key: &str| {
        DocChange::Put(Document {
            kind: kind.to_owned(),
            key: key.to_owned(),
            body: user.id.to_string().into(),
            index: [Some(user.id.to_string()), None, None],
            expires_at: None,
            version: 0,
        })
    };
    let documents = vec![
        about(IDENTITY, "issuer#7"),
        about(EMAIL, "ana@example.com"),
        about(SESSION, "one"),
    ];
    let changes = Changes {
        users: vec![user.clone()],
        documents,
        ..Changes::default()
    };
    core.commit(changes).await.unwrap();
    let credit = Credit {
        id: "given".to_owned(),
        account: AccountId::of(user.id),
        from: AccountId::from("funding"),
        amount: Money::from_micros(100_000_000),
        memo: String::new(),
        actor: None,
        at: now,
    };
    Platform(core.clone()).book(&credit).await.unwrap();
    Identity {
        user: User { version: 1, ..user },
        session: None,
    }
}

async fn launch(scene: &Scene, who: &Identity) -> PodId {
    let mut ask = Launch::image("there").gpu("cpu");
    ask.env = Env([("TOKEN".to_owned(), "of hers".to_owned())].into());
    scene.platform.launch(who, &ask).await.unwrap().id
}

#[tokio::test(start_paused = true)]
async fn a_suspended_users_pods_stop_and_none_starts_until_it_is_lifted() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), client(&scene).await);
    let pods = [launch(&scene, &ana).await, launch(&scene, &ana).await];
    scene.platform.stop(&ana, pods[1]).await.unwrap();
    scene.platform.run_until_idle().await.unwrap();

    let ended = scene.platform.suspend(&admin, ana.user.id).await.unwrap();
    assert_eq!((ended.pods, ended.active), (vec![pods[0]], 1));
    assert_eq!(scene.pod(pods[0]).await.reason, Some(Reason::Admin));
    pass_time(&scene).await;
    assert_eq!(scene.pod(pods[0]).await.phase(), Phase::Stopped);

    // Also for who was let in before that.
    let refused = scene.platform.start(&ana, pods[0]).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Conflict);
    let refused = scene.platform.start(&admin, pods[0]).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Suspended);
    let again = scene.platform.suspend(&admin, ana.user.id).await.unwrap();
    assert_eq!(again.pods, []);
    scene.platform.unsuspend(&admin, ana.user.id).await.unwrap();
    scene.platform.start(&admin, pods[0]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_launched_at_the_same_moment_is_stopped_too() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), client(&scene).await);
    let (store, mut launched) = (scene.store.clone(), None);
    let like = {
        let id = launch(&scene, &ana).await;
        scene.pod(id).await
    };
    // Between what the suspension reads and what it writes.
    scene.plan(move |operation| {
        if operation == "commit" && launched.is_none() {
            let pod = Pod {
                id: PodId::from_bytes([9; 8]),
                version: 0,
                ..like.clone()
            };
            let changes = Changes {
                pods: vec![pod],
                ..Changes::default()
            };
            launched = Some(futures::FutureExt::now_or_never(store.commit(&changes)));
        }
        Fault::default()
    });
    let ended = scene.platform.suspend(&admin, ana.user.id).await.unwrap();
    assert_eq!(ended.pods.len(), 2);
    let late = scene.pod(PodId::from_bytes([9; 8])).await;
    assert_eq!(late.desired, Desired::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_user_is_forgotten_once_nothing_is_left_of_his_pods() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), client(&scene).await);
    let id = ana.user.id;
    let pods = [launch(&scene, &ana).await, launch(&scene, &ana).await];
    scene.platform.run_until_idle().await.unwrap();
    // One that she deletes herself, while the engine does not answer.
    scene.plan(|operation| Fault {
        refuse: ["observe", "purge", "stop"].contains(&operation),
        ..Fault::default()
    });
    scene.platform.delete(&ana, pods[1]).await.unwrap();

    let ended = scene.platform.delete_user(&admin, id).await.unwrap();
    assert_eq!(
        (ended.pods, ended.active, ended.sessions),
        (vec![pods[0]], 1, 1)
    );
    assert_eq!(document(&scene, SESSION, "one").await, None);
    assert!(
        scene
            .platform
            .users(&admin, None, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let refused = scene.platform.delete_user(&admin, id).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::NotFound);
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    scene.platform.run_until_idle().await.unwrap();
    assert!(scene.store.user(id).await.unwrap().is_some(), "waited for");
    assert!(document(&scene, EMAIL, "ana@example.com").await.is_some());

    scene.plan(|_| Fault::default());
    pass_time(&scene).await;
    assert_eq!(scene.store.user(id).await.unwrap(), None);
    for (kind, key) in [(IDENTITY, "issuer#7"), (EMAIL, "ana@example.com")] {
        assert_eq!(document(&scene, kind, key).await, None, "{kind}");
    }
    for pod in pods {
        let pod = scene.pod(pod).await;
        assert!(pod.is_tombstone());
        assert_eq!((pod.spec.env, pod.spec.name.as_str()), (Env::default(), ""));
    }
    // The account stays, and what was left of it is the platform's.
    let account = AccountId::of(id);
    let row = scene.store.account(&account).await.unwrap().unwrap();
    assert_eq!(row.posted, Money::ZERO);
    let all = TransferQuery {
        account,
        after: None,
        limit: 100,
    };
    let transfers = scene.store.transfers(&all).await.unwrap().items;
    assert_eq!(transfers[0].credit, AccountId::from("forfeited"));
    let charged = transfers
        .iter()
        .filter(|t| t.credit == AccountId::from("revenue"));
    let charged: Money = charged.map(|t| t.amount).sum();
    assert_eq!(
        transfers[0].amount + charged,
        Money::from_micros(100_000_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_is_lost_has_happened() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), client(&scene).await);
    launch(&scene, &ana).await;
    scene.plan(|operation| Fault {
        reply: if operation == "commit" {
            Reply::Lost
        } else {
            Reply::Given
        },
        ..Fault::default()
    });
    assert!(
        scene
            .platform
            .delete_user(&admin, ana.user.id)
            .await
            .is_err()
    );
    scene.plan(|_| Fault::default());
    pass_time(&scene).await;
    assert_eq!(scene.store.user(ana.user.id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_is_neither_suspended_nor_deleted_and_a_stranger_does_neither() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), client(&scene).await);
    let other = User {
        id: UserId::from_bytes([8; 12]),
        role: Role::Admin,
        version: 0,
        ..ana.user.clone()
    };
    let changes = Changes {
        users: vec![other.clone()],
        ..Changes::default()
    };
    scene.core().commit(changes).await.unwrap();
    for refused in [
        scene.platform.suspend(&admin, other.id).await,
        scene.platform.delete_user(&admin, other.id).await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Invalid);
        assert_eq!(refused.fields()[0].pointer, "/userId");
    }
}

/// Nearly a minute.
async fn pass_time(scene: &Scene) {
    for _ in 0..10 {
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        scene.platform.run_until_idle().await.unwrap();
    }
}

async fn document(scene: &Scene, kind: &str, key: &str) -> Option<Document> {
    let now = scene.core().clock.now();
    scene.store.document(kind, key, now).await.unwrap()
}
