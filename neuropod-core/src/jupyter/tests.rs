//! The script, in the shells that are here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::pod::Secret;

/// A folder with a stand-in for each of these programs, which is all that the script finds.
struct Image {
    root: PathBuf,
}

impl Image {
    fn with(name: &str, programs: &[(&str, &str)]) -> Self {
        let root =
            std::env::temp_dir().join(format!("neuropod-boot-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        for (program, does) in programs {
            let file = root.join(program);
            std::fs::write(&file, format!("#!/bin/sh\n{does}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        Self { root }
    }

    /// Runs the script, and answers what it and its programs print, and whether it leaves its mark.
    fn boot(&self, sh: &[&str], port: &str, program: &[&str]) -> (String, bool) {
        let mark = self.root.join("mark");
        let _ = std::fs::remove_file(&mark);
        let output = Command::new(sh[0])
            .args(&sh[1..])
            .args(["-c", BOOT, "np", port])
            .arg(&mark)
            .args(program)
            .env_clear()
            .env("PATH", &self.root)
            .env("NEUROPOD_WORKSPACE", &self.root)
            .env("JUPYTER_TOKEN", "a token")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8(said).unwrap(), mark.exists())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// The shells that images have: dash is Debian's `sh`.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [
        vec!["/bin/sh"],
        vec!["/bin/bash", "--posix"],
        vec!["/bin/busybox", "sh"],
    ];
    let there = all.into_iter().filter(|sh| Path::new(sh[0]).exists());
    there.collect()
}

const JUPYTER: &str =
    r#"case $2 in --version) echo 4 ;; *) echo "jupyter with $JUPYTER_TOKEN: $*" ;; esac"#;
const SERVE: (&str, &str) = ("serve", r#"echo "serving $*""#);

#[test]
fn jupyter_is_started_beside_the_program() {
    let image = Image::with("there", &[("jupyter", JUPYTER), SERVE]);
    for sh in shells() {
        let (said, mark) = image.boot(&sh, "8888", &["serve", "two words", ""]);
        assert!(said.contains("serving two words \n"), "{sh:?}: {said}");
        assert!(
            said.contains("Jupyter Lab token: a token\n"),
            "{sh:?}: {said}"
        );
        let command =
            "jupyter with a token: lab --no-browser --allow-root --ip=0.0.0.0 --port=8888";
        assert!(said.contains(command), "{sh:?}: {said}");
        // It has ended, which Jupyter does not.
        assert!(
            mark && said.contains("it ended with code 0"),
            "{sh:?}: {said}"
        );
    }
}

#[test]
fn where_there_is_neither_jupyter_nor_python_the_program_runs() {
    let image = Image::with("nothing", &[SERVE]);
    for sh in shells() {
        let (said, mark) = image.boot(&sh, "8888", &["serve"]);
        assert!(said.contains("serving \n"), "{sh:?}: {said}");
        let why = "Jupyter Lab is unavailable: the image has neither Jupyter nor Python.\n";
        assert!(mark && said.contains(why), "{sh:?}: {said}");
        assert!(!said.contains("token"), "{sh:?}: {said}");
    }
}

#[test]
fn an_installation_that_fails_is_told() {
    let fails = "echo \"no network for $2\"; exit 1";
    let image = Image::with("fails", &[("python3", fails), ("jupyter", "exit 1"), SERVE]);
    for sh in shells() {
        let (said, mark) = image.boot(&sh, "8888", &["serve"]);
        let why = "Jupyter Lab is unavailable: it could not be installed.\n";
        assert!(mark && said.contains(why), "{sh:?}: {said}");
        assert!(said.contains("serving"), "{sh:?}: {said}");
    }
}

#[test]
fn an_image_that_is_jupyter_is_left_alone() {
    let start = ("start-notebook.sh", r#"echo "the image's own""#);
    let image = Image::with("own", &[("jupyter", JUPYTER), start]);
    for sh in shells() {
        let (said, mark) = image.boot(&sh, "8888", &["start-notebook.sh"]);
        assert_eq!(
            said, "Jupyter Lab token: a token\nthe image's own\n",
            "{sh:?}"
        );
        assert!(!mark);
    }
}

#[test]
fn the_token_is_not_on_the_command_line() {
    let jupyter = Jupyter {
        port: 9999,
        token: Secret::new("a secret"),
    };
    let command = shell(&jupyter).join(" ");
    assert!(command.contains("np 9999") && !command.contains("a secret"));
}
