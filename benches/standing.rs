//! Pods that only run and are paid for: what they cost in memory and when nothing happens, how soon it is found that one
//! of their accounts has run dry, how soon a server that is started anew knows all of them again, and what it costs to
//! read them. Each is measured in a process of its own.

use std::process::Stdio;
use std::time::{Duration, Instant};

use neuropod_benches::databases::{Folder, new_schema, postgres};
use neuropod_benches::fleet::{Fleet, fill, payer, run, running_pod};
use neuropod_benches::report::{Limit, figure, heading};
use neuropod_benches::{Scale, process, writes};
use neuropod_core::auth::Identity;
use neuropod_core::billing::{Credit, Prepaid};
use neuropod_core::funds::meters;
use neuropod_core::id::AccountId;
use neuropod_core::pod::{Desired, Pod};
use neuropod_core::store::{PodFilter, PodQuery, Store, StoreExt};
use neuropod_core::{Platform, Result, Time};
use neuropod_store::SqlStore;
use serde::{Deserialize, Serialize};

/// What a process that holds the pods has measured, in seconds and bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    ready: f64,
    resynced: f64,
    resident: u64,
    idle_cpu: f64,
    idle_writes: f64,
    found: f64,
    get: f64,
    first_page: f64,
    last_page: f64,
}

/// What such a process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    url: String,
    pods: u64,
    sample: Pod,
    /// How long it looks at itself while nothing happens, in seconds.
    idle: u64,
    /// How often it reads a pod.
    reads: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Ok(order) = std::env::var("NEUROPOD_BENCH_ORDER") {
        let order = serde_json::from_str(&order).expect("an order as it was given");
        let measured = hold(&order).await?;
        println!("{}", serde_json::to_string(&measured).expect("plain data"));
        return Ok(());
    }
    let scale = Scale::asked();
    heading("Running pods on SQLite");
    let (empty, full) = (Folder::new(), Folder::new());
    over(&empty.url(), &full.url(), scale).await?;
    let Some(server) = postgres() else {
        println!(
            "\nRunning pods on PostgreSQL: not measured, NEUROPOD_TEST_POSTGRES names no server"
        );
        return Ok(());
    };
    heading("Running pods on PostgreSQL (its own CPU time is not counted)");
    let (empty, full) = (new_schema(&server).await, new_schema(&server).await);
    over(&empty.url, &full.url, scale).await?;
    empty.remove().await;
    full.remove().await;
    Ok(())
}

async fn over(empty: &str, full: &str, scale: Scale) -> Result<()> {
    let pods = scale.of(100_000, 120);
    let sample = running_pod().await?;
    fill(&SqlStore::open(empty).await?, &sample, 1).await?;
    fill(&SqlStore::open(full).await?, &sample, pods).await?;
    let order = |url: &str, pods| Order {
        url: url.to_owned(),
        pods,
        sample: sample.clone(),
        idle: scale.of(IDLE, 1),
        reads: scale.of(10_000, 10),
    };
    let one = send(&order(empty, 1)).await;
    let measured = send(&order(full, pods)).await;
    let per_pod = measured.resident.saturating_sub(one.resident) as f64 / pods as f64;
    let at_most = Limit::AtMost;
    println!("  {pods} pods");
    figure("resident memory per pod", per_pod, "bytes", at_most(2048.0));
    figure(
        "resident memory with one pod",
        one.resident as f64 / 1e6,
        "MB",
        Limit::None,
    );
    figure(
        "idle: of one core",
        measured.idle_cpu * 100.0,
        "%",
        at_most(0.5),
    );
    figure(
        "idle: writes to the store",
        measured.idle_writes,
        "/s",
        at_most(0.2),
    );
    figure(
        "run dry: until all of the account's pods are to stop",
        measured.found,
        "s",
        at_most(1.0),
    );
    figure("started anew: ready", measured.ready, "s", at_most(2.0));
    figure(
        "started anew: resynced",
        measured.resynced,
        "s",
        at_most(5.0),
    );
    let micros = |what, seconds: f64, most| figure(what, seconds * 1e6, "µs", at_most(most));
    micros("GET one pod, CPU", measured.get, 60.0);
    micros("GET the first page of 50, CPU", measured.first_page, 400.0);
    micros("GET the last page of 50, CPU", measured.last_page, 400.0);
    Ok(())
}

/// Long enough for several sweeps.
const IDLE: u64 = 300;

/// Has an order carried out by a process of its own.
async fn send(order: &Order) -> Measured {
    let program = std::env::current_exe().expect("this program has a file");
    let order = serde_json::to_string(order).expect("plain data");
    let child = std::process::Command::new(program)
        .env("NEUROPOD_BENCH_ORDER", order)
        .stderr(Stdio::inherit())
        .output();
    let output = child.expect("this program can be started again").stdout;
    serde_json::from_slice(&output).expect("what the other process has measured")
}

