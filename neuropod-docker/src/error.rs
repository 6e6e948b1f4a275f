//! Docker's errors become NeuroPod's here, and nowhere else.

use bollard::errors::Error as Docker;
use neuropod_core::{Error, ErrorKind, Refusal, RetryCause};

pub(crate) fn status(error: &Docker) -> Option<u16> {
    match error {
        Docker::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What a failed create or start means, by the engine's own words; they are its only code.
pub(crate) fn start_cause(message: &str) -> ErrorKind {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if says(&["port is already allocated", "address already in use"]) {
        ErrorKind::Retry(RetryCause::PortTaken)
    } else if says(&["device driver", "nvidia", "cdi"]) {
        ErrorKind::Retry(RetryCause::GpuAdmission)
    } else if says(&["no space left"]) {
        ErrorKind::Refused(Refusal::NoSpace)
    } else {
        ErrorKind::Refused(Refusal::Spec)
    }
}

/// What a failed pull means.
pub(crate) fn pull_kind(error: &Docker) -> ErrorKind {
    let text = error.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if says(&["denied", "unauthorized"]) {
        ErrorKind::Refused(Refusal::ImageDenied)
    } else if says(&["manifest unknown", "not found"]) {
        ErrorKind::Refused(Refusal::ImageNotFound)
    } else if says(&["no space left"]) {
        ErrorKind::Refused(Refusal::NoSpace)
    } else if says(&["invalid reference"]) || status(error) == Some(400) {
        ErrorKind::Refused(Refusal::BadReference)
    } else {
        ErrorKind::Unreachable
    }
}

/// Any other failure: nothing is known about the outcome.
pub(crate) fn unreachable(operation: &'static str, error: Docker) -> Error {
    Error::unreachable("The Docker engine did not do it.")
        .during(operation)
        .caused_by(error)
}
