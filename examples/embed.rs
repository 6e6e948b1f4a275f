//! NeuroPod inside a program that already has users, bills, and a way to run things.
//! `cargo run --package neuropod-server --example embed`
//!
//! `tests/outside` builds this file as part of a crate of its own, over the crates as they are published, with a
//! backend of its own that passes the conformance suite. A backend in one file: `custom_orchestrator.rs`.
#![allow(unreachable_pub)] // there it is reached

use async_trait::async_trait;
use axum::{Router, routing::get};
use neuropod::auth::{Credential, Identity};
use neuropod::billing::{Admission, Ask, Balance, Credit, Quote, Reading, Settlement, Unmetered};
use neuropod::id::{AccountId, UserId};
use neuropod::memory::MemoryOrchestrator;
use neuropod::money::Money;
use neuropod::store::{Condition, Meter, Page, Transfer, TransferQuery};
use neuropod::user::{Role, Standing, User};
use neuropod::{Auth, Billing, Error, ErrorKind, Orchestrator, Platform, Result, Time};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The program's users, by their API keys.
#[derive(Debug)]
struct Users(BTreeMap<&'static str, Person>);

/// What the program knows of a user.
#[derive(Debug)]
struct Person {
    number: u8,
    email: &'static str,
    staff: bool,
}

#[async_trait]
impl Auth for Users {
    async fn authenticate(&self, credential: &Credential) -> Result<Identity> {
        let person = match credential {
            Credential::Bearer(key) => self.0.get(key.reveal()),
            _ => None,
        };
        let unknown = || Error::new(ErrorKind::Unauthenticated, "There is no such API key.");
        let person = person.ok_or_else(unknown)?;
        let role = [Role::Client, Role::Admin][usize::from(person.staff)];
        Ok(Identity {
            user: User {
                id: UserId::from_bytes([person.number; 12]),
                identity: format!("our-own#{}", person.number),
                email: person.email.to_owned(),
                name: person.email.to_owned(),
                avatar: None,
                role,
                standing: Standing::Active,
                plan: "free".to_owned(),
                created_at: Time::EPOCH,
                version: 0, // no row of NeuroPod's
            },
            session: None,
        })
    }
}

/// The program's bills: what each meter has come to, to be paid by invoice.
#[derive(Debug, Clone, Default)]
struct Bills(Arc<Mutex<BTreeMap<Meter, Reading>>>);

impl Bills {
    fn table(&self) -> MutexGuard<'_, BTreeMap<Meter, Reading>> {
        self.0.lock().expect("no panic while held")
    }
}

#[async_trait]
impl Billing for Bills {
    async fn quote(&self, ask: &Ask) -> Result<Quote> {
        Unmetered.quote(ask).await // at the list price, with nothing held
    }

    async fn admit(&self, _: &Admission) -> Result<Vec<Condition>> {
        Ok(Vec::new())
    }

    async fn settle(&self, readings: &[Reading]) -> Result<Settlement> {
        let mut table = self.table();
        for reading in readings {
            let bill = table.entry(reading.meter).or_insert(reading.clone());
            if !bill.last && (reading.last || reading.total > bill.total) {
                *bill = reading.clone();
            }
        }
        Ok(Settlement::default()) // NeuroPod's own ledger has nothing to post
    }

    async fn credit(&self, _: &Credit) -> Result<Vec<Transfer>> {
        let message = "Invoices are paid elsewhere.";
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    async fn balance(&self, account: &AccountId, _: Time) -> Result<Balance> {
        let table = self.table();
        let bills = table.values().filter(|bill| bill.payer == *account);
        Ok(Balance {
            posted: bills.fold(Money::ZERO, |sum, bill| sum - bill.total),
            ..Balance::unlimited()
        })
    }

    async fn statement(&self, _: &TransferQuery) -> Result<Page<Transfer>> {
        Ok(Page::default())
    }
}

/// The program: its own pages, and NeuroPod's routes under `/gpu`.
fn app(platform: Platform) -> Router {
    let config = neuropod_server::Config::default();
    Router::new()
        .route("/", get(async || "our own page"))
        .nest("/gpu", neuropod_server::router(platform, &config))
}

/// Starts the program over a backend; a user of it launches a pod by HTTP, deletes it, and gets a bill.
///
/// # Errors
/// If the program can't be started or asked.
pub async fn story(
    backend: impl Orchestrator,
    image: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let ana = Person {
        number: 1,
        email: "ana@example.com",
        staff: false,
    };
    let bills = Bills::default();
    let platform = Platform::builder()
        .auth(Users([("key-of-ana", ana)].into()))
        .billing(bills.clone())
        .orchestrator(backend)
        .build()
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let program = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, app(platform.clone())).into_future());
    tokio::spawn(async move { platform.run(std::future::pending()).await });

    assert_eq!(ask(program, "GET /", "nobody", "").await?.0, 200);
    let (status, answer) = ask(program, "GET /gpu/api/pods", "nobody", "").await?;
    assert_eq!(status, 401, "{answer}");
    let wanted = format!(
        r#"{{"name": "hello", "deploymentType": "docker", "dockerImage": "{image}", "gpu": "cpu",
            "containerDiskSize": 10, "volumeDiskSize": 20, "enableJupyter": false}}"#
    );
    let (status, answer) = ask(program, "POST /gpu/api/pods", "key-of-ana", &wanted).await?;
    assert_eq!(status, 201, "{answer}");
    let from = answer.split(r#""podId":""#).nth(1);
    let id = from.and_then(|from| from.get(..16)).ok_or("no pod id")?;
    let url = format!("/gpu/api/pods/{id}");
    loop {
        let (_, pod) = ask(program, &format!("GET {url}"), "key-of-ana", "").await?;
        if pod.contains(r#""phase":"RUNNING""#) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, answer) = ask(program, &format!("DELETE {url}"), "key-of-ana", "").await?;
    assert_eq!(status, 200, "{answer}");
    while !bills.table().values().any(|bill| bill.last) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (meter, bill) in &*bills.table() {
        println!("{meter} of {}: {} EUR", bill.payer, bill.total);
    }
    Ok(())
}

/// What the program answers, in HTTP by hand: the status, and everything.
async fn ask(program: SocketAddr, what: &str, key: &str, body: &str) -> io::Result<(u16, String)> {
    let request = format!(
        "{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(program).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_default(), answer))
}

/// The story over simulated containers.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let story = story(MemoryOrchestrator::default(), "neuropod/demo");
    tokio::time::timeout(Duration::from_secs(60), story).await?
}
