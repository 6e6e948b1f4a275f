//! `examples/workstation.rs` as a person runs it, on a real engine: twice, each time ended by Ctrl-C, with one volume.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use futures::StreamExt;
use neuropod::docker::{Config, DockerOrchestrator};
use neuropod::orchestrator::{Orchestrator, State};
use neuropod::sql::SqlStore;
use neuropod::{Result, Store};

/// The program at work, and what it says.
struct Workstation {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Workstation {
    fn start(folder: &Path, engine: &str) -> Self {
        let tests = std::env::current_exe().expect("this program");
        let built = tests.parent().and_then(Path::parent).expect("its folder");
        let program = built.join("examples/workstation");
        let mut program = Command::new(&program)
            .current_dir(folder)
            .env("DOCKER_HOST", engine)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; `cargo build --examples`", program.display()));
        let lines = BufReader::new(program.stdout.take().expect("piped")).lines();
        Self { program, lines }
    }

    /// The next line that has this in it.
    fn says(&mut self, text: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        let found = lines.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("it ended without saying {text:?}"))
    }

    /// Ends it as a keyboard does.
    fn interrupt(mut self) {
        let id = self.program.id().to_string();
        // Built into the shell; a small system has no program of that name.
        let mut kill = Command::new("sh");
        let sent = kill.args(["-c", "kill -INT \"$1\"", "sh", &id]).status();
        assert!(sent.expect("a shell").success());
        self.says("workstation is Stopped");
        assert!(self.program.wait().expect("it ends").success());
    }
}

impl Drop for Workstation {
    fn drop(&mut self) {
        // Still there only if the test has failed.
        let _ = self.program.kill();
    }
}

fn page(url: &str) -> String {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("the page is there");
    let request = format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("answered");
    page
}

/// A folder that is deleted with what it holds.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_workstation_is_launched_stopped_and_started_with_what_it_had() -> Result<()> {
    let Ok(engine) = std::env::var("NEUROPOD_TEST_DOCKER") else {
        let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must_be_there, "NEUROPOD_TEST_DOCKER names no engine");
        println!("not run: NEUROPOD_TEST_DOCKER names no engine");
        return Ok(());
    };
    let name = format!("neuropod-workstation-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir(&folder.0).expect("a folder of our own");

    let mut urls = Vec::new();
    for starts in 1..=2 {
        let mut workstation = Workstation::start(&folder.0, &engine);
        workstation.says("workstation is Running");
        urls.push(workstation.says("http://"));
        workstation.says("serving HTTP on port 8080");
        let counted = format!("Starts counted on its volume: {starts}.");
        assert!(page(&urls[0]).contains(&counted));
        workstation.interrupt();
    }
    assert_eq!(urls[0], urls[1]);

    let database = folder.0.join("workstation.db");
    let store = SqlStore::open(&format!("sqlite://{}", database.display())).await?;
    let docker = DockerOrchestrator::connect(Config {
        host: Some(engine),
        ..Config::new(store.installation().await?)
    });
    let docker = docker.await?;
    let left: Vec<_> = docker.list().await?.collect().await;
    assert_eq!(left.len(), 1, "one pod's volume, or its last container");
    for found in left {
        let found = found?;
        let state = found.instance.map(|instance| instance.state);
        assert!(!matches!(state, Some(State::Running { .. })));
        docker.purge(found.pod).await?;
    }
    Ok(())
}
