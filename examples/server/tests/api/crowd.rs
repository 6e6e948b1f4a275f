//! Many sockets at once, among them such that read nothing, go without a word, or send what is none of ours; and the end of
//! the program while all are there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::fuzz::number;
use crate::support::wire::Wire;
use crate::support::{ANA, Program, ROOT, Request, SECRET, a_pod};

/// A program over SQLite in a folder of its own.
struct Site {
    program: Program,
    folder: PathBuf,
}

impl Site {
    async fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("neuropod-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut all = vec![
            ("NEUROPOD_ORCHESTRATOR", "memory"),
            ("DATABASE_URL", "sqlite://crowd.db"),
            ("NEUROPOD_BILLING", "unmetered"),
            ("JWT_SECRET", SECRET),
            ("ADMIN_EMAILS", ROOT),
        ];
        all.extend(settings);
        let program = Program::start(&folder, &all).await;
        Self { program, folder }
    }

    fn address(&self) -> SocketAddr {
        self.program.address
    }

    async fn sign_in(&self, email: &str) -> String {
        let login = Request::new(self.address(), "POST", "/api/auth/mock-login");
        let answer = login.json(&json!({ "email": email })).send().await;
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn end(self) {
        self.program.kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn open_all(server: SocketAddr, token: &str, count: usize) -> Vec<Wire> {
    let opened = stream::iter(0..count).map(|_| Wire::open(server, token));
    opened.buffer_unordered(50).collect().await
}

/// Tells everybody a message of about a kilobyte.
async fn broadcast(server: SocketAddr, root: &str, n: usize) {
    let message = format!("{n} {}", "x".repeat(900));
    let told = Request::new(server, "POST", "/api/admin/broadcast").bearer(root);
    let told = told.json(&json!({ "message": message })).send().await;
    assert_eq!(told.status, 200, "{told:?}");
}

fn said(data: &Value) -> usize {
    let message = data["message"].as_str().unwrap();
    message.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_cut_and_the_others_miss_nothing() {
    let all = number("NEUROPOD_SOCKETS").unwrap_or(100);
    let stuck = all / 10;
    let site = Site::start("stuck", &[]).await;
    let server = site.address();
    let (ana, root) = (site.sign_in(ANA).await, site.sign_in(ROOT).await);
    let readers = open_all(server, &ana, all - stuck).await;
    let mut sleepers = Vec::new();
    for _ in 0..stuck {
        sleepers.push(Wire::narrow(server, &ana).await);
    }
    let before = site.program.resident();
    // More than waits for one socket, and than its connection takes.
    let messages = 2500;
    let reads = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            for n in 0..messages {
                assert_eq!(
                    said(&reader.next("broadcast").await),
                    n,
                    "each once, in order"
                );
            }
            reader
        })
    });
    let reads: Vec<_> = reads.collect();
    for n in 0..messages {
        broadcast(server, &root, n).await;
    }
    let told = Instant::now();
    let mut readers = Vec::new();
    for read in reads {
        readers.push(read.await.unwrap());
    }
    let each = site.program.resident().saturating_sub(before) / stuck as u64;
    println!("{each} bytes of memory for each of {stuck} that read nothing, of {all}");
    // What waits for one is 1,024 packets at most.
    assert!(each < 4 << 20, "{each}");

    // Their connections are over within 30 seconds, though they have not closed them.
    let deadline = told + Duration::from_secs(30);
    let path = "/api/admin/activity?action=SOCKET_DISCONNECT&limit=200";
    loop {
        let noted = Request::new(server, "GET", path).bearer(&root).send().await;
        let gone = noted.json()["data"].as_array().unwrap().len();
        if gone == stuck {
            break;
        }
        assert!(Instant::now() < deadline, "{gone} of {stuck} are cut");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    broadcast(server, &root, messages).await;
    for reader in &mut readers {
        assert_eq!(said(&reader.next("broadcast").await), messages);
    }
    drop(sleepers);
    site.end().await;
}

