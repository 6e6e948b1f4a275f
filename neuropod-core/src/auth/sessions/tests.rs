use super::*;
use crate::auth::IdToken;
use crate::id::AccountId;
use crate::memory::MemoryStore;
use crate::store::UserQuery;
use crate::time::SystemClock;
use crate::user::Role;

const SECRET: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";
const OTHER: &str = "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730";
const HOUR: Duration = Duration::from_secs(3600);

/// Sessions of a development installation whose administrator is `Root@Example.com`.
fn rules() -> SessionRules {
    SessionRules {
        lifetime: HOUR,
        admins: BTreeSet::from([" Root@Example.com ".to_owned()]),
        allowed: None,
        development: true,
    }
}

fn over(store: &Arc<MemoryStore>, secret: &str, rules: SessionRules) -> Sessions {
    let clock = SystemClock::anchored(Time::from_micros(1_800_000_000_000_000));
    let keys = SigningKeys::new(&Secret::new(secret)).unwrap();
    Sessions::new(Arc::clone(store) as _, Arc::new(clock), keys, rules)
}

fn as_email(email: &str) -> Credential {
    Credential::Development {
        email: email.to_owned(),
    }
}

async fn sign_in(sessions: &Sessions, email: &str) -> SignedIn {
    sessions.sign_in(&as_email(email)).await.unwrap()
}

async fn who(sessions: &Sessions, signed_in: &SignedIn) -> Result<Identity> {
    let credential = Credential::Bearer(signed_in.token.clone());
    sessions.authenticate(&credential).await
}

async fn users(store: &MemoryStore) -> Vec<User> {
    let query = UserQuery {
        limit: 1000,
        ..UserQuery::default()
    };
    store.users(&query).await.unwrap().items
}

fn is(kind: ErrorKind, answer: Result<impl std::fmt::Debug>) {
    assert_eq!(*answer.unwrap_err().kind(), kind);
}

#[tokio::test(start_paused = true)]
async fn a_session_lasts_until_it_is_ended_or_expires() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let first = sign_in(&sessions, "  Ana@Example.COM ").await;
    let second = sign_in(&sessions, "ana@example.com").await;
    assert_eq!(first.user.email, "ana@example.com");
    assert_eq!(first.user.name, "ana");
    assert_eq!(first.user, second.user);
    assert_ne!(first.token, second.token, "two sessions in the same second");

    let identity = who(&sessions, &first).await.unwrap();
    assert_eq!(
        identity.user,
        users(&store).await[0],
        "at its version in the store"
    );
    sessions.sign_out(&identity).await.unwrap();
    sessions.sign_out(&identity).await.unwrap();
    is(ErrorKind::Unauthenticated, who(&sessions, &first).await);

    assert_eq!(second.expires_at, sessions.clock.now() + HOUR);
    tokio::time::advance(HOUR - Duration::from_secs(1)).await;
    who(&sessions, &second).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    is(ErrorKind::Unauthenticated, who(&sessions, &second).await);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_ours_that_stand_for_nothing_any_more_are_refused() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let ana = sign_in(&sessions, "ana@example.com").await;
    let ben = sign_in(&sessions, "ben@example.com").await;
    let key = who(&sessions, &ana).await.unwrap().session.unwrap();
    let good = Claims {
        id: ana.user.id,
        email: ana.user.email.clone(),
        role: Role::Client,
        iat: 1_800_000_000,
        exp: 1_800_003_600,
        jti: key.clone(),
        iss: ISSUER.to_owned(),
        aud: ISSUER.to_owned(),
    };
    let show = async |claims: Claims| {
        let token = sessions.keys.sign(&claims).unwrap();
        sessions.authenticate(&Credential::Bearer(token)).await
    };
    assert_eq!(show(good.clone()).await.unwrap().user.id, ana.user.id);
    for (what, claims) in [
        (
            "another issuer",
            Claims {
                iss: "neuropod/".to_owned(),
                ..good.clone()
            },
        ),
        (
            "another audience",
            Claims {
                aud: "Neuropod".to_owned(),
                ..good.clone()
            },
        ),
        (
            "no such session",
            Claims {
                jti: "0".repeat(32),
                ..good.clone()
            },
        ),
        (
            "the beginning of a session",
            Claims {
                jti: key[..31].to_owned(),
                ..good.clone()
            },
        ),
        (
            "no session",
            Claims {
                jti: String::new(),
                ..good.clone()
            },
        ),
        (
            "a session of somebody else",
            Claims {
                id: ben.user.id,
                ..good.clone()
            },
        ),
    ] {
        let answer = show(claims).await;
        let e = answer.expect_err(what);
        assert_eq!(*e.kind(), ErrorKind::Unauthenticated, "{what}");
        let why = match what {
            "another issuer" | "another audience" => "Sign in first",
            "a session of somebody else" => "This user is not there any more.",
            _ => "This session has ended.",
        };
        assert!(e.message().starts_with(why), "{what}: {}", e.message());
    }
    is(
        ErrorKind::Unauthenticated,
        sessions.authenticate(&Credential::Anonymous).await,
    );
    let elsewhere = over(&store, OTHER, rules());
    is(ErrorKind::Unauthenticated, who(&elsewhere, &ana).await);
}

