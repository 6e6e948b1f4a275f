//! HTTP by hand: one request a connection, so that a test decides every byte.

#![allow(dead_code)] // each test takes what it needs

use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    to: SocketAddr,
    head: String,
    body: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it came.
    sent: String,
    head: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(to: SocketAddr, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        Self {
            to,
            head,
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw_json(body.to_string())
    }

    /// Sent as JSON, whatever it is.
    pub(crate) fn raw_json(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self.header("content-type", "application/json")
        }
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Reads events of an answer that goes on.
    pub(crate) async fn events(self) -> Events {
        // Of an earlier version of HTTP, so that no chunks are between them.
        let asked = self.header("accept", "text/event-stream");
        let head = asked.head.replacen("HTTP/1.1", "HTTP/1.0", 1);
        let mut stream = TcpStream::connect(asked.to).await.unwrap();
        let head = format!("{head}host: {}\r\n\r\n", asked.to);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Events {
            lines: BufReader::new(stream).lines(),
        };
        let status = events.line().await.expect("a status");
        assert!(status.contains(" 200 "), "{status}");
        while events.line().await.is_some_and(|line| !line.is_empty()) {}
        events
    }

    /// Fails if the server is not there, or goes before its answer is complete.
    pub(crate) async fn try_send(self) -> io::Result<Answer> {
        let host = if self.head.contains("\r\nhost:") {
            String::new()
        } else {
            format!("host: {}\r\n", self.to)
        };
        let head = format!(
            "{}{host}content-length: {}\r\n\r\n",
            self.head,
            self.body.len()
        );
        let mut stream = TcpStream::connect(self.to).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&self.body).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let answer = Answer {
            status: status.ok_or(io::ErrorKind::UnexpectedEof)?,
            sent: head.to_owned(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        };
        let promised = answer.header("content-length").map(str::parse);
        let has_body = !self.head.starts_with("HEAD ");
        if has_body && promised.is_some_and(|length| length != Ok(answer.body.len())) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub(crate) struct Events {
    lines: Lines<BufReader<TcpStream>>,
}

/// One event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Events {
    async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.ok().flatten()
    }

    /// The next one; `None` once the server has ended the answer.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("event", kind)) => event.kind = kind.to_owned(),
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("data", data)) => event.data = data.to_owned(),
                _ if line.is_empty() && event != Event::default() => return Some(event),
                _ => {}
            }
        }
    }
}

/// An answer that goes on, from its first byte.
pub(crate) struct Stream {
    pub(crate) status: u16,
    stream: TcpStream,
    text: String,
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Request {
    /// Sends it, and reads what follows the head as it comes.
    pub(crate) async fn open(self) -> Stream {
        // So that what comes is not in chunks.
        let head = self.head.replacen("HTTP/1.1", "HTTP/1.0", 1);
        let mut stream = TcpStream::connect(self.to).await.unwrap();
        let head = format!("{head}host: {}\r\n\r\n", self.to);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut opened = Stream {
            status: 0,
            stream,
            text: String::new(),
        };
        let head = opened.until("\r\n\r\n").await.expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        opened.status = status.expect("a status");
        opened
    }
}

impl Stream {
    /// What comes before `end`; `None` if nothing more does.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((text, rest)) = self.text.split_once(end) {
                let (text, rest) = (text.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(text);
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes);
            let read = tokio::time::timeout(std::time::Duration::from_secs(60), read).await;
            match read.expect("something, in time") {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.text += std::str::from_utf8(&bytes[..n]).unwrap(),
            }
        }
    }

    /// The next event, or what begins the stream; heartbeats are left out.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            let text = self.until("\n\n").await?;
            let mut sent = Sent::default();
            for line in text.lines() {
                match line.split_once(": ") {
                    Some(("event", event)) => sent.event = event.to_owned(),
                    Some(("id", id)) => sent.id = id.to_owned(),
                    Some(("data", data)) => sent.data = serde_json::from_str(data).unwrap(),
                    _ => {}
                }
            }
            if text != ":" {
                return Some(sent);
            }
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a header, in lower case.
    /// The machine word of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The value of a header as it came.
    pub(crate) fn exact(&self, name: &str) -> Option<&str> {
        let lines = self.sent.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }

    /// Which fields it says are wrong.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let fields = body["fields"].as_array().cloned().unwrap_or_default();
        let pointers = fields.iter().filter_map(|field| field["pointer"].as_str());
        pointers.map(str::to_owned).collect()
    }

    /// Checks that this is the one error body, and answers its sentence.
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let body = self.json();
        let text = |field: &str| {
            body[field]
                .as_str()
                .unwrap_or_else(|| panic!("{field}: {self:?}"))
                .to_owned()
        };
        assert_eq!(text("code"), code, "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["success"], false);
        assert_eq!(text("detail"), text("message"));
        assert!(!text("type").is_empty() && !text("title").is_empty());
        assert!(text("message").ends_with('.'), "a sentence: {self:?}");
        if let Some(fields) = body.get("fields") {
            let messages = fields
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f["message"].clone());
            assert_eq!(body["errors"], messages.collect::<Value>());
        }
        text("message")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.2000}", self.status, self.body)
    }
}
