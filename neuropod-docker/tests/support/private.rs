//! Debian's `docker-registry` on loopback, which gives nothing to whoever does not log in.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{
    PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures::TryStreamExt;

use super::{IMAGE, unique};

/// Who may pull.
pub const USER: &str = "puller";
/// In Base64, in all of its places, it has the characters that are others where it goes into addresses.
pub const PASSWORD: &str = "let me in?>~?>~?>~";
/// The passwords of [`USER`] and of who pushes, as bcrypt keeps them.
const KEPT: [&str; 2] = [
    "$2y$04$abcdefghijklmnopqrstuuSFgwsX1/6NPA2GNMdCoI8rftddNPWqO",
    "$2y$04$abcdefghijklmnopqrstuuruZGaAtMc7jnr6nmeNRglF4gzpWIu72",
];
/// `bollard` could not tell the engine every password.
const PUSHER: (&str, &str) = ("pusher", "plain");

/// Why there is none.
const NO_REGISTRY: &str =
    "NEUROPOD_TEST_REGISTRY names no docker-registry; `cargo xtask test` does";

/// A registry of one test.
#[derive(Debug)]
pub struct Private {
    folder: PathBuf,
    port: u16,
    program: Child,
}

impl Private {
    /// Starts it, with the image [`Private::image`]. Without the program that is said, and in CI it is a failure.
    pub async fn start(docker: &Docker) -> Option<Self> {
        let Ok(program) = std::env::var("NEUROPOD_TEST_REGISTRY") else {
            let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!must_be_there, "{NO_REGISTRY}");
            println!("not run: {NO_REGISTRY}");
            return None;
        };
        let folder = std::env::temp_dir().join(unique("neuropod-registry"));
        std::fs::create_dir(&folder).expect("a folder of our own");
        let place = folder.display();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
             storage: {{filesystem: {{rootdirectory: '{place}/data'}}}}\n\
             auth: {{htpasswd: {{realm: test, path: '{place}/users'}}}}\n"
        );
        std::fs::write(folder.join("settings.yml"), settings).expect("written");
        let users = format!("{USER}:{}\n{}:{}\n", KEPT[0], PUSHER.0, KEPT[1]);
        std::fs::write(folder.join("users"), users).expect("written");
        let program = Command::new(program)
            .args(["serve", "settings.yml"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let registry = Self {
            folder,
            port,
            program: program.expect("docker-registry starts"),
        };
        registry.listens().await;
        registry.fill(docker).await;
        Some(registry)
    }

    /// Its address.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The one image it has, whose tag is `1`.
    pub fn image(&self) -> String {
        format!("{}/team/secret", self.host())
    }

    async fn listens(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(self.host()).await.is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn fill(&self, docker: &Docker) {
        let options = TagImageOptionsBuilder::new().repo(&self.image()).tag("1");
        let tagged = docker.tag_image(IMAGE, Some(options.build())).await;
        tagged.expect("the demo image");
        let options = PushImageOptionsBuilder::new().tag("1").build();
        let login = DockerCredentials {
            username: Some(PUSHER.0.to_owned()),
            password: Some(PUSHER.1.to_owned()),
            ..DockerCredentials::default()
        };
        let pushed = docker.push_image(&self.image(), Some(options), Some(login));
        let pushed: Result<Vec<_>, _> = pushed.try_collect().await;
        pushed.expect("pushed");
        self.forget(docker).await;
    }

    /// Takes the image from the engine, so that it has to be pulled again.
    pub async fn forget(&self, docker: &Docker) {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let image = format!("{}:1", self.image());
        let removed = docker.remove_image(&image, Some(options), None).await;
        removed.expect("it was there");
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