#[tokio::test(start_paused = true)]
async fn suspension_deletion_and_demotion_take_effect_within_a_second() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let ana = sign_in(&sessions, "ana@example.com").await;
    let write = async |user: User| {
        let changes = Changes {
            users: vec![user],
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    };
    who(&sessions, &ana).await.unwrap();
    let mut user = ana.user.clone();
    for (standing, kind, at_sign_in) in [
        (
            Standing::Suspended,
            ErrorKind::Suspended,
            ErrorKind::Suspended,
        ),
        (
            Standing::Deleting,
            ErrorKind::Unauthenticated,
            ErrorKind::Unauthenticated,
        ),
    ] {
        write(User {
            standing,
            ..user.clone()
        })
        .await;
        user.version += 1;
        is(kind, who(&sessions, &ana).await);
        is(
            at_sign_in,
            sessions.sign_in(&as_email("ana@example.com")).await,
        );
    }
    write(User {
        role: Role::Admin,
        standing: Standing::Active,
        ..user.clone()
    })
    .await;
    assert!(
        who(&sessions, &ana).await.unwrap().is_admin(),
        "the row counts, not the token"
    );
    let forget = Changes {
        forget_users: vec![user.id],
        ..Changes::default()
    };
    store.commit(&forget).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    is(ErrorKind::Unauthenticated, who(&sessions, &ana).await);
}

#[tokio::test(start_paused = true)]
async fn a_check_is_believed_for_less_than_a_second_and_signing_out_ends_that_at_once() {
    let store = Arc::new(MemoryStore::new());
    let here = over(&store, SECRET, rules());
    let elsewhere = over(&store, SECRET, rules());
    let ana = sign_in(&here, "ana@example.com").await;
    let identity = who(&here, &ana).await.unwrap();
    elsewhere.sign_out(&identity).await.unwrap();
    assert_eq!(who(&here, &ana).await.unwrap(), identity, "believed");
    tokio::time::advance(Duration::from_millis(999)).await;
    is(ErrorKind::Unauthenticated, who(&here, &ana).await);

    let ana = sign_in(&here, "ana@example.com").await;
    let identity = who(&here, &ana).await.unwrap();
    here.sign_out(&identity).await.unwrap();
    is(ErrorKind::Unauthenticated, who(&here, &ana).await);
}

/// What a sign-in changes of a user is true of the sessions that this user has already.
#[tokio::test(start_paused = true)]
async fn a_sign_in_that_changes_the_user_ends_what_is_believed() {
    let store = Arc::new(MemoryStore::new());
    let before = over(&store, SECRET, rules());
    let ana = sign_in(&before, "ana@example.com").await;
    let admins = BTreeSet::from(["ana@example.com".to_owned()]);
    let sessions = over(&store, SECRET, SessionRules { admins, ..rules() });
    assert!(!who(&sessions, &ana).await.unwrap().is_admin());
    sign_in(&sessions, "ana@example.com").await;
    assert!(who(&sessions, &ana).await.unwrap().is_admin());
}

