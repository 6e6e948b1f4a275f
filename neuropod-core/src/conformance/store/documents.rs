//! Documents.

use std::sync::Arc;

use super::samples::{at, document};
use super::{accepted, at_once, conflict, invalid};
use crate::conformance::{Case, cases};
use crate::store::{Changes, DocChange, DocQuery, Document, Store, StoreExt};
use crate::time::Time;

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_document_reads_as_it_was_written,
        a_document_is_replaced_at_its_version,
        a_document_is_removed_at_its_version,
        a_document_that_has_expired_is_not_there,
        a_document_may_follow_one_that_has_expired,
        documents_come_by_key,
        documents_come_by_falling_key,
        documents_are_found_by_prefix,
        documents_are_found_by_index,
        an_index_follows_its_document,
        pages_of_documents_cover_each_once,
        kinds_do_not_mix,
        a_unique_key_is_won_once,
        queries_that_make_no_sense_are_invalid,
    ]
}

fn put(documents: impl IntoIterator<Item = Document>) -> Changes {
    Changes {
        documents: documents.into_iter().map(DocChange::Put).collect(),
        ..Changes::default()
    }
}

fn remove(key: &str, version: u64) -> Changes {
    let change = DocChange::Remove {
        kind: "kind".to_owned(),
        key: key.to_owned(),
        version,
    };
    Changes {
        documents: vec![change],
        ..Changes::default()
    }
}

fn all() -> DocQuery {
    DocQuery {
        kind: "kind".to_owned(),
        limit: 1000,
        now: at(0),
        ..DocQuery::default()
    }
}

/// The keys that answer, page by page.
async fn keys(store: &Arc<dyn Store>, query: &DocQuery) -> Vec<String> {
    let mut query = query.clone();
    let mut keys = Vec::new();
    loop {
        let page = store.documents(&query).await.unwrap();
        assert!(page.items.len() <= query.limit as usize);
        keys.extend(page.items.into_iter().map(|d| d.key));
        query.after = page.next;
        if query.after.is_none() {
            return keys;
        }
    }
}

async fn a_document_reads_as_it_was_written(store: Arc<dyn Store>) {
    let mut row = Document {
        index: [Some("a".to_owned()), None, Some(String::new())],
        expires_at: Some(at(10)),
        ..document("kind", "key")
    };
    accepted(store.commit(&put([row.clone()])).await);
    row.version = 1;
    assert_eq!(store.documents(&all()).await.unwrap().items, [row]);
}

async fn a_document_is_replaced_at_its_version(store: Arc<dyn Store>) {
    accepted(store.commit(&put([document("kind", "key")])).await);
    conflict(store.commit(&put([document("kind", "key")])).await);
    let mut row = Document {
        version: 1,
        body: serde_json::json!("second"),
        ..document("kind", "key")
    };
    accepted(store.commit(&put([row.clone()])).await);
    conflict(store.commit(&put([row.clone()])).await);
    row.version = 2;
    let stored = store.document("kind", "key", at(0)).await.unwrap();
    assert_eq!(stored, Some(row));
    let absent = Document {
        version: 1,
        ..document("kind", "absent")
    };
    conflict(store.commit(&put([absent])).await);
}

async fn a_document_is_removed_at_its_version(store: Arc<dyn Store>) {
    accepted(store.commit(&put([document("kind", "key")])).await);
    conflict(store.commit(&remove("key", 2)).await);
    conflict(store.commit(&remove("absent", 1)).await);
    accepted(store.commit(&remove("key", 1)).await);
    assert_eq!(keys(&store, &all()).await, [""; 0]);
    conflict(store.commit(&remove("key", 1)).await);
    accepted(store.commit(&put([document("kind", "key")])).await);
    let row = store.document("kind", "key", at(0)).await.unwrap();
    assert_eq!(row.map(|d| d.version), Some(1));
}

fn expiring(key: &str, at: Time) -> Document {
    Document {
        expires_at: Some(at),
        index: [Some("same".to_owned()), None, None],
        ..document("kind", key)
    }
}

async fn a_document_that_has_expired_is_not_there(store: Arc<dyn Store>) {
    let rows = [expiring("early", at(10)), expiring("late", at(20))];
    accepted(store.commit(&put(rows)).await);
    for (now, expected) in [
        (at(9), &["early", "late"][..]),
        (at(10), &["late"]),
        (at(20), &[]),
    ] {
        let mut query = DocQuery { now, ..all() };
        assert_eq!(keys(&store, &query).await, expected, "{now}");
        query.index = Some((0, "same".to_owned()));
        assert_eq!(keys(&store, &query).await, expected, "{now}");
    }
}

async fn a_document_may_follow_one_that_has_expired(store: Arc<dyn Store>) {
    accepted(store.commit(&put([expiring("key", at(10))])).await);
    let again = |now, version| Changes {
        now,
        ..put([Document {
            version,
            ..expiring("key", at(100))
        }])
    };
    conflict(store.commit(&again(at(9), 0)).await);
    conflict(store.commit(&again(at(10), 1)).await);
    let late = Changes {
        now: at(10),
        ..remove("key", 1)
    };
    conflict(store.commit(&late).await);
    accepted(store.commit(&again(at(10), 0)).await);
    let row = store.document("kind", "key", at(10)).await.unwrap();
    assert_eq!(row.map(|d| d.version), Some(1));
}

const KEYS: [&str; 9] = ["a", "A", "a/1", "a/2", "a0", "ä", "z", "漢", "_"];

async fn put_keys(store: &Arc<dyn Store>) -> Vec<&'static str> {
    let rows = KEYS.map(|key| document("kind", key));
    accepted(store.commit(&put(rows)).await);
    let mut sorted = KEYS.to_vec();
    sorted.sort();
    sorted
}

