//! What a delivery to a socket costs, and what a socket takes that is quiet: our whole way from the store's event to the
//! client, beside node's own Socket.IO, which begins at the emit. Server and clients are processes of their own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::serve;
use futures::{SinkExt, StreamExt, stream};
use neuropod_benches::report::{Limit, figure, heading};
use neuropod_benches::{Scale, process};
use neuropod_core::event::{EventKind, NewEvent};
use neuropod_core::memory::MemoryStore;
use neuropod_core::store::Changes;
use neuropod_core::{Clock, Platform, Result, Store};
use neuropod_server::{Config, patient, router};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// Milliseconds between two events that are spaced out.
const APART: u64 = 20;
/// So many events of a burst are told before all have heard them: who is further behind is told that he missed some.
const BURST: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [role, ..] if role == "serve" => server().await,
        [role, address, count, ..] if role == "listen" => {
            clients(
                address.parse().expect("an address"),
                count.parse().expect("a count"),
            )
            .await;
            Ok(())
        }
        _ => {
            measure(Scale::asked()).await;
            Ok(())
        }
    }
}

async fn measure(scale: Scale) {
    let folder = std::env::var("NEUROPOD_TEST_SOCKET_IO").ok();
    if folder.is_none() {
        println!(
            "  node's socket.io is not measured: NEUROPOD_TEST_SOCKET_IO does not name where it is"
        );
    }
    for sockets in [1, 100, 2000].map(|n| scale.of(n, n.min(5))) {
        heading(&format!("Deliveries to {sockets} sockets"));
        let ours = one(Talker::ours().await, sockets, scale).await;
        ours.print("", None, sockets);
        if let Some(folder) = &folder {
            let theirs = one(Talker::node(folder).await, sockets, scale).await;
            theirs.print("node: ", None, sockets);
            ours.print("of node: ", Some(&theirs), sockets);
        }
    }
}

/// What one server has reached.
struct Reached {
    spaced: f64,
    burst: f64,
    memory: f64,
}

impl Reached {
    fn print(&self, whose: &str, beside: Option<&Self>, sockets: u64) {
        match beside {
            None => {
                let spaced = format!("{whose}spaced out, per second of CPU time");
                figure(&spaced, self.spaced, "/s", Limit::None);
                let burst = format!("{whose}in bursts, per second of CPU time");
                figure(&burst, self.burst, "/s", Limit::None);
                // Few have to share what the first one begins.
                let limit = match whose {
                    "" if sockets >= 2000 => Limit::AtMost(32.0),
                    _ => Limit::None,
                };
                figure(
                    &format!("{whose}memory of one that is quiet"),
                    self.memory,
                    "KiB",
                    limit,
                );
            }
            Some(other) => {
                let spaced = self.spaced / other.spaced;
                figure(
                    &format!("{whose}spaced out"),
                    spaced,
                    "",
                    Limit::AtLeast(1.3),
                );
                let burst = self.burst / other.burst;
                figure(&format!("{whose}in bursts"), burst, "", Limit::AtLeast(5.0));
            }
        }
    }
}

async fn one(mut talker: Talker, sockets: u64, scale: Scale) -> Reached {
    let before = talker.resident();
    let mut listeners = Listeners::to(&talker.address, sockets).await;
    tokio::time::sleep(Duration::from_millis(scale.of(1000, 10))).await;
    let memory = talker.resident().saturating_sub(before) as f64 / sockets as f64 / 1024.0;
    // So that each measurement is of some seconds of CPU time, or takes no longer than that.
    let spaced = scale.of((400_000 / sockets).clamp(100, 300), 3);
    let burst = scale.of((2_000_000 / sockets).clamp(500, 200_000), 20);
    let mut per_second = async |events: u64, apart: u64| {
        let cpu = talker.cpu();
        let mut left = events;
        while left > 0 {
            let together = left.min(BURST);
            left -= together;
            talker.tell(together, apart).await;
            listeners.heard(together * sockets).await;
        }
        let cpu = (talker.cpu() - cpu).as_secs_f64().max(0.01);
        (events * sockets) as f64 / cpu
    };
    Reached {
        spaced: per_second(spaced, APART).await,
        burst: per_second(burst, 0).await,
        memory,
    }
}

/// A server that tells everybody what it is asked to tell.
struct Talker {
    program: Child,
    asks: ChildStdin,
    address: String,
    _says: Lines<BufReader<ChildStdout>>,
}

