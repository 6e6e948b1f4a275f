//! Connections to a local engine that are kept for the next call: `bollard` makes a new one for each.

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;

const USUAL: &str = "unix:///var/run/docker.sock";

/// In seconds, until the head of an answer; calls have deadlines of their own.
const TIMEOUT: u64 = 120;

/// The engine's address: the one that was given, or where `DOCKER_HOST` says, or the usual place.
pub(crate) fn address(given: Option<&str>) -> String {
    let told = std::env::var("DOCKER_HOST").unwrap_or_default();
    let told = Some(told.as_str()).filter(|told| !told.is_empty());
    given.or(told).unwrap_or(USUAL).to_owned()
}

/// The engine at that address.
pub(crate) fn connect(host: &str) -> Result<Docker, Error> {
    let Some(path) = host.strip_prefix("unix://") else {
        return Docker::connect_with_host(host);
    };
    let client = Client::builder(TokioExecutor::new()).build(UnixConnector);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async { answer.await.map_err(Error::from) }
    };
    // The name of a host may have no slashes, so the path is in it by the digits of its bytes.
    let digits: String = path.bytes().map(|byte| format!("{byte:02x}")).collect();
    let host = format!("unix://{digits}");
    Docker::connect_with_custom_transport(transport, Some(host), TIMEOUT, API_DEFAULT_VERSION)
}