async fn documents_come_by_key(store: Arc<dyn Store>) {
    let sorted = put_keys(&store).await;
    assert_eq!(keys(&store, &all()).await, sorted);
}

async fn documents_come_by_falling_key(store: Arc<dyn Store>) {
    let mut sorted = put_keys(&store).await;
    sorted.reverse();
    let query = DocQuery {
        newest_first: true,
        ..all()
    };
    assert_eq!(keys(&store, &query).await, sorted);
}

async fn documents_are_found_by_prefix(store: Arc<dyn Store>) {
    put_keys(&store).await;
    for (prefix, expected) in [
        ("a", &["a", "a/1", "a/2", "a0"][..]),
        ("a/", &["a/1", "a/2"]),
        ("a/2", &["a/2"]),
        ("_", &["_"]),
        ("%", &[]),
        ("漢", &["漢"]),
        ("\u{10ffff}", &[]),
    ] {
        for limit in [1, 2, 1000] {
            let mut query = DocQuery {
                prefix: prefix.to_owned(),
                limit,
                ..all()
            };
            assert_eq!(keys(&store, &query).await, expected, "{prefix}");
            query.newest_first = true;
            let mut falling = keys(&store, &query).await;
            falling.reverse();
            assert_eq!(falling, expected, "{prefix}");
        }
    }
    // A page that is asked for beyond the prefix has none of its keys.
    let mut query = DocQuery {
        prefix: "a/".to_owned(),
        after: Some("z".to_owned()),
        ..all()
    };
    assert_eq!(keys(&store, &query).await, [""; 0]);
    query.after = Some("A".to_owned());
    assert_eq!(keys(&store, &query).await, ["a/1", "a/2"]);
    query.newest_first = true;
    assert_eq!(keys(&store, &query).await, [""; 0]);
}

fn indexed(key: &str, index: [&str; 3]) -> Document {
    Document {
        index: index.map(|value| (!value.is_empty()).then(|| value.to_owned())),
        ..document("kind", key)
    }
}

async fn documents_are_found_by_index(store: Arc<dyn Store>) {
    let rows = [
        indexed("a/1", ["red", "x", ""]),
        indexed("a/2", ["blue", "x", ""]),
        indexed("b/1", ["red", "", "y"]),
        indexed("b/2", ["", "", ""]),
    ];
    accepted(store.commit(&put(rows)).await);
    for (n, value, prefix, expected) in [
        (0, "red", "", &["a/1", "b/1"][..]),
        (0, "red", "a", &["a/1"]),
        (0, "blue", "", &["a/2"]),
        (0, "re", "", &[]),
        (0, "", "", &[]),
        (1, "x", "", &["a/1", "a/2"]),
        (1, "y", "", &[]),
        (2, "y", "", &["b/1"]),
    ] {
        for limit in [1, 10] {
            let mut query = DocQuery {
                prefix: prefix.to_owned(),
                index: Some((n, value.to_owned())),
                limit,
                ..all()
            };
            assert_eq!(keys(&store, &query).await, expected, "{n} {value} {prefix}");
            query.newest_first = true;
            let mut falling = keys(&store, &query).await;
            falling.reverse();
            assert_eq!(falling, expected, "{n} {value} {prefix}");
        }
    }
}

async fn an_index_follows_its_document(store: Arc<dyn Store>) {
    let by = |value: &str| DocQuery {
        index: Some((0, value.to_owned())),
        ..all()
    };
    accepted(store.commit(&put([indexed("key", ["red", "", ""])])).await);
    let blue = Document {
        version: 1,
        ..indexed("key", ["blue", "", ""])
    };
    accepted(store.commit(&put([blue])).await);
    assert_eq!(keys(&store, &by("red")).await, [""; 0]);
    assert_eq!(keys(&store, &by("blue")).await, ["key"]);
    accepted(store.commit(&remove("key", 2)).await);
    assert_eq!(keys(&store, &by("blue")).await, [""; 0]);
}

async fn pages_of_documents_cover_each_once(store: Arc<dyn Store>) {
    let mut expected = put_keys(&store).await;
    for newest_first in [false, true] {
        for limit in [1, 2, 4, 9, 10] {
            let query = DocQuery {
                newest_first,
                limit,
                ..all()
            };
            assert_eq!(keys(&store, &query).await, expected, "{limit}");
        }
        expected.reverse();
    }
}

async fn kinds_do_not_mix(store: Arc<dyn Store>) {
    let rows = [
        document("kind", "b"),
        document("kin", "a"),
        document("kind2", "a"),
    ];
    accepted(store.commit(&put(rows)).await);
    assert_eq!(keys(&store, &all()).await, ["b"]);
    let query = DocQuery {
        kind: "%".to_owned(),
        ..all()
    };
    assert_eq!(keys(&store, &query).await, [""; 0]);
}

async fn a_unique_key_is_won_once(store: Arc<dyn Store>) {
    let claim = |n| {
        put([Document {
            body: serde_json::json!(n),
            ..document("template-name", "PyTorch")
        }])
    };
    let results = at_once(&store, (0..8).map(claim).collect()).await;
    let winner = results.iter().position(Result::is_ok).unwrap();
    let row = store.document("template-name", "PyTorch", at(0)).await;
    assert_eq!(row.unwrap().unwrap().body, serde_json::json!(winner));
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(conflict);
}

async fn queries_that_make_no_sense_are_invalid(store: Arc<dyn Store>) {
    for limit in [0, 1001] {
        invalid(store.documents(&DocQuery { limit, ..all() }).await);
    }
    let query = DocQuery {
        index: Some((3, "x".to_owned())),
        ..all()
    };
    invalid(store.documents(&query).await);
    invalid(
        store
            .commit(&put([document("kind", &"k".repeat(801))]))
            .await,
    );
}
