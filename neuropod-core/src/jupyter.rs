//! Jupyter beside the image's program: what starts it in a container, and how it is known that it will not be there.
//!
//! A backend that can replace a container's command runs `/bin/sh -c BOOT np <port> <mark> <program…>`; one that can't
//! runs the same without a program, next to it. Either way the image's program keeps its place and its signals. An
//! image without a shell runs as it is. What a backend finds out about Jupyter it says in the endpoint of its port.

use std::time::Duration;

use crate::orchestrator::Jupyter;
use crate::pod::{Endpoint, Reason, Run};

/// Jupyter's port inside every container.
pub const PORT: u16 = 8888;

/// The script that starts Jupyter in the background and then is the program that it is given.
pub const BOOT: &str = include_str!("jupyter/boot.sh");

/// Where a backend may have [`BOOT`] leave its mark when there will be no Jupyter.
pub const MARK: &str = "/tmp/.neuropod-no-jupyter";

/// It may have to be installed first, but not for longer than this after the container's start.
pub const WITHIN: Duration = Duration::from_secs(900);

/// The words before the program's own: a shell that runs [`BOOT`].
pub fn shell(jupyter: &Jupyter) -> Vec<String> {
    let port = jupyter.port.to_string();
    ["/bin/sh", "-c", BOOT, "np", &port, MARK]
        .map(str::to_owned)
        .into()
}

/// The endpoints of a run as they are for its users: a Jupyter that has not answered for too long has failed.
pub(crate) fn judged(run: &Run, endpoints: &[Endpoint], waited: Duration) -> Vec<Endpoint> {
    let mut endpoints = endpoints.to_vec();
    if waited >= WITHIN
        && let Some(jupyter) = awaited(run, &mut endpoints)
    {
        jupyter.failed = Some(Reason::JupyterUnavailable);
    }
    endpoints
}

/// Whether it is still open if there will be a Jupyter.
pub(crate) fn is_awaited(run: &Run, endpoints: &[Endpoint]) -> bool {
    awaited(run, &mut endpoints.to_vec()).is_some()
}

fn awaited<'a>(run: &Run, endpoints: &'a mut [Endpoint]) -> Option<&'a mut Endpoint> {
    run.jupyter_token.as_ref()?;
    let jupyter = endpoints.iter_mut().find(|e| e.container == PORT)?;
    (!jupyter.ready && jupyter.failed.is_none()).then_some(jupyter)
}

#[cfg(test)]
mod tests;
