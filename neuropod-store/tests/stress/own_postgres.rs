//! A server of PostgreSQL that a test kills, with the durability of a real one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct OwnPostgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl OwnPostgres {
    /// In a folder of its own, with the programs that the tests' own server is of; `cargo xtask test` installs them.
    pub(crate) fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = Self {
            programs: programs().expect("PostgreSQL is installed"),
            port: port.local_addr().unwrap().port(),
            folder: folder.to_owned(),
        };
        if is_root() {
            let mut give = Command::new("chown");
            give.arg("postgres").arg(folder);
            assert!(give.status().unwrap().success());
        }
        let init = [
            "--username=tests",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ];
        server.run(
            "initdb",
            &[&init[..], &["--no-sync", "--pgdata", &server.data()]].concat(),
        );
        drop(port);
        server.control(&["start"]);
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tests@127.0.0.1:{}/postgres", self.port)
    }

    /// As if the power had failed; returns with a new one that takes connections.
    pub(crate) fn restart(&self) {
        self.control(&["restart", "-m", "immediate"]);
    }

    fn control(&self, what: &[&str]) {
        let sockets = self.folder.display();
        let options = format!("-p {} -h 127.0.0.1 -k {sockets}", self.port);
        let (data, log) = (self.data(), format!("{sockets}/log"));
        let rest = ["-w", "-s", "-D", &data, "-l", &log, "-o", &options];
        self.run("pg_ctl", &[what, &rest].concat());
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        // It refuses to run as root; its package has made a user.
        let mut command = match is_root() {
            true => Command::new("runuser"),
            false => Command::new(&path),
        };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(&path);
        }
        command.args(arguments).current_dir(&self.folder);
        // Its standard output would stay open in the server.
        let done = command
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "{program} {arguments:?}");
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.control(&["stop", "-m", "immediate"]);
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// The folder with the newest ones.
fn programs() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let packaged = packaged.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let has_all = |folder: &PathBuf| Path::new(folder).join("initdb").is_file();
    packaged
        .filter(has_all)
        .max()
        .or(on_path.into_iter().find(has_all))
}