/// Opens a session by polling, and never comes back.
async fn abandon(server: SocketAddr, token: Option<&str>) {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = Request::new(server, "GET", path).send().await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let Some(token) = token else { return };
    let hello: Value = serde_json::from_str(&opened.body[1..]).unwrap();
    let path = format!("{path}&sid={}", hello["sid"].as_str().unwrap());
    let auth = format!("40{}", json!({ "token": token }));
    let sent = Request::new(server, "POST", &path).body(auth).send().await;
    // On a busy machine this one comes too late already.
    let given_up = sent.status == 400 && sent.body.contains("Session ID unknown");
    assert!(sent.status == 200 || given_up, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_sessions_take_no_memory_for_long() {
    let sessions = number("NEUROPOD_ABANDONED").unwrap_or(2000);
    let quick = [
        ("NEUROPOD_PING_INTERVAL", "1s"),
        ("NEUROPOD_PING_TIMEOUT", "1s"),
    ];
    let site = Site::start("abandoned", &quick).await;
    let server = site.address();
    let ana = site.sign_in(ANA).await;
    let mut resident = Vec::new();
    for _ in 0..6 {
        let all = (0..sessions / 4).map(|n| {
            let token = (n % 2 == 0).then_some(&*ana);
            abandon(server, token)
        });
        stream::iter(all)
            .buffer_unordered(50)
            .collect::<Vec<_>>()
            .await;
        // What has signed in is given up after two pings, what has not after a time of its own, whichever is first.
        tokio::time::sleep(Duration::from_secs(4)).await;
        resident.push(site.program.resident() >> 10);
    }
    println!(
        "{resident:?} KiB after each {} abandoned sessions",
        sessions / 4
    );
    // What one session takes is tens of kilobytes: were they kept, it would grow by the same again and again. At first it
    // grows by what the allocator keeps ready.
    let grown = resident[5].saturating_sub(resident[3]);
    let kept = sessions as u64 / 2 * 10;
    assert!(grown < kept.max(8 << 10) / 2, "{resident:?}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_harms_nobody_else() {
    let packets = number("NEUROPOD_PACKETS").unwrap_or(3000);
    let seed = number("NEUROPOD_SEED").unwrap_or(1);
    println!("NEUROPOD_SEED={seed} NEUROPOD_PACKETS={packets}");
    let site = Site::start("packets", &[]).await;
    let server = site.address();
    let ana = site.sign_in(ANA).await;
    let mut dice = fastrand::Rng::with_seed(seed as u64);
    let mut bystander = Wire::open(server, &ana).await;
    let good = [
        "40",
        "41",
        "42[\"ping\"]",
        "421[\"subscribe\",{\"podId\":\"0123456789abcdef\"}]",
        "4299999999999999999999[\"ping\"]",
        "43[null]",
        "451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "461-7[{\"_placeholder\":true,\"num\":9}]",
        "44{\"message\":\"x\"}",
        "40/admin,{\"token\":1}",
        "2",
        "3probe",
        "5",
        "6",
        "0{}",
        "b4AAAA",
    ];
    let garbled = |dice: &mut fastrand::Rng| {
        let mut bytes = dice.choice(good).unwrap().as_bytes().to_vec();
        for _ in 0..dice.usize(0..4) {
            let at = dice.usize(0..=bytes.len());
            match dice.u8(0..4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, dice.u8(..)),
                2 => bytes.extend_from_within(at..),
                _ => bytes.extend_from_slice(dice.choice(good).unwrap().as_bytes()),
            }
        }
        bytes
    };
    let mut sent = 0;
    while sent < packets {
        let mut socket = Wire::open(server, &ana).await;
        for _ in 0..dice.usize(1..20) {
            let bytes = garbled(&mut dice);
            let message = match String::from_utf8(bytes) {
                Ok(text) if dice.u8(0..4) > 0 => Message::text(text),
                Ok(text) => Message::binary(text.into_bytes()),
                Err(bytes) => Message::binary(bytes.into_bytes()),
            };
            socket.send_raw(message).await;
            sent += 1;
        }
        drop(socket);
        // The same by polling, where several packets are one body, and addresses can be wrong too.
        let query = [
            "EIO=4",
            "EIO=3",
            "EIO=9",
            "transport=polling",
            "sid=x",
            "sid=",
            "b64=1",
            "j=0",
        ];
        let mut path = "/socket.io/?EIO=4&transport=polling".to_owned();
        if dice.bool() {
            path = format!(
                "/socket.io/?{}&{}",
                dice.choice(query).unwrap(),
                dice.choice(query).unwrap()
            );
        }
        let opened = Request::new(server, "GET", &path).send().await;
        assert!(opened.status < 500, "{path}: {opened:?}");
        let hello: Value = opened
            .body
            .get(1..)
            .and_then(|t| serde_json::from_str(t).ok())
            .unwrap_or_default();
        if let Some(sid) = hello["sid"].as_str() {
            let mut body = Vec::new();
            for _ in 0..dice.usize(1..5) {
                body.extend(garbled(&mut dice));
                body.push(if dice.u8(0..5) > 0 { 0x1e } else { dice.u8(..) });
                sent += 1;
            }
            let path = format!("{path}&sid={sid}");
            let answer = Request::new(server, "POST", &path).body(body).send().await;
            assert!(answer.status < 500, "{answer:?}");
        }
    }
    bystander.ask(1, "ping", Value::Null).await;
    bystander.next("pong").await;
    let log = site.program.said();
    assert!(!log.contains("panicked"), "{log}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_in_time_whoever_is_there_and_loses_nothing_it_has_acknowledged() {
    let sockets = number("NEUROPOD_SOCKETS").unwrap_or(100);
    let site = Site::start("ending", &[]).await;
    let server = site.address();
    let ana = site.sign_in(ANA).await;
    let mut open = open_all(server, &ana, sockets).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let request = Request::new(server, "GET", "/api/events").bearer(&ana);
        let mut stream = request.open().await;
        stream.next().await.expect("it begins");
        streams.push(stream);
    }
    // Some read nothing any more, and some are half a request.
    let asleep = open.split_off(sockets - sockets / 10);
    let writes = (0..50).map(|_| {
        let ask = Request::new(server, "POST", "/api/pods")
            .bearer(&ana)
            .json(&a_pod());
        tokio::spawn(async move {
            let mut launched = Vec::new();
            loop {
                match ask.clone().try_send().await {
                    Ok(answer) if answer.status == 201 => {
                        launched.push(answer.json()["data"]["podId"].as_str().unwrap().to_owned());
                    }
                    _ => return launched,
                }
                // Fewer than one may have.
                if launched.len() == 2 {
                    return launched;
                }
            }
        })
    });
    let writes: Vec<_> = writes.collect();
    let Site { program, folder } = site;
    program.end().await;
    let mut launched = Vec::new();
    for write in writes {
        launched.extend(write.await.unwrap());
    }
    println!("{} launches were acknowledged", launched.len());

    let told = async |mut socket: Wire| {
        let message = socket.next("broadcast").await["message"].clone();
        assert!(
            message.as_str().unwrap().contains("restarting"),
            "{message}"
        );
        socket.closed().await;
    };
    for socket in open {
        told(socket).await;
    }
    for mut stream in streams {
        let mut last = None;
        while let Some(sent) = stream.next().await {
            last = Some(sent);
        }
        let last = last.expect("something");
        assert_eq!(last.event, "end", "{last:?}");
    }
    drop(asleep);

    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", "sqlite://crowd.db"),
        ("NEUROPOD_BILLING", "unmetered"),
        ("JWT_SECRET", SECRET),
    ];
    let program = Program::start(&folder, &settings).await;
    for pod in launched {
        let path = format!("/api/pods/{pod}");
        let found = Request::new(program.address, "GET", &path)
            .bearer(&ana)
            .send()
            .await;
        assert_eq!(found.status, 200, "{pod} is lost");
    }
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
