//! Users.

use std::sync::Arc;

use super::samples::{at, user, user_id};
use super::{accepted, conflict, invalid};
use crate::conformance::{Case, cases};
use crate::store::{Changes, Store, UserQuery};
use crate::user::{Role, Standing, User};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_user_reads_as_it_was_written,
        a_user_is_replaced_at_its_version,
        a_user_is_forgotten,
        users_come_by_id_page_by_page,
        users_are_found_by_part_of_mail_or_name,
    ]
}

fn put(users: Vec<User>) -> Changes {
    Changes {
        users,
        ..Changes::default()
    }
}

async fn a_user_reads_as_it_was_written(store: Arc<dyn Store>) {
    let mut row = User {
        avatar: Some("https://example.org/a.png".to_owned()),
        role: Role::Admin,
        standing: Standing::Suspended,
        ..user(1)
    };
    accepted(store.commit(&put(vec![row.clone()])).await);
    row.version = 1;
    assert_eq!(store.user(row.id).await.unwrap(), Some(row));
}

async fn a_user_is_replaced_at_its_version(store: Arc<dyn Store>) {
    accepted(store.commit(&put(vec![user(1)])).await);
    conflict(store.commit(&put(vec![user(1)])).await);
    let mut row = store.user(user_id(1)).await.unwrap().unwrap();
    row.plan = "pro".to_owned();
    accepted(store.commit(&put(vec![row.clone()])).await);
    conflict(store.commit(&put(vec![row.clone()])).await);
    row.version = 2;
    assert_eq!(store.user(user_id(1)).await.unwrap(), Some(row));
}

async fn a_user_is_forgotten(store: Arc<dyn Store>) {
    accepted(store.commit(&put(vec![user(1), user(2)])).await);
    let forget = Changes {
        forget_users: vec![user_id(1), user_id(3)],
        ..Changes::default()
    };
    accepted(store.commit(&forget).await);
    assert_eq!(store.user(user_id(1)).await.unwrap(), None);
    assert!(store.user(user_id(2)).await.unwrap().is_some());
    accepted(store.commit(&put(vec![user(1)])).await);
}

/// Every user that answers, page by page.
async fn found(store: &Arc<dyn Store>, contains: Option<&str>, limit: u32) -> Vec<User> {
    let mut query = UserQuery {
        contains: contains.map(str::to_owned),
        after: None,
        limit,
    };
    let mut users = Vec::new();
    loop {
        let page = store.users(&query).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        users.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return users;
        }
    }
}

async fn users_come_by_id_page_by_page(store: Arc<dyn Store>) {
    accepted(store.commit(&put((0..7).map(user).collect())).await);
    let mut ids: Vec<_> = (0..7).map(user_id).collect();
    ids.sort();
    for limit in [1, 3, 7, 1000] {
        let users = found(&store, None, limit).await;
        assert_eq!(
            users.iter().map(|u| u.id).collect::<Vec<_>>(),
            ids,
            "{limit}"
        );
    }
    for limit in [0, 1001] {
        let query = UserQuery {
            limit,
            ..UserQuery::default()
        };
        invalid(store.users(&query).await);
    }
}

async fn users_are_found_by_part_of_mail_or_name(store: Arc<dyn Store>) {
    let named = |n, name: &str, email: &str| User {
        name: name.to_owned(),
        email: email.to_owned(),
        created_at: at(n),
        ..user(n)
    };
    let users = vec![
        named(1, "Ana PÉREZ", "ana@example.org"),
        named(2, "100% o_k", "percent@example.org"),
        named(3, "Back\\slash", "Upper@Example.org"),
    ];
    accepted(store.commit(&put(users)).await);
    for (text, expected) in [
        ("ana", vec![1]),
        ("pérez", vec![1]),
        ("PÉREZ", vec![1]),
        ("0%", vec![2]),
        ("o_k", vec![2]),
        ("%", vec![2]),
        ("_", vec![2]),
        ("k\\s", vec![3]),
        ("upper@example", vec![3]),
        ("zana@", vec![]),
        ("ana@example.organa", vec![]),
        ("slash\nupper", vec![]),
    ] {
        let users = found(&store, Some(text), 1).await;
        let mut ids: Vec<_> = expected.into_iter().map(user_id).collect();
        ids.sort();
        assert_eq!(
            users.iter().map(|u| u.id).collect::<Vec<_>>(),
            ids,
            "{text}"
        );
    }
    assert_eq!(found(&store, Some("example.org"), 2).await.len(), 3);
}
