//! Jupyter beside the image's program: the command of a container that has both, and whether Jupyter will be there.

use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;
use neuropod_core::Result;
use neuropod_core::jupyter::{self, MARK};
use neuropod_core::orchestrator::{Jupyter, State, Workload};
use neuropod_core::pod::Reason;

use crate::convert;
use crate::engine::{Container, Engine};

/// Without a terminal these have nothing to read, and end at once.
const CONVERSE: [&str; 14] = [
    "sh", "ash", "bash", "dash", "ksh", "zsh", "fish", "python", "python3", "ipython", "node", "R",
    "julia", "irb",
];

/// A program with Jupyter beside it.
#[derive(Debug, PartialEq)]
pub(crate) struct Beside {
    /// All of it.
    pub(crate) command: Vec<String>,
    /// Whether the program has a terminal to wait at.
    pub(crate) terminal: bool,
}

/// The image's own program with Jupyter beside it; `None` if the image is not there.
pub(crate) async fn beside(
    engine: &Engine,
    w: &Workload,
    jupyter: &Jupyter,
) -> Result<Option<Beside>> {
    let call = engine.docker.inspect_image(&w.image);
    let image = engine.found("docker image inspect", call).await?;
    Ok(image.map(|image| {
        let config = image.config.unwrap_or_default();
        let entrypoint = config.entrypoint.unwrap_or_default();
        let command = config.cmd.unwrap_or_default();
        let arguments = if w.args.is_empty() { &command } else { &w.args };
        around([entrypoint, arguments.clone()].concat(), jupyter)
    }))
}

fn around(mut program: Vec<String>, jupyter: &Jupyter) -> Beside {
    if program.is_empty() {
        program.push("/bin/sh".to_owned());
    }
    let terminal = converses(&program);
    Beside {
        command: [jupyter::shell(jupyter), program].concat(),
        terminal,
    }
}

/// Whether it is a bare shell, or another program that does what it is told at a terminal, behind whatever wrapper.
fn converses(program: &[String]) -> bool {
    let mut words = program.iter().rev().map(String::as_str);
    let last = words.find(|word| !["-l", "-i", "--login"].contains(word));
    let name = last.and_then(|path| path.rsplit('/').next());
    name.is_some_and(|name| CONVERSE.contains(&name))
}

/// Says of a container's Jupyter that it failed, if it does not answer and has left its mark.
pub(crate) async fn look(engine: &Engine, container: &mut Container) -> Result<()> {
    let port = convert::jupyter_port(&container.inspected);
    let State::Running { endpoints, .. } = &mut container.instance.state else {
        return Ok(());
    };
    let mut endpoints = endpoints.iter_mut();
    let awaited = endpoints.find(|e| Some(e.container) == port && !e.ready && e.failed.is_none());
    if let Some(endpoint) = awaited {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(MARK);
        let call = engine
            .docker
            .get_container_archive_info(&container.id, Some(options.build()));
        let mark = engine.found("docker cp", call).await?;
        endpoint.failed = mark.map(|_| Reason::JupyterUnavailable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuropod_core::pod::Secret;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_waits_for_a_user_has_a_terminal() {
        for line in [
            "bash",
            "/bin/sh",
            "/opt/nvidia/nvidia_entrypoint.sh bash",
            "tini -g -- /bin/bash -l",
            "python3",
        ] {
            assert!(converses(&words(line)), "{line}");
        }
        for line in [
            "nginx",
            "python3 serve.py",
            "sh -c serve",
            "/bash/serve",
            "",
        ] {
            assert!(!converses(&words(line)), "{line}");
        }
    }

    #[test]
    fn the_program_is_behind_the_boot_script() {
        let jupyter = Jupyter {
            port: 8888,
            token: Secret::new("a secret"),
        };
        let beside = around(words("nginx -g daemon"), &jupyter);
        assert_eq!(beside.command[..2], ["/bin/sh", "-c"]);
        assert_eq!(
            beside.command[3..],
            ["np", "8888", MARK, "nginx", "-g", "daemon"]
        );
        assert!(!beside.terminal);
        assert!(!format!("{beside:?}").contains("a secret"));
        let empty = around(Vec::new(), &jupyter);
        assert_eq!(empty.command.last().unwrap(), "/bin/sh");
        assert!(empty.terminal);
    }
}
