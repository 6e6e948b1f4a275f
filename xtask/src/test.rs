//! `cargo xtask test`: the whole suite, against a real Docker engine, a real PostgreSQL and a real Kubernetes.

use crate::apt;
use crate::browser;
use crate::cluster::{self, Cluster};
use crate::consent::Consent;
use crate::demo;
use crate::effort;
use crate::features;
use crate::first_pod;
use crate::folder::{CLUSTER, Folder};
use crate::jupyterlab;
use crate::limited;
use crate::npm;
use crate::outside;
use crate::postgres;
use crate::prometheus;
use crate::pypi;
use crate::registry;
use crate::shell;
use crate::space::Space;
use crate::steps::Steps;
use anyhow::{Result, bail};

const SUITE: [&str; 3] = ["test", "--workspace", "--all-features"];

/// What may be asked of a test run.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    yes: bool,
    soak: bool,
    filter: Option<String>,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            yes: false,
            soak: false,
            filter: None,
        };
        for argument in arguments {
            match argument.as_str() {
                "--yes" => options.yes = true,
                "--soak" => options.soak = true,
                flag if flag.starts_with('-') => bail!("cargo xtask test knows no {flag}"),
                filter if options.filter.is_none() => options.filter = Some(filter.to_owned()),
                filter => bail!("one filter at most, and there is another: {filter}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, test: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| test.contains(filter))
    }
}

/// Sets up, runs, ends what was started.
pub(crate) fn run(options: &Options) -> Result<()> {
    let consent = Consent::new(options.yes);
    let mut steps = Steps::default();
    // Outside the space, since inside no registry can be reached.
    steps.command("build", shell::cargo().args(SUITE).arg("--no-run"));
    if options.filter.is_none() {
        features::check(&mut steps);
    }
    if options.wants("outside") {
        outside::test(&mut steps);
    }
    let folder = Folder::take(&shell::checkout()?)?;
    let space = steps
        .part("Docker engine", || engine(&folder, consent))
        .unwrap_or_else(Space::host);
    let limited = space.docker().and_then(|_| {
        let engine = || limited::engine(&folder, consent);
        steps.part("Docker engine that limits disks", engine)
    });
    let database = steps.part("PostgreSQL", || {
        postgres::install(consent)?;
        postgres::start(&folder, &space)
    });
    let cluster = steps.part("Kubernetes cluster", || cluster(&folder, &space, consent));
    let registry = steps.part("image registry", || registry::provide(&folder));
    let prometheus = steps.part("Prometheus", || prometheus::provide(&folder));
    let provider = steps.part("OpenID Connect provider", || {
        pypi::OIDC_PROVIDER.provide(consent)
    });
    let fuzzer = steps.part("schemathesis", || pypi::SCHEMATHESIS.provide(consent));
    if let Some(docker) = space.docker()
        && options.wants("first_pod")
    {
        steps.step("first_pod", || first_pod::prove(&space, docker, &folder));
    }
    steps.part("Node.js", || npm::node(consent));
    let socket_io = steps.part("Socket.IO's own client", || npm::socket_io(consent));
    let lab = space.docker().and_then(|docker| {
        let image = || jupyterlab::provide(docker, consent);
        steps.part("JupyterLab", image)
    });
    let browser = steps.part("Chromium", || browser::provide(consent));
    let mut suite = space.command(shell::cargo().get_program(), shell::identity(None)?)?;
    shell::forget_package(&mut suite);
    suite
        .args(SUITE)
        .arg("--no-fail-fast")
        .args(&options.filter);
    suite
        .env("CARGO_NET_OFFLINE", "true")
        .env("RUST_BACKTRACE", "1");
    suite.envs(effort::table(if options.soak { "soak" } else { "ci" })?);
    suite.envs(
        space
            .docker()
            .map(|docker| ("NEUROPOD_TEST_DOCKER", docker.host())),
    );
    suite.envs(
        space
            .gpu_records()
            .map(|records| ("NEUROPOD_TEST_GPU_RECORDS", records)),
    );
    if let Some(cluster) = cluster.flatten() {
        suite.env("NEUROPOD_TEST_KUBECONFIG", cluster.kubeconfig());
        suite.env(
            "NEUROPOD_TEST_SERVER_KUBECONFIG",
            cluster.server_kubeconfig(),
        );
        suite.env("NEUROPOD_TEST_CONTAINERDS", cluster.containerds());
    }
    suite.envs(registry.map(|program| ("NEUROPOD_TEST_REGISTRY", program)));
    suite.envs(prometheus.map(|folder| ("NEUROPOD_TEST_PROMETHEUS", folder)));
    suite.envs(provider.map(|program| ("NEUROPOD_TEST_OIDC_PROVIDER", program)));
    suite.envs(fuzzer.map(|program| ("NEUROPOD_TEST_SCHEMATHESIS", program)));
    suite.envs(lab.map(|()| ("NEUROPOD_TEST_JUPYTERLAB", jupyterlab::NAME)));
    suite.envs(browser.map(|folder| ("NEUROPOD_TEST_BROWSER", folder)));
    suite.envs(socket_io.map(|folder| ("NEUROPOD_TEST_SOCKET_IO", folder)));
    suite.envs(limited.map(|docker| ("NEUROPOD_TEST_DOCKER_LIMITED", docker.host())));
    suite.envs(database.map(|url| ("NEUROPOD_TEST_POSTGRES", url)));
    steps.tests("suite", &mut suite);
    steps.step("clean-up", || folder.clear());
    steps.print_count();
    steps.finish()
}

/// A cluster of the tests' own, unless the user names another one.
fn cluster(folder: &Folder, space: &Space, consent: Consent) -> Result<Option<Cluster>> {
    if let Some(named) = std::env::var_os("NEUROPOD_TEST_KUBECONFIG") {
        println!("NEUROPOD_TEST_KUBECONFIG names one: {}", named.display());
        return Ok(None);
    }
    let cluster = cluster::start(&folder.path().join(CLUSTER), cluster::provide(consent)?)?;
    space.lead_to(&cluster)?;
    Ok(Some(cluster))
}

fn engine(folder: &Folder, consent: Consent) -> Result<Space> {
    if ["dockerd", "ip", "iptables"]
        .iter()
        .any(|program| shell::find(program).is_none())
    {
        apt::install(
            &["docker.io", "iproute2", "iptables"],
            "a Docker engine for the tests",
            consent,
        )?;
    }
    let space = Space::with_engine(folder)?;
    if let Some(docker) = space.docker() {
        demo::provide(docker)?;
    }
    Ok(space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_strictly() {
        let parse = |line: &str| {
            Options::parse(
                &line
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        let all = Options {
            yes: true,
            soak: true,
            filter: Some("docker".into()),
        };
        assert_eq!(parse("--soak docker --yes").unwrap(), all);
        assert!(parse("--fast").unwrap_err().to_string().contains("--fast"));
        assert!(parse("one two").unwrap_err().to_string().contains("two"));
    }
}
