//! `GET /api/events`: what one may see, from where one was, for as long as one may.

use std::time::Duration;

use neuropod::Clock;
use neuropod::event::{EventKind, NewEvent};
use neuropod::store::Changes;
use serde_json::{Value, json};

use crate::support::{ANA, BEN, ROOT, Sent, Server, Stream};

async fn open(server: &Server, token: &str, after: Option<&str>) -> (Stream, String) {
    let mut request = server.get("/api/events").bearer(token);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let mut stream = request.open().await;
    assert_eq!(stream.status, 200);
    let first = stream.next().await.expect("it begins");
    assert_eq!((first.event.as_str(), &first.data), ("", &Value::Null));
    (stream, first.id)
}

async fn next(stream: &mut Stream) -> Sent {
    stream.next().await.expect("it goes on")
}

async fn broadcast(server: &Server, message: &str) {
    let event = NewEvent {
        kind: EventKind::Broadcast,
        at: server.platform.clock().now(),
        pod: None,
        owner: None,
        body: json!({ "message": message }),
    };
    let changes = Changes {
        events: vec![event],
        ..Changes::default()
    };
    server.platform.store().commit(&changes).await.unwrap();
}

#[tokio::test]
async fn each_is_told_what_is_theirs_and_goes_on_where_they_were() {
    let server = Server::start().await;
    let (ana, ben, root) = (
        server.token(ANA).await,
        server.token(BEN).await,
        server.token(ROOT).await,
    );
    let (mut hers, began_at) = open(&server, &ana, None).await;
    let (mut his, _) = open(&server, &ben, None).await;
    let (mut roots, _) = open(&server, &root, None).await;
    let pod = server.launch(&ana).await;
    server.settle().await;
    broadcast(&server, "hello").await;

    let mut all = Vec::new();
    loop {
        let sent = next(&mut hers).await;
        assert_eq!(next(&mut roots).await, sent);
        let last = sent.event == "broadcast";
        all.push(sent);
        if last {
            break;
        }
    }
    assert_eq!(all[0].event, "podCreated");
    assert!(all.len() > 2, "{all:?}");
    for sent in &all[..all.len() - 1] {
        assert_eq!(sent.data["type"], sent.event);
        assert_eq!(sent.data["podId"], pod);
        assert_eq!(sent.data["details"]["podName"], "My pod");
        assert!(sent.data["timestamp"].is_string());
    }
    assert_eq!(next(&mut his).await.event, "broadcast", "nothing of hers");

    for (n, sent) in all.iter().enumerate() {
        let (mut again, _) = open(&server, &ana, Some(&sent.id)).await;
        for missed in &all[n + 1..] {
            assert_eq!(next(&mut again).await, *missed);
        }
    }
    let (mut again, _) = open(&server, &ana, Some(&began_at)).await;
    assert_eq!(next(&mut again).await, all[0]);
    for stranger in ["x", "1.2.3", "%00", &"9".repeat(2000)] {
        let (mut again, _) = open(&server, &ana, Some(stranger)).await;
        let reset = next(&mut again).await;
        assert_eq!(reset.event, "reset", "{stranger}");
        let (mut on, _) = open(&server, &ana, Some(&reset.id)).await;
        broadcast(&server, "on").await;
        assert_eq!(next(&mut on).await.data["details"]["message"], "on");
    }
}

#[tokio::test]
async fn it_ends_within_a_second_of_the_session_on_any_replica_and_says_why() {
    let here = Server::start().await;
    let there = here.beside(&["--dev", "--admin-emails", ROOT]).await;
    let token = here.token(ANA).await;
    let (mut stream, _) = open(&here, &token, None).await;
    there.post("/api/auth/logout").bearer(&token).send().await;
    let end = tokio::time::timeout(Duration::from_secs(1), stream.next());
    let end = end.await.expect("within a second").unwrap();
    assert_eq!(end.event, "end");
    assert_eq!(
        end.data["message"],
        "This session has ended. Sign in again."
    );
    assert_eq!(stream.next().await, None);
    let refused = here.get("/api/events").bearer(&token).send().await;
    refused.problem(401, "unauthenticated");
}
