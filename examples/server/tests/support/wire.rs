//! A socket by hand: Engine.IO's packets over a WebSocket, so that a test decides what is sent, and when nothing is read.

#![allow(dead_code)] // each test takes what it needs

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// What is waited for comes within this.
const WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Wire(WebSocketStream<TcpStream>);

impl Wire {
    /// A socket that is let in.
    pub(crate) async fn open(server: SocketAddr, token: &str) -> Self {
        let opened = Self::knock(server, "", &json!({ "token": token })).await;
        opened.unwrap_or_else(|why| panic!("refused: {why}"))
    }

    /// A socket under a prefix, or why it is not let in.
    pub(crate) async fn knock(
        server: SocketAddr,
        prefix: &str,
        auth: &Value,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(server).await.unwrap();
        Self::over(stream, server, prefix, auth).await
    }

    /// One that takes little before it has read it.
    pub(crate) async fn narrow(server: SocketAddr, token: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(server).await.unwrap();
        let opened = Self::over(stream, server, "", &json!({ "token": token })).await;
        opened.unwrap_or_else(|why| panic!("refused: {why}"))
    }

    async fn over(
        stream: TcpStream,
        server: SocketAddr,
        prefix: &str,
        auth: &Value,
    ) -> Result<Self, String> {
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{server}{prefix}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = client_async(url, stream).await.unwrap();
        let mut wire = Self(stream);
        let hello = wire.packet().await.expect("it opens");
        assert!(hello.starts_with("0{"), "{hello}");
        wire.send(&format!("40{auth}")).await;
        let Some(answer) = wire.packet().await else {
            return Err("no answer".to_owned());
        };
        match answer.strip_prefix("44") {
            Some(refused) => {
                let why: Value = serde_json::from_str(refused).unwrap();
                Err(why["message"].as_str().unwrap().to_owned())
            }
            None => {
                assert!(answer.starts_with("40{"), "{answer}");
                Ok(wire)
            }
        }
    }

    /// Sends a packet, if it is still there.
    pub(crate) async fn send(&mut self, packet: &str) {
        let _ = self.0.send(Message::text(packet)).await;
    }

    /// Sends any frame.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// Sends an event, to be acknowledged as number `ack`.
    pub(crate) async fn ask(&mut self, ack: u32, event: &str, data: Value) {
        self.send(&format!("42{ack}{}", json!([event, data]))).await;
    }

    /// The next packet but heartbeats; `None` at the end.
    pub(crate) async fn packet(&mut self) -> Option<String> {
        loop {
            let message = tokio::time::timeout(WITHIN, self.0.next()).await;
            match message.expect("a packet, in time") {
                Some(Ok(Message::Text(text))) if text == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next event and what comes with it; `None` at the end.
    pub(crate) async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            let packet = self.packet().await?;
            if packet == "41" {
                return None;
            }
            if let Some(event) = packet.strip_prefix("42") {
                let (event, data): (String, Value) = serde_json::from_str(event).unwrap();
                return Some((event, data));
            }
        }
    }

    /// What comes with the next such event.
    pub(crate) async fn next(&mut self, event: &str) -> Value {
        loop {
            let (name, data) = self.event().await.expect("it goes on");
            if name == event {
                return data;
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn closed(&mut self) {
        while self.event().await.is_some() {}
    }
}
