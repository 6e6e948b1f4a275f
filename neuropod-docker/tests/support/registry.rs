//! A registry on loopback, where engines take one without TLS. It has one image, `pulled`, which nobody has pulled
//! before and which takes a while; `foreign` is the same for other machines, and so is `list`, by a list of manifests;
//! it gives nobody `denied`; it knows no other.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use futures::TryStreamExt;
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;

use super::{IMAGE, unique};

/// So many bytes at once, and then a pause.
const CHUNK: usize = 128 << 10;
/// Some two seconds for the image.
const USUAL_SPEED: usize = 4 << 20;
/// Bytes that make the image big, and unlike any other.
const BULK: usize = 6 << 20;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const LIST_OF_OTHERS: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":500,"digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","platform":{"architecture":"s390x","os":"linux"}}]}"#;

/// A registry of one test.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    task: AbortHandle,
}

#[derive(Debug)]
struct Content {
    ours: Image,
    foreign: Image,
    layer: Vec<u8>,
    layer_digest: String,
    /// After each chunk.
    pause: Duration,
}

#[derive(Debug)]
struct Image {
    manifest: String,
    config: String,
    config_digest: String,
}

impl Registry {
    pub async fn start(docker: &Docker) -> Self {
        Self::with_speed(docker, USUAL_SPEED).await
    }

    /// One that sends so many bytes a second.
    pub async fn with_speed(docker: &Docker, speed: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let content = Arc::new(Content::new(root(docker).await, speed));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, content.clone()));
            }
        });
        let task = task.abort_handle();
        Self { port, task }
    }

    /// The reference of an image here.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}:1", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The root file system of the demo image, as an archive.
async fn root(docker: &Docker) -> &'static [u8] {
    static ROOT: OnceCell<Vec<u8>> = OnceCell::const_new();
    let read = || async {
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            ..ContainerCreateBody::default()
        };
        let none = None::<CreateContainerOptions>;
        let made = docker.create_container(none, body).await;
        let id = made.expect("the demo image").id;
        let parts: Vec<_> = docker
            .export_container(&id)
            .try_collect()
            .await
            .expect("its root");
        let none = None::<RemoveContainerOptions>;
        docker.remove_container(&id, none).await.expect("removed");
        parts.concat()
    };
    ROOT.get_or_init(read).await
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let hex: Vec<_> = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// An entry of an archive: a file.
fn file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..107].copy_from_slice(b"0000644");
    head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    head[136..147].copy_from_slice(b"00000000000");
    head[148..156].copy_from_slice(b"        ");
    head[156] = b'0';
    let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [&head, content, &padding].concat()
}

impl Image {
    fn new(architecture: &str, layer_digest: &str, layer_size: usize) -> Self {
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{"Env":["PATH=/bin"],"Cmd":["sleep","1000000"]}},"rootfs":{{"type":"layers","diff_ids":["{layer_digest}"]}},"history":[{{"created_by":"a test"}}]}}"#
        );
        let config_digest = sha256(config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{config_digest}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":{layer_size},"digest":"{layer_digest}"}}]}}"#,
            config.len(),
        );
        Self {
            manifest,
            config,
            config_digest,
        }
    }
}

impl Content {
    fn new(root: &[u8], speed: usize) -> Self {
        let mark = unique("bulk");
        let bulk: Vec<u8> = mark.bytes().cycle().take(BULK).collect();
        let layer = [file(&mark, &bulk).as_slice(), root].concat();
        let layer_digest = sha256(&layer);
        let here = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            ours: Image::new(here, &layer_digest, layer.len()),
            foreign: Image::new("s390x", &layer_digest, layer.len()),
            layer,
            layer_digest,
            pause: Duration::from_secs(1).mul_f64(CHUNK as f64 / speed as f64),
        }
    }

    /// Status, type and body of an answer.
    fn answer(&self, path: &str) -> (&'static str, &'static str, &[u8]) {
        const JSON: &str = "application/json";
        let of_image = |image: &&Image| path.ends_with(&image.config_digest);
        if path == "/v2/" {
            ("200 OK", JSON, b"{}")
        } else if path.starts_with("/v2/denied/") {
            let denied = br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
            ("403 Forbidden", JSON, denied)
        } else if path.starts_with("/v2/pulled/manifests/") {
            ("200 OK", MANIFEST, self.ours.manifest.as_bytes())
        } else if path.starts_with("/v2/foreign/manifests/") {
            ("200 OK", MANIFEST, self.foreign.manifest.as_bytes())
        } else if path.starts_with("/v2/list/manifests/") {
            ("200 OK", LIST, LIST_OF_OTHERS.as_bytes())
        } else if let Some(image) = [&self.ours, &self.foreign].into_iter().find(of_image) {
            (
                "200 OK",
                "application/octet-stream",
                image.config.as_bytes(),
            )
        } else if path.ends_with(&self.layer_digest) {
            ("200 OK", "application/octet-stream", &self.layer)
        } else {
            let unknown =
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            ("404 Not Found", JSON, unknown)
        }
    }
}

/// One request. An engine tries TLS first, and goes away when it is not understood.
async fn serve(mut client: TcpStream, content: Arc<Content>) -> std::io::Result<()> {
    let (reader, mut writer) = client.split();
    let mut lines = BufReader::new(reader).split(b'\n');
    let Some(first) = lines.next_segment().await? else {
        return Ok(());
    };
    let first = String::from_utf8_lossy(&first).into_owned();
    let mut words = first.split_whitespace();
    let (Some(method @ ("GET" | "HEAD")), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    while lines
        .next_segment()
        .await?
        .is_some_and(|line| line != b"\r")
    {}
    let (status, kind, body) = content.answer(path);
    let head = format!(
        "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    writer.write_all(head.as_bytes()).await?;
    if method == "GET" {
        for chunk in body.chunks(CHUNK) {
            writer.write_all(chunk).await?;
            if body.len() > CHUNK {
                tokio::time::sleep(content.pause).await;
            }
        }
    }
    writer.shutdown().await
}
