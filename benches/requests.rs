//! What the server itself adds: the CPU time of a request through the whole router, authenticated, beside a bare axum route
//! that answers the same bytes; and what is left of its throughput when ten times as much is asked as it can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt;
use neuropod_benches::databases::Folder;
use neuropod_benches::fleet::{Fleet, fill, run, running_pod};
use neuropod_benches::report::{Limit, figure, heading};
use neuropod_benches::{Scale, process};
use neuropod_core::auth::{Credential, SessionRules, Sessions, SigningKeys};
use neuropod_core::billing::Prepaid;
use neuropod_core::id::AccountId;
use neuropod_core::money::Money;
use neuropod_core::pod::Secret;
use neuropod_core::store::Changes;
use neuropod_core::time::SystemClock;
use neuropod_core::{Auth, Clock, Platform, Result, Store};
use neuropod_server::{Config, router};
use neuropod_store::SqlStore;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// So many connections that ask one request after the other keep two cores busy.
const CONNECTIONS: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let scale = Scale::asked();
    let folder = Folder::new();
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(&folder.url()).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let secret = Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    let rules = SessionRules {
        allowed: None,
        development: true,
        ..SessionRules::default()
    };
    let keys = SigningKeys::new(&secret)?;
    let sessions = Sessions::new(store.clone(), clock.clone(), keys, rules);
    let sessions = Arc::new(sessions);
    let email = "ana@example.com".to_owned();
    let ana = sessions.sign_in(&Credential::Development { email }).await?;

    // With the one below, as many as fill the last page.
    let pods = scale.of(99_999, 119);
    let mut sample = running_pod().await?;
    sample.owner = ana.user.id;
    // As in a shop with many customers: what one of them pays for is little.
    sample.terms.payer = AccountId::from("grants");
    if let Some(run) = &mut sample.run {
        run.terms.payer = AccountId::from("grants");
    }
    if let Some(volume) = &mut sample.volume {
        volume.payer = AccountId::from("grants");
    }
    fill(&*store, &sample, pods).await?;
    let mut own = sample.clone();
    (own.id, own.version) = (run(pods).pod, 0);
    if let Some(run) = &mut own.run {
        run.terms.payer = AccountId::of(ana.user.id);
        run.terms.run_rate = Money::from_micros(3_600);
    }
    store
        .commit(&Changes {
            pods: vec![own],
            ..Changes::default()
        })
        .await?;
    let platform = Platform::builder()
        .billing(Prepaid::new(store.clone()))
        .store(store)
        .clock(clock)
        .auth(sessions.clone())
        .orchestrator(Fleet::new(pods, &sample))
        .build()
        .await?;
    let config = Config {
        dev: true,
        ..Config::default()
    };
    let app = router(platform, &config);
    let token = ana.token.reveal().to_owned();

    heading("Requests, with that many pods of the caller");
    println!("  {} pods on SQLite", pods + 1);
    let times = scale.of(5_000, 5);
    let one = move |n: u64| format!("/api/pods/{}", run(n % pods).pod);
    let shown = ask(&app, &one(0), &token).await;
    let last = last_page(&app, &token).await;
    let micros = |seconds: f64| seconds * 1e6;
    let bare = bare(shown);
    let at_most = Limit::AtMost;
    let cost_of_one = cost(&app, &token, times, one).await;
    figure("one pod, CPU", micros(cost_of_one), "µs", at_most(60.0));
    let own = format!("/api/pods/{}", run(pods).pod);
    let cost_of_own = cost(&app, &token, times, move |_| own.clone()).await;
    figure(
        "one pod that its owner pays for, CPU",
        micros(cost_of_own),
        "µs",
        at_most(60.0),
    );
    let beside = cost(&bare, &token, times, |_| "/".to_owned()).await;
    figure(
        "a bare route with the same bytes, CPU",
        micros(beside),
        "µs",
        Limit::None,
    );

    let first = "/api/pods?limit=50".to_owned();
    let page = ask(&app, &first, &token).await;
    let bare = self::bare(page);
    for (what, path) in [
        ("the first page of 50, CPU", first),
        ("the last page of 50, CPU", last),
    ] {
        let cost = cost(&app, &token, times / 5, move |_| path.clone()).await;
        figure(what, micros(cost), "µs", at_most(400.0));
    }
    let beside = cost(&bare, &token, times / 5, |_| "/".to_owned()).await;
    figure(
        "a bare route with the same bytes, CPU",
        micros(beside),
        "µs",
        Limit::None,
    );

    let credential = Credential::Bearer(ana.token);
    let before = process::cpu();
    let checks = scale.of(20_000, 10);
    for _ in 0..checks {
        sessions.authenticate(&credential).await?;
    }
    let check = (process::cpu() - before).as_secs_f64() / f64::from(checks);
    figure(
        "a token that was checked just now, CPU",
        micros(check),
        "µs",
        at_most(5.0),
    );

    heading("Ten times as many connections as keep the server busy");
    let took = Duration::from_millis(scale.of(5_000, 50));
    let path = one(0);
    let alone = load(&app, &path, &token, CONNECTIONS, took).await;
    let crowded = load(&app, &path, &token, CONNECTIONS * 10, took).await;
    let per_second = |n: u64| n as f64 / took.as_secs_f64();
    figure(
        "answered per second",
        per_second(alone.good),
        "",
        Limit::None,
    );
    figure(
        "answered per second, with ten times as many",
        per_second(crowded.good),
        "",
        Limit::None,
    );
    figure(
        "told to come again per second",
        per_second(crowded.later),
        "",
        Limit::None,
    );
    let kept = crowded.good as f64 / alone.good.max(1) as f64;
    figure("answered, of what it can do", kept, "", Limit::AtLeast(0.9));
    assert_eq!(crowded.other, 0, "neither answered nor told to come again");
    Ok(())
}

