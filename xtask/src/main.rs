//! `cargo xtask up | test | check`: everything a checkout needs, with nothing but cargo installed.

mod apt;
mod browser;
mod check;
mod cluster;
mod consent;
mod demo;
mod docker;
mod effort;
mod engine;
mod features;
mod first_pod;
mod folder;
mod gpu;
mod http;
mod jupyterlab;
mod limited;
mod npm;
mod outside;
mod postgres;
mod prometheus;
mod pypi;
mod readme;
mod registry;
mod settings;
mod shell;
mod space;
mod steps;
mod test;
mod up;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask up [--yes] [--memory]           set up this machine, start a server, show how to launch a pod
cargo xtask test [--yes] [--soak] [FILTER]  set up this machine, run the whole suite on real parts
cargo xtask cluster up|down [--yes]         a Kubernetes cluster of the checkout's own, to look at
cargo xtask check                           formatting, lints, documentation, licences

--yes     install what is missing without asking (CI=true means the same)
--memory  simulate containers: no engine, nothing to install
--soak    the long counts of tests/effort.toml
FILTER    only the tests whose name contains this";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((verb, rest)) = arguments.split_first() else {
        bail!("say what to do:\n{USAGE}");
    };
    shell::catch_interrupts()?;
    std::env::set_current_dir(shell::checkout()?)?;
    match verb.as_str() {
        "up" => up::run(&up::Options::parse(rest)?),
        "test" => test::run(&test::Options::parse(rest)?),
        "cluster" => cluster::run(rest),
        "check" if rest.is_empty() => check::run(),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown: {}\n{USAGE}", arguments.join(" ")),
    }
}
