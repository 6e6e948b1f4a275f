//! Docker's errors become NeuroPod's here, and nowhere else.

use bollard::errors::Error as Docker;
use neuropod_core::{Error, ErrorKind, Refusal, RetryCause};

/// How registries, and the engine for them, say that who asks may not have an image.
const DENIED: [&str; 5] = [
    "denied",
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "403 forbidden",
];
/// Of an image that is there for other machines only.
const NOT_FOR_US: &str = "no matching manifest for";
/// Of a container whose image is for another machine.
const NOT_OF_HOST: &str = "does not match the detected host platform";

pub(crate) fn status(error: &Docker) -> Option<u16> {
    match error {
        Docker::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's own words.
pub(crate) fn words(error: &Docker) -> String {
    let words = match error {
        Docker::DockerResponseServerError { message, .. } => message,
        Docker::DockerStreamError { error } => error,
        other => return other.to_string(),
    };
    words.chars().take(500).collect()
}

/// Whether a create failed because its image has to be pulled first.
pub(crate) fn image_is_missing(error: &Docker) -> bool {
    words(error).to_lowercase().contains("no such image")
}

/// Whether a container could not be started because the network it is to be in is gone.
pub(crate) fn network_is_missing(message: &str) -> bool {
    message.starts_with("network ") && message.ends_with(" not found")
}

/// Whether a container could not be started because its image has no shell.
pub(crate) fn shell_is_missing(message: &str) -> bool {
    message.contains("exec: \"/bin/sh\":")
}

/// A create or start that failed for a reason of its own.
pub(crate) fn failed(operation: &'static str, error: &Docker) -> Error {
    let words = words(error);
    let message = format!("The Docker engine can't run the container: {words}");
    Error::new(start_cause(&words), message).during(operation)
}

/// A container that was created of an image which is not for this machine: it could not run.
pub(crate) fn wrong_platform(warnings: &[String]) -> Option<Error> {
    let words = warnings.iter().find(|w| w.contains(NOT_OF_HOST))?;
    let message = format!("The image is not for this machine: {words}.");
    Some(Error::new(ErrorKind::Refused(Refusal::ImageNotFound), message).during("docker create"))
}

/// What a failed create or start means, by the engine's own words; they are its only code.
pub(crate) fn start_cause(message: &str) -> ErrorKind {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if says(&["port is already allocated", "address already in use"]) {
        ErrorKind::Retry(RetryCause::PortTaken)
    } else if says(&["is ambiguous"]) {
        ErrorKind::Retry(RetryCause::NameTaken)
    } else if says(&["no available ipv4 addresses"]) {
        ErrorKind::Retry(RetryCause::NoNetwork)
    } else if says(&["device driver", "nvidia", "cdi"]) {
        ErrorKind::Retry(RetryCause::GpuAdmission)
    } else if says(&["no space left"]) {
        ErrorKind::Refused(Refusal::NoSpace)
    } else if says(&[
        "invalid reference",
        "must be lowercase",
        "no image specified",
    ]) {
        ErrorKind::Refused(Refusal::BadReference)
    } else {
        ErrorKind::Refused(Refusal::Spec)
    }
}

/// Why a pull failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PullFailure {
    /// The registry's answer, or one of the engine: it will be the same next time.
    Refused(Refusal, String),
    /// The engine could not reach the registry, or was turned away for now.
    NoRegistry(String),
}

impl PullFailure {
    /// `None` if the engine itself did not answer: that says nothing about the image.
    pub(crate) fn of(error: &Docker) -> Option<Self> {
        let told = matches!(
            error,
            Docker::DockerResponseServerError { .. } | Docker::DockerStreamError { .. }
        );
        if !told {
            return None;
        }
        let words = words(error);
        let text = words.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
        let refusal = if says(&["no such host", "connection refused", "i/o timeout"]) {
            return Some(Self::NoRegistry(words));
        } else if says(&["no space left"]) {
            Refusal::NoSpace
        } else if says(&["invalid reference", "must be lowercase"]) || status(error) == Some(400) {
            Refusal::BadReference
        } else if says(&DENIED) {
            Refusal::ImageDenied
        } else if says(&["manifest unknown", "name unknown", "not found", NOT_FOR_US]) {
            Refusal::ImageNotFound
        } else {
            return Some(Self::NoRegistry(words));
        };
        Some(Self::Refused(refusal, words))
    }

    /// For the caller. A registry that can't be reached has not got the image for us.
    pub(crate) fn error(&self) -> Error {
        let error = match self {
            Self::Refused(refusal, words) => {
                let message = format!("The image can't be pulled: {words}");
                Error::new(ErrorKind::Refused(*refusal), message)
            }
            Self::NoRegistry(words) => {
                let message = format!("The image's registry can't be reached: {words}");
                Error::new(ErrorKind::Refused(Refusal::ImageNotFound), message)
            }
        };
        error.during("docker pull")
    }
}

/// Any other failure: nothing is known about the outcome.
pub(crate) fn unreachable(operation: &'static str, error: Docker) -> Error {
    Error::unreachable("The Docker engine did not do it.")
        .during(operation)
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of Docker 20.10, and of some registries through it.
    #[test]
    fn a_failed_pull_is_what_the_engine_says_it_is() {
        let of = |status_code, message: &str| {
            PullFailure::of(&Docker::DockerResponseServerError {
                status_code,
                message: message.to_owned(),
            })
        };
        let refused = |failure| match failure {
            Some(PullFailure::Refused(refusal, _)) => Some(refusal),
            _ => None,
        };
        let missing = "manifest for localhost:5000/x:latest not found: manifest unknown";
        assert_eq!(refused(of(404, missing)), Some(Refusal::ImageNotFound));
        let denied =
            "pull access denied for x, repository does not exist or may require 'docker login'";
        assert_eq!(refused(of(404, denied)), Some(Refusal::ImageDenied));
        for denied in [
            "Head \"http://127.0.0.1:5000/v2/x/manifests/1\": no basic auth credentials",
            "unauthorized: authentication required",
            "Head https://ghcr.io/v2/x/manifests/1: denied",
            "unexpected status from HEAD request to http://r/v2/x/manifests/1: 403 Forbidden",
        ] {
            assert_eq!(refused(of(500, denied)), Some(Refusal::ImageDenied));
        }
        let other = "no matching manifest for linux/amd64 in the manifest list entries";
        assert_eq!(refused(of(404, other)), Some(Refusal::ImageNotFound));
        let full = "write /var/lib/docker/tmp/GetImageBlob1: no space left on device";
        assert_eq!(refused(of(500, full)), Some(Refusal::NoSpace));
        let malformed = "invalid reference format";
        assert_eq!(refused(of(400, malformed)), Some(Refusal::BadReference));
        let lookup = "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host";
        assert_eq!(
            of(500, lookup),
            Some(PullFailure::NoRegistry(lookup.to_owned()))
        );
        let closed = Docker::IOError {
            err: std::io::ErrorKind::BrokenPipe.into(),
        };
        assert_eq!(PullFailure::of(&closed), None);
    }

    #[test]
    fn a_failed_start_is_what_the_engine_says_it_is() {
        let port = "driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already allocated";
        assert_eq!(start_cause(port), ErrorKind::Retry(RetryCause::PortTaken));
        let gpu = "could not select device driver \"nvidia\" with capabilities: [[gpu]]";
        assert_eq!(start_cause(gpu), ErrorKind::Retry(RetryCause::GpuAdmission));
        let full = "no available IPv4 addresses on this network's address pools: np-1 (4a5e)";
        assert_eq!(start_cause(full), ErrorKind::Retry(RetryCause::NoNetwork));
        let two = "network np-1 is ambiguous (2 matches found on name)";
        assert_eq!(start_cause(two), ErrorKind::Retry(RetryCause::NameTaken));
        let program = "OCI runtime create failed: exec: \"x\": executable file not found in $PATH";
        assert_eq!(start_cause(program), ErrorKind::Refused(Refusal::Spec));
        let shell = "OCI runtime create failed: container_linux.go:367: starting container process caused: exec: \
                     \"/bin/sh\": stat /bin/sh: no such file or directory: unknown";
        assert!(shell_is_missing(shell) && !shell_is_missing(program));
        assert!(network_is_missing("network 4a5e not found"));
        assert!(!network_is_missing(program) && !network_is_missing(full));
    }
}