async fn hold(order: &Order) -> Result<Measured> {
    let began = Instant::now();
    let store = std::sync::Arc::new(SqlStore::open(&order.url).await?);
    let fleet = Fleet::new(order.pods, &order.sample);
    let platform = Platform::builder()
        .store(store.clone())
        .billing(Prepaid::new(store.clone()))
        .orchestrator(fleet.clone())
        .build()
        .await?;
    let me = Identity::local();
    let start = platform.clock().now();
    store.pod(run(0).pod).await?;
    let ready = began.elapsed();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let loops = {
        let platform = platform.clone();
        tokio::spawn(async move { platform.run(async { drop(ended.await) }).await })
    };
    while swept(&*store, start).await? < start {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let resynced = began.elapsed();

    let written = writes::count(&order.url).await;
    let (cpu, since) = (process::cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(order.idle)).await;
    let idle = since.elapsed().as_secs_f64();
    let idle_cpu = (process::cpu() - cpu).as_secs_f64() / idle;
    let idle_writes = (writes::count(&order.url).await - written) as f64 / idle;
    let resident = process::resident();
    fleet.changes();
    let found = run_dry(&platform, &*store).await?;
    // So that no sweep comes between the reads.
    let _ = end.send(());
    let _ = loops.await;

    let get = cost(order.reads, |n| {
        let id = run(u64::from(n) % order.pods).pod;
        let (platform, me) = (platform.clone(), me.clone());
        async move { platform.pod(&me, id).await.map(drop) }
    });
    let get = get.await?;
    let page = |after: Option<String>| {
        cost(order.reads / 10, move |_| {
            let (platform, me, after) = (platform.clone(), me.clone(), after.clone());
            async move {
                platform
                    .pods(&me, order.sample.owner, after, 50)
                    .await
                    .map(drop)
            }
        })
    };
    let first_page = page.clone()(None).await?;
    let last_page = page(last(&*store, order).await?).await?;
    Ok(Measured {
        ready: ready.as_secs_f64(),
        resynced: resynced.as_secs_f64(),
        resident,
        idle_cpu,
        idle_writes,
        found: found.as_secs_f64(),
        get,
        first_page,
        last_page,
    })
}

/// How long money lasts that is about to run out.
const LASTS: Duration = Duration::from_secs(3);

/// Lets the money of one account run out, and answers how long after that all of its pods are to stop.
async fn run_dry(platform: &Platform, store: &dyn Store) -> Result<Duration> {
    let account = payer(0);
    let its_pods = || store.all_pods(PodFilter::PaidBy(account.clone()));
    let now = platform.clock().now();
    let pods = its_pods().await?;
    let dry = now + LASTS;
    let meters = pods.iter().flat_map(|pod| meters(&account, pod, dry));
    let credit = Credit {
        id: "the last".to_owned(),
        account: account.clone(),
        from: AccountId::from("funding"),
        amount: meters.map(|(_, total)| total).sum(),
        memo: String::new(),
        actor: None,
        at: now,
    };
    platform.book(&credit).await?;
    loop {
        let pods = its_pods().await?;
        let stops = |pod: &Pod| (pod.desired == Desired::Stopped).then_some(pod.updated_at);
        let dry = pods[0].run.as_ref().and_then(|run| run.cutoff);
        let told: Option<Vec<Time>> = pods.iter().map(stops).collect();
        if let (Some(dry), Some(told)) = (dry, told) {
            return Ok(told.into_iter().max().unwrap_or(dry).since(dry));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When the newest complete sweep asked for its list: what it writes when it is through.
async fn swept(store: &dyn Store, now: Time) -> Result<Time> {
    let document = store.document("sweep", "default", now).await?;
    let listed = document.and_then(|d| serde_json::from_value(d.body["listed_at"].clone()).ok());
    Ok(listed.unwrap_or_default())
}

/// CPU time of one call, in seconds.
async fn cost<F: Future<Output = Result<()>>>(times: u32, call: impl Fn(u32) -> F) -> Result<f64> {
    let cpu = process::cpu();
    for n in 0..times {
        call(n).await?;
    }
    Ok((process::cpu() - cpu).as_secs_f64() / f64::from(times))
}

/// Where the last full page of the owner's pods begins.
async fn last(store: &dyn Store, order: &Order) -> Result<Option<String>> {
    let mut query = PodQuery {
        filter: PodFilter::OwnedBy(order.sample.owner),
        after: None,
        limit: 50,
    };
    let mut before = None;
    loop {
        let page = store.pods(&query).await?;
        match page.next {
            None => return Ok(before),
            next => before = std::mem::replace(&mut query.after, next),
        }
    }
}
