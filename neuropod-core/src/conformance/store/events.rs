//! Events: every one, once, in an order that never reveals an earlier one later.

use std::sync::Arc;
use std::time::Duration;

use super::samples::{event, pod, pod_id, user_id};
use super::{accepted, invalid};
use crate::conformance::{Case, cases};
use crate::event::{Event, EventKind, NewEvent};
use crate::store::{Changes, EventPage, EventQuery, Store};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        events_come_in_order_with_all_they_say,
        events_of_a_refused_commit_do_not_come,
        pages_of_events_cover_each_once,
        a_cursor_goes_on_where_it_was,
        the_newest_cursor_is_after_all_that_shows,
        a_cursor_before_the_first_event_goes_on,
        a_cursor_that_is_none_is_reset,
        a_cursor_that_is_too_old_is_reset,
        a_cursor_of_another_life_is_reset,
        limits_of_events_out_of_range_are_invalid,
        events_at_once_never_reveal_an_earlier_one_later,
    ]
}

fn changes(events: impl IntoIterator<Item = NewEvent>) -> Changes {
    Changes {
        events: events.into_iter().collect(),
        ..Changes::default()
    }
}

async fn after(store: &Arc<dyn Store>, cursor: Option<&str>, limit: u32) -> EventPage {
    let query = EventQuery {
        after: cursor.map(str::to_owned),
        limit,
    };
    store.events(&query).await.unwrap()
}

/// Waits until so many events show.
pub(super) async fn shown(store: &Arc<dyn Store>, count: usize) {
    for _ in 0..2000 {
        if after(store, None, 1000).await.events.len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{count} events were written, but others show");
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events
        .iter()
        .map(|e| e.event.body["n"].as_u64().unwrap())
        .collect()
}

async fn events_come_in_order_with_all_they_say(store: Arc<dyn Store>) {
    let mut broadcast = event(2);
    (broadcast.kind, broadcast.pod, broadcast.owner) = (EventKind::Broadcast, None, None);
    let written = [event(3), broadcast, event(1)];
    accepted(store.commit(&changes(written[..2].to_vec())).await);
    accepted(store.commit(&changes(written[2..].to_vec())).await);
    shown(&store, 3).await;
    let page = after(&store, None, 1000).await;
    assert!(!page.reset);
    let events: Vec<_> = page.events.into_iter().map(|e| e.event).collect();
    assert_eq!(events, written);
}

async fn events_of_a_refused_commit_do_not_come(store: Arc<dyn Store>) {
    let mut stale = pod(1, 1);
    stale.version = 1;
    let refused = Changes {
        pods: vec![stale],
        ..changes([event(1)])
    };
    assert!(store.commit(&refused).await.is_err());
    accepted(store.commit(&changes([event(2)])).await);
    shown(&store, 1).await;
    assert_eq!(numbers(&after(&store, None, 10).await.events), [2]);
}

async fn pages_of_events_cover_each_once(store: Arc<dyn Store>) {
    for n in 0..10 {
        accepted(
            store
                .commit(&changes([event(2 * n), event(2 * n + 1)]))
                .await,
        );
    }
    shown(&store, 20).await;
    for limit in [1, 3, 20, 1000] {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = after(&store, cursor.as_deref(), limit).await;
            assert!(!page.reset && page.events.len() <= limit as usize);
            if page.events.is_empty() {
                break;
            }
            found.extend(numbers(&page.events));
            cursor = Some(page.cursor);
        }
        assert_eq!(found, (0..20).collect::<Vec<_>>(), "{limit}");
    }
}

async fn a_cursor_goes_on_where_it_was(store: Arc<dyn Store>) {
    accepted(store.commit(&changes((0..5).map(event))).await);
    shown(&store, 5).await;
    let page = after(&store, None, 1000).await;
    // The place of each event, and of the page, is a place to go on from.
    for (n, event) in (0..).zip(&page.events) {
        let rest = after(&store, Some(&event.cursor), 1000).await;
        assert!(!rest.reset);
        assert_eq!(numbers(&rest.events), (n + 1..5).collect::<Vec<_>>());
    }
    let rest = after(&store, Some(&page.cursor), 1000).await;
    assert_eq!((rest.events.len(), rest.reset), (0, false));
    accepted(store.commit(&changes([event(5)])).await);
    shown(&store, 6).await;
    let rest = after(&store, Some(&rest.cursor), 1000).await;
    assert_eq!(numbers(&rest.events), [5]);
}

async fn the_newest_cursor_is_after_all_that_shows(store: Arc<dyn Store>) {
    for n in 0..3 {
        let newest = store.newest().await.unwrap();
        let page = after(&store, Some(&newest), 10).await;
        assert_eq!((page.events.len(), page.reset), (0, false));
        accepted(
            store
                .commit(&changes([event(2 * n), event(2 * n + 1)]))
                .await,
        );
        shown(&store, 2 * n as usize + 2).await;
        let page = after(&store, Some(&newest), 10).await;
        assert_eq!(
            (numbers(&page.events), page.reset),
            (vec![2 * n, 2 * n + 1], false)
        );
    }
}

