//! A client that creates, stops, starts and deletes pods, and knows what was acknowledged to it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::http::Request;
use crate::{a_pod, sign_in};

/// So many pods of a client are enough.
const ENOUGH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Running,
    Stopped,
    Gone,
}

/// A pod whose launch was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: String,
    /// What it may be wished to be: one thing, or two if the last write was not answered.
    pub(crate) may: Vec<Wish>,
    /// Whether something was asked of it since the last look.
    pub(crate) touched: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    gpu: &'static str,
    token: String,
    dice: fastrand::Rng,
    pub(crate) pods: Vec<Known>,
    /// Names of launches that were not answered: each may be there.
    unanswered: Vec<String>,
    launched: usize,
    pub(crate) acknowledged: usize,
}

impl Client {
    /// Signs in. Its pods want that GPU.
    pub(crate) async fn new(to: SocketAddr, number: usize, seed: u64, gpu: &'static str) -> Self {
        let name = format!("client{number}");
        let token = sign_in(to, &format!("{name}@example.com")).await;
        Self {
            name,
            gpu,
            token,
            dice: fastrand::Rng::with_seed(seed.wrapping_add(number as u64)),
            pods: Vec::new(),
            unanswered: Vec::new(),
            launched: 0,
            acknowledged: 0,
        }
    }

    /// Until the server is killed.
    pub(crate) async fn load(&mut self, to: SocketAddr, killed: &AtomicBool) {
        while let Ok(()) = self.act(to).await {
            tokio::time::sleep(Duration::from_millis(self.dice.u64(0..150))).await;
        }
        assert!(killed.load(Ordering::SeqCst), "a request was dropped");
    }

    /// One thing, at random.
    async fn act(&mut self, to: SocketAddr) -> io::Result<()> {
        let sure = |known: &&mut Known| known.may.len() == 1 && known.may[0] != Wish::Gone;
        let pods: Vec<&mut Known> = self.pods.iter_mut().filter(sure).collect();
        if pods.len() < ENOUGH && (pods.is_empty() || self.dice.bool()) {
            return self.launch(to).await;
        }
        let chosen = self.dice.usize(..pods.len());
        let pod = pods.into_iter().nth(chosen).unwrap();
        let path = format!("/api/pods/{}", pod.id);
        let (method, path, wish) = match (pod.may[0], self.dice.u8(..4)) {
            (_, 0) => ("DELETE", path, Wish::Gone),
            (Wish::Running, _) => ("POST", format!("{path}/stop"), Wish::Stopped),
            _ => ("POST", format!("{path}/start"), Wish::Running),
        };
        pod.touched = true;
        pod.may.push(wish);
        let answer = Request::new(to, method, &path).bearer(&self.token);
        let answer = answer.try_send().await?;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        pod.may = vec![wish];
        self.acknowledged += 1;
        Ok(())
    }

    async fn launch(&mut self, to: SocketAddr) -> io::Result<()> {
        let name = format!("{}-{}", self.name, self.launched);
        self.launched += 1;
        self.unanswered.push(name.clone());
        let request = Request::new(to, "POST", "/api/pods").bearer(&self.token);
        let mut body = a_pod(&name);
        body["gpu"] = self.gpu.into();
        let answer = request.json(&body).try_send().await?;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.unanswered.pop();
        self.acknowledged += 1;
        self.pods.push(Known {
            id: answer.json()["data"]["podId"].as_str().unwrap().to_owned(),
            may: vec![Wish::Running],
            touched: true,
        });
        Ok(())
    }

    /// The server's rows of this client's pods, by id; or that it can't tell them now, which is no answer to judge by.
    pub(crate) async fn rows(&self, to: SocketAddr) -> Result<BTreeMap<String, Value>, String> {
        let request = Request::new(to, "GET", "/api/pods").bearer(&self.token);
        let answer = request.send().await;
        match answer.status {
            200 => {}
            503 => return Err(format!("the list of pods: {answer:?}")),
            _ => panic!("the list of pods: {answer:?}"),
        }
        let rows = answer.json()["data"].as_array().unwrap().clone();
        let id = |row: &Value| row["podId"].as_str().unwrap().to_owned();
        Ok(rows.into_iter().map(|row| (id(&row), row)).collect())
    }

    /// Checks that the server remembers all that it has acknowledged and nothing that was not asked for, and takes
    /// from its rows what became of writes that were not answered.
    pub(crate) fn compare(&mut self, rows: &BTreeMap<String, Value>) {
        for known in &mut self.pods {
            let now = match rows.get(&known.id).map(|row| &row["desired"]) {
                None => Wish::Gone,
                Some(desired) if desired == "RUNNING" => Wish::Running,
                Some(_) => Wish::Stopped,
            };
            let (id, may) = (&known.id, &known.may);
            assert!(may.contains(&now), "{id} is {now:?}, acknowledged: {may:?}");
            known.may = vec![now];
        }
        for (id, row) in rows {
            if self.pods.iter().any(|known| known.id == *id) {
                continue;
            }
            let asked = self.unanswered.iter().any(|name| row["podName"] == **name);
            assert!(asked, "nobody has asked for {row}");
            self.pods.push(Known {
                id: id.clone(),
                may: vec![Wish::Running],
                touched: true,
            });
        }
        self.unanswered.clear();
        self.pods.retain(|known| known.may != [Wish::Gone]);
    }

    /// Deletes everything.
    pub(crate) async fn leave(&mut self, to: SocketAddr) {
        for known in self.pods.drain(..) {
            let path = format!("/api/pods/{}", known.id);
            let request = Request::new(to, "DELETE", &path).bearer(&self.token);
            assert_eq!(request.send().await.status, 200);
        }
    }
}
