//! The few HTTP requests that set-up makes: HTTP/1.0 over a socket, one request per connection.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Tcp(place) => write!(out, "tcp://{place}"),
        }
    }
}

/// Sends one request; the answer is its status and its body.
pub(crate) fn request(address: &Address, line: &str, body: &[u8]) -> Result<(u16, String)> {
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
    match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).with_context(|| address.to_string())?;
            stream.set_read_timeout(PATIENCE)?;
            exchange(stream, line, body)
        }
        Address::Tcp(place) => {
            let stream = TcpStream::connect(place).with_context(|| address.to_string())?;
            stream.set_read_timeout(PATIENCE)?;
            exchange(stream, line, body)
        }
    }
}

fn exchange(mut stream: impl Read + Write, line: &str, body: &[u8]) -> Result<(u16, String)> {
    let length = body.len();
    let head = format!("{line} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Result<(u16, String)> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("not an HTTP answer: {answer:?}");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    let status = status
        .parse()
        .with_context(|| format!("status {status:?}"))?;
    Ok((status, body.to_owned()))
}

/// A value as it may stand in a query.
pub(crate) fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = "HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nno\r\n\r\nsuch";
        assert_eq!(parse(answer).unwrap(), (404, "no\r\n\r\nsuch".into()));
        assert!(parse("HTTP/1.0 200 OK\r\n").is_err(), "cut off");
        assert!(parse("SSH-2.0 hello\r\n\r\n").is_err(), "no number");
    }

    #[test]
    fn a_query_value_keeps_no_special_character() {
        assert_eq!(encode(r#"CMD ["/a"]"#), "CMD%20%5B%22%2Fa%22%5D");
    }
}