#[tokio::test(start_paused = true)]
async fn administrators_are_made_and_unmade_at_sign_in() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let unlimited = async |user: &User| {
        let account = store.account(&AccountId::of(user.id)).await.unwrap();
        account.unwrap().unlimited
    };
    let root = sign_in(&sessions, "ROOT@example.com").await.user;
    assert_eq!(root.role, Role::Admin);
    assert!(unlimited(&root).await);
    let ana = sign_in(&sessions, "ana@example.com").await.user;
    assert_eq!(ana.role, Role::Client);
    assert!(!unlimited(&ana).await);

    let admins = BTreeSet::from(["ana@example.com".to_owned()]);
    let sessions = over(&store, SECRET, SessionRules { admins, ..rules() });
    let demoted = sign_in(&sessions, "root@example.com").await.user;
    assert_eq!((demoted.id, demoted.role), (root.id, Role::Client));
    assert!(!unlimited(&root).await);
    let promoted = sign_in(&sessions, "ana@example.com").await.user;
    assert_eq!((promoted.id, promoted.role), (ana.id, Role::Admin));
    assert!(unlimited(&ana).await);
    assert_eq!(users(&store).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_those_on_the_lists_may_sign_in() {
    let store = Arc::new(MemoryStore::new());
    let allowed = Some(BTreeSet::from(["Ana@Example.com".to_owned()]));
    let sessions = over(&store, SECRET, SessionRules { allowed, ..rules() });
    sign_in(&sessions, "ana@example.com").await;
    sign_in(&sessions, "root@example.com").await;
    is(
        ErrorKind::Forbidden,
        sessions.sign_in(&as_email("eve@example.com")).await,
    );
    assert_eq!(users(&store).await.len(), 2);

    let sessions = over(
        &store,
        SECRET,
        SessionRules {
            development: false,
            ..rules()
        },
    );
    is(
        ErrorKind::Unsupported,
        sessions.sign_in(&as_email("ana@example.com")).await,
    );
    is(
        ErrorKind::Unsupported,
        sessions.authenticate(&as_email("ana@example.com")).await,
    );
    is(
        ErrorKind::Unsupported,
        sessions
            .sign_in(&Credential::IdToken(IdToken {
                token: Secret::new("x"),
                nonce: None,
            }))
            .await,
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_address_is_refused_and_makes_nobody() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let long = format!("{}@example.com", "a".repeat(250));
    for bad in [
        "",
        "ana",
        "@",
        "ana@",
        "@example.com",
        "a b@c",
        "a@b@c",
        "a\0@b",
        "a\n@b",
        &long,
    ] {
        let e = sessions.sign_in(&as_email(bad)).await.unwrap_err();
        assert_eq!(e.fields()[0].pointer, "/email", "{bad:?}");
    }
    assert!(users(&store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_address_of_another_identity_is_never_linked() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let ana = sign_in(&sessions, "ana@example.com").await.user;
    let stranger = Person {
        identity: "https://issuer.example#42".to_owned(),
        email: ana.email.clone(),
        name: "Ana".to_owned(),
        avatar: None,
    };
    is(
        ErrorKind::Forbidden,
        sessions.admit(&stranger, Some("0")).await,
    );
    assert_eq!(users(&store).await, [ana]);
}

/// Name, picture and address are the provider's business; who it is, is not.
#[tokio::test(start_paused = true)]
async fn what_an_issuer_says_anew_is_taken_over_at_sign_in() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let old = Person {
        identity: "https://issuer.example#42".to_owned(),
        email: "ana@example.com".to_owned(),
        name: "Ana".to_owned(),
        avatar: None,
    };
    let (first, _) = sessions.admit(&old, None).await.unwrap();
    let new = Person {
        email: "ana@example.org".to_owned(),
        name: "Ana B.".to_owned(),
        avatar: Some("https://pictures.example/ana".to_owned()),
        ..old.clone()
    };
    let (second, _) = sessions.admit(&new, None).await.unwrap();
    assert_eq!(users(&store).await, std::slice::from_ref(&second));
    assert_eq!(second.id, first.id);
    assert_eq!(
        (second.email, second.name, second.avatar),
        (new.email, new.name, new.avatar)
    );

    // The old address is free again, the new one is not.
    let ben = sign_in(&sessions, "ana@example.com").await.user;
    assert_ne!(ben.id, first.id);
    is(
        ErrorKind::Forbidden,
        sessions.sign_in(&as_email("ana@example.org")).await,
    );
    is(
        ErrorKind::Forbidden,
        sessions.admit(&old, None).await.map(|(user, _)| user),
    );
    assert_eq!(users(&store).await.len(), 2);
}

/// Both have read that there is nobody yet.
#[tokio::test(start_paused = true)]
async fn two_sign_ups_at_once_make_one_user() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let person = sessions.person(&as_email("ana@example.com")).await.unwrap();
    let now = sessions.clock.now();
    let (winner, first) = sessions.known(&person, now).await.unwrap();
    let (_, second) = sessions.known(&person, now).await.unwrap();
    store.commit(&first).await.unwrap();
    is(ErrorKind::Conflict, store.commit(&second).await);
    let (user, _) = sessions.admit(&person, None).await.unwrap();
    assert_eq!(user.id, winner.id);
    assert_eq!(users(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_sign_ups_makes_one_user() {
    let store = Arc::new(MemoryStore::new());
    let sessions = Arc::new(over(&store, SECRET, rules()));
    let crowd: Vec<_> = (0..64)
        .map(|_| {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sign_in(&sessions, "ana@example.com").await })
        })
        .collect();
    for one in crowd {
        let signed_in = one.await.unwrap();
        assert_eq!(
            who(&sessions, &signed_in).await.unwrap().user.id,
            signed_in.user.id
        );
    }
    assert_eq!(users(&store).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_shown() {
    let store = Arc::new(MemoryStore::new());
    let sessions = over(&store, SECRET, rules());
    let signed_in = sign_in(&sessions, "ana@example.com").await;
    let shown = format!("{sessions:?} {signed_in:?}");
    assert!(!shown.contains(&SECRET[..12]), "{shown}");
    assert!(!shown.contains(signed_in.token.reveal()), "{shown}");
}