/// A route that answers `value`, and does nothing else.
fn bare(value: Value) -> Router {
    let value = Arc::new(value);
    Router::new().route("/", get(move || async move { Json(value) }))
}

async fn ask(app: &Router, path: &str, token: &str) -> Value {
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .expect("a request");
    let answer = app.clone().oneshot(request).await.expect("it can't fail");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let bytes = answer.into_body().collect().await.expect("a body");
    serde_json::from_slice(&bytes.to_bytes()).expect("JSON")
}

/// So many requests are under way at once while their cost is measured, as in a server that has something to do: one that
/// falls asleep after each would be measured falling asleep.
const AT_ONCE: u32 = 8;

/// CPU time of one request, in seconds.
async fn cost(
    app: &Router,
    token: &str,
    times: u32,
    path: impl Fn(u64) -> String + Clone + Send + 'static,
) -> f64 {
    let each = times.div_ceil(AT_ONCE);
    let before = process::cpu();
    let askers = (0..AT_ONCE).map(|asker| {
        let (app, token, path) = (app.clone(), token.to_owned(), path.clone());
        tokio::spawn(async move {
            for n in 0..each {
                let path = path(u64::from(asker * each + n));
                let request = Request::get(path)
                    .header(header::HOST, "localhost")
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .body(Body::empty())
                    .expect("a request");
                let answer = app.clone().oneshot(request).await.expect("it can't fail");
                assert_eq!(answer.status(), StatusCode::OK);
                answer.into_body().collect().await.expect("a body");
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.expect("it ends");
    }
    (process::cpu() - before).as_secs_f64() / f64::from(AT_ONCE * each)
}

/// Where the last page of the caller's pods is.
async fn last_page(app: &Router, token: &str) -> String {
    let mut path = "/api/pods?limit=200".to_owned();
    loop {
        let page = ask(app, &path, token).await;
        let Some(next) = page["nextCursor"].as_str() else {
            return path.replace("limit=200", "limit=50");
        };
        path = format!("/api/pods?limit=200&cursor={next}");
    }
}

#[derive(Default)]
struct Answers {
    good: u64,
    later: u64,
    other: u64,
}

/// What so many connections are answered, each of which asks again as soon as it has an answer.
async fn load(
    app: &Router,
    path: &str,
    token: &str,
    connections: usize,
    took: Duration,
) -> Answers {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = app.clone();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    let (counts, over) = (
        Arc::<[AtomicU64; 3]>::default(),
        Arc::new(AtomicBool::new(false)),
    );
    let mut clients = Vec::new();
    for _ in 0..connections {
        let (request, counts, over) = (request.clone(), counts.clone(), over.clone());
        let stream = TcpStream::connect(address).await.expect("it listens");
        clients.push(tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            while !over.load(Ordering::Relaxed) {
                stream.write_all(request.as_bytes()).await.expect("sent");
                let kind = match answer(&mut stream).await {
                    200 => 0,
                    429 | 503 => 1,
                    _ => 2,
                };
                counts[kind].fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let began = Instant::now();
    tokio::time::sleep(took.saturating_sub(began.elapsed())).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("it ends");
    }
    server.abort();
    let [good, later, other] = [0, 1, 2].map(|kind| counts[kind].load(Ordering::Relaxed));
    Answers { good, later, other }
}

/// Reads one answer, and tells its status.
async fn answer(stream: &mut BufReader<TcpStream>) -> u16 {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).await.expect("a line");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().expect("a status");
        } else if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    status
}