impl Talker {
    async fn ours() -> Self {
        let mut program = Command::new(std::env::current_exe().expect("this program"));
        program.arg("serve");
        Self::start(program).await
    }

    async fn node(folder: &str) -> Self {
        let mut program = Command::new("node");
        program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/socket_io.mjs"));
        program.env("NODE_PATH", format!("{folder}/node_modules"));
        Self::start(program).await
    }

    async fn start(mut program: Command) -> Self {
        let mut program = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let asks = program.stdin.take().expect("piped");
        let mut says = BufReader::new(program.stdout.take().expect("piped")).lines();
        let first = says.next_line().await.expect("it speaks");
        let address = first.expect("its address");
        Self {
            address: address.split(' ').next().unwrap_or_default().to_owned(),
            program,
            asks,
            _says: says,
        }
    }

    fn id(&self) -> String {
        self.program.id().expect("it runs").to_string()
    }

    fn cpu(&self) -> Duration {
        process::cpu_of(&self.id())
    }

    fn resident(&self) -> u64 {
        process::resident_of(&self.id())
    }

    async fn tell(&mut self, events: u64, apart: u64) {
        let line = format!("{events} {apart}\n");
        self.asks
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
    }
}

/// A process with many sockets that count what they are told.
struct Listeners {
    _program: Child,
    says: Lines<BufReader<ChildStdout>>,
    heard: u64,
}

impl Listeners {
    async fn to(address: &str, count: u64) -> Self {
        let mut program = Command::new(std::env::current_exe().expect("this program"))
            .args(["listen", address, &count.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let says = BufReader::new(program.stdout.take().expect("piped")).lines();
        let mut listeners = Self {
            _program: program,
            says,
            heard: 0,
        };
        listeners.heard(0).await;
        listeners
    }

    /// Waits until so much more was heard.
    async fn heard(&mut self, more: u64) {
        self.heard += more;
        loop {
            let line = self.says.next_line().await.expect("it speaks");
            let count: u64 = line.expect("a count").parse().expect("a count");
            if count == self.heard {
                return;
            }
        }
    }
}

/// Listens with so many sockets, and says how much they have heard whenever that has changed.
async fn clients(address: SocketAddr, count: usize) {
    let heard = Arc::new(AtomicU64::new(0));
    let changed = Arc::new(Notify::new());
    let opened = stream::iter(0..count).map(|_| open(address, heard.clone(), changed.clone()));
    opened.buffer_unordered(50).collect::<Vec<()>>().await;
    loop {
        println!("{}", heard.load(Ordering::Acquire));
        changed.notified().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Opens one that is let in, and counts from then on.
async fn open(address: SocketAddr, heard: Arc<AtomicU64>, changed: Arc<Notify>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = client_async(url, stream).await.expect("it upgrades");
    let token = Message::text("40{\"token\":\"x\"}");
    socket.send(token).await.expect("it reads");
    loop {
        let message = socket.next().await.expect("it goes on");
        let message = message.expect("it goes on");
        if message
            .to_text()
            .is_ok_and(|text| text.starts_with("42[\"connected\""))
        {
            break;
        }
    }
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            match message.to_text() {
                Ok("2") => socket.send(Message::text("3")).await.expect("it reads"),
                Ok(text) if text.starts_with("42[") => {
                    heard.fetch_add(1, Ordering::Release);
                    changed.notify_one();
                }
                _ => {}
            }
        }
    });
}

/// Our server over a store in memory, which writes an event for each that it is asked to tell.
async fn server() -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let platform = Platform::builder().store(store.clone()).build().await?;
    let clock = platform.clock().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let app = router(platform, &Config::default());
    tokio::spawn(async move { serve(patient(listener), app).await });
    println!("{address} -");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (events, apart) = line.split_once(' ').expect("two numbers");
        let (events, apart): (u64, u64) = (
            events.parse().expect("a number"),
            apart.parse().expect("a number"),
        );
        let mut left = events;
        while left > 0 {
            let together = if apart > 0 { 1 } else { left.min(200) };
            left -= together;
            let event = NewEvent {
                kind: EventKind::Broadcast,
                at: clock.now(),
                pod: None,
                owner: None,
                body: json!({ "message": "x".repeat(40) }),
            };
            let changes = Changes {
                events: vec![event; together as usize],
                ..Changes::default()
            };
            store.commit(&changes).await?;
            // In bursts too others have their turn, as after any commit that waits for a disk.
            tokio::time::sleep(Duration::from_millis(apart.max(1))).await;
        }
    }
    Ok(())
}