async fn a_cursor_before_the_first_event_goes_on(store: Arc<dyn Store>) {
    let page = after(&store, None, 10).await;
    assert_eq!((page.events.len(), page.reset), (0, false));
    let page = after(&store, Some(&page.cursor), 10).await;
    assert_eq!((page.events.len(), page.reset), (0, false));
    accepted(store.commit(&changes([event(1)])).await);
    shown(&store, 1).await;
    let page = after(&store, Some(&page.cursor), 10).await;
    assert_eq!((numbers(&page.events), page.reset), (vec![1], false));
}

async fn a_cursor_that_is_none_is_reset(store: Arc<dyn Store>) {
    accepted(store.commit(&changes([event(1), event(2)])).await);
    shown(&store, 2).await;
    for cursor in [
        "",
        "x",
        "0",
        "-1",
        "1.2.3.4.5",
        "9.9.9",
        "\0",
        "漢",
        "18446744073709551616",
    ] {
        let page = after(&store, Some(cursor), 10).await;
        assert_eq!(
            (numbers(&page.events), page.reset),
            (vec![1, 2], true),
            "{cursor}"
        );
        let rest = after(&store, Some(&page.cursor), 10).await;
        assert_eq!((rest.events.len(), rest.reset), (0, false));
    }
}

async fn a_cursor_that_is_too_old_is_reset(store: Arc<dyn Store>) {
    const DAY: u64 = 24 * 3600;
    accepted(store.commit(&changes([event(1), event(2)])).await);
    shown(&store, 2).await;
    let first = after(&store, None, 1).await;
    accepted(store.commit(&changes([event(6 * DAY)])).await);
    shown(&store, 3).await;
    let page = after(&store, Some(&first.cursor), 10).await;
    assert_eq!((page.events.len(), page.reset), (2, false));
    accepted(store.commit(&changes([event(8 * DAY)])).await);
    shown(&store, 2).await;
    let page = after(&store, Some(&first.cursor), 10).await;
    assert_eq!(
        (numbers(&page.events), page.reset),
        (vec![6 * DAY, 8 * DAY], true)
    );
    let page = after(&store, None, 10).await;
    assert_eq!((page.events.len(), page.reset), (2, false));
}

async fn a_cursor_of_another_life_is_reset(store: Arc<dyn Store>) {
    let other: Arc<dyn Store> = Arc::new(crate::memory::MemoryStore::new());
    accepted(other.commit(&changes([event(1)])).await);
    let cursor = after(&other, None, 1).await.cursor;
    accepted(store.commit(&changes([event(2), event(3)])).await);
    shown(&store, 2).await;
    let page = after(&store, Some(&cursor), 10).await;
    assert_eq!((numbers(&page.events), page.reset), (vec![2, 3], true));
}

async fn limits_of_events_out_of_range_are_invalid(store: Arc<dyn Store>) {
    for limit in [0, 1001] {
        let query = EventQuery { after: None, limit };
        invalid(store.events(&query).await);
    }
}

async fn events_at_once_never_reveal_an_earlier_one_later(store: Arc<dyn Store>) {
    const WRITERS: u64 = 8;
    const COMMITS: u64 = 25;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..COMMITS {
                    let n = writer * COMMITS + n;
                    let mut two = changes([event(n), event(n)]);
                    // Some commits take longer than others.
                    two.pods = (0..n % 4).map(|k| pod(1000 + 4 * n + k, 1)).collect();
                    accepted(store.commit(&two).await);
                }
            })
        })
        .collect();
    let mut followed = Vec::new();
    let mut cursor = None;
    let mut tries = 0;
    while (followed.len() as u64) < 2 * WRITERS * COMMITS {
        let page = after(&store, cursor.as_deref(), 7).await;
        assert!(!page.reset);
        cursor = Some(page.cursor);
        if page.events.is_empty() {
            tries += 1;
            assert!(tries < 20_000, "only {} events show", followed.len());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        followed.extend(page.events);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let whole = after(&store, None, 1000).await.events;
    assert_eq!(
        followed, whole,
        "who followed has seen all, in the same order"
    );
    for writer in 0..WRITERS {
        let own = writer * COMMITS..(writer + 1) * COMMITS;
        let mut numbers = numbers(&whole);
        numbers.retain(|n| own.contains(n));
        let expected: Vec<_> = own.flat_map(|n| [n, n]).collect();
        assert_eq!(numbers, expected, "each writer's events are in its order");
    }
    assert!(whole.iter().all(|e| e.event.owner == Some(user_id(1))));
    assert!(whole.iter().any(|e| e.event.pod == Some(pod_id(0))));
}
