//! JupyterHub with DockerSpawner, which gives each of its users a container: what a launch is compared with.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const TOKEN: &str = "known-to-the-bench-and-its-hub";

/// One that runs, until it is dropped. Its containers stay.
#[derive(Debug)]
pub struct Hub {
    _program: Child,
    /// Of its API.
    port: u16,
    users: u32,
}

impl Hub {
    /// Starts what is installed in that folder, over the engine at `host`. Its containers carry the label `mark`.
    ///
    /// # Panics
    /// If it does not answer within a minute.
    pub async fn start(installed: &Path, folder: &Path, host: &str, mark: &str) -> Self {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("a port").port()
        };
        let ports = [free(), free(), free()];
        let programs = ["bin", "node_modules/.bin"].map(|place| installed.join(place));
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = programs.into_iter().chain(std::env::split_paths(&others));
        let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("jupyterhub_config.py");
        let program = Command::new(installed.join("bin/jupyterhub"))
            .arg("--config")
            .arg(config)
            .current_dir(folder)
            .env("PATH", std::env::join_paths(path).expect("no colons"))
            .env("DOCKER_HOST", host)
            .env(
                "NEUROPOD_BENCH_PORTS",
                ports.map(|p| p.to_string()).join(","),
            )
            .env("NEUROPOD_BENCH_TOKEN", TOKEN)
            .env("NEUROPOD_BENCH_MARK", mark)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let hub = Self {
            _program: program.expect("JupyterHub starts"),
            port: ports[1],
            users: 0,
        };
        let began = Instant::now();
        while hub.ask("GET", "").await.is_none_or(|status| status != 200) {
            assert!(began.elapsed() < Duration::from_secs(60), "no answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        hub
    }

    /// Launches a new user's server; how long that takes until it answers over HTTP.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn launch(&mut self) -> Duration {
        self.users += 1;
        let user = format!("users/u{}", self.users);
        assert_eq!(self.ask("POST", &user).await, Some(201), "a new user");
        let began = Instant::now();
        let status = self.ask("POST", &format!("{user}/server")).await;
        assert_eq!(status, Some(201), "its server is up");
        began.elapsed()
    }

    /// The status that its API answers, if it answers.
    async fn ask(&self, method: &str, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let request = format!(
            "{method} /hub/api/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {TOKEN}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer);
        answer.split(' ').nth(1)?.parse().ok()
    }
}
