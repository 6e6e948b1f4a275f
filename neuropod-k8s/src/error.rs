//! The cluster's errors become NeuroPod's here, and nowhere else.

use kube::Error as Kube;
use neuropod_core::{Error, ErrorKind, Refusal, RetryCause};

/// The HTTP status of the API server's answer, if it is one.
pub(crate) fn status(error: &Kube) -> Option<u16> {
    match error {
        Kube::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether a change was refused because the object of that name is another one by now.
pub(crate) fn is_another(error: &Kube) -> bool {
    status(error) == Some(422) && words(error).contains("metadata.uid")
}

/// The API server's own words.
pub(crate) fn words(error: &Kube) -> String {
    let words = match error {
        Kube::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    words.chars().take(500).collect()
}

/// Any failure that says nothing about the outcome, and what the API server says about us.
pub(crate) fn unreachable(operation: &'static str, error: Kube) -> Error {
    let message = match status(&error) {
        Some(401) => {
            "The cluster does not know who asks: its kubeconfig or service account is not accepted."
        }
        Some(403) => {
            "The cluster does not let this service account do it: deploy/kubernetes has the roles it needs."
        }
        _ => "The cluster did not do it.",
    };
    let words = words(&error);
    Error::unreachable(message)
        .during(operation)
        .with("answer", words)
        .caused_by(error)
}

/// A creation that failed for a reason of its own.
pub(crate) fn not_made(operation: &'static str, error: Kube) -> Error {
    let words = words(&error);
    let text = words.to_lowercase();
    let says = |what: &str| text.contains(what);
    let refused = |kind, message: String| Error::new(kind, message).during(operation);
    match status(&error) {
        Some(422)
            if says("port is already allocated")
                || says("provided port is not in the valid range") =>
        {
            let kind = ErrorKind::Retry(RetryCause::PortTaken);
            refused(kind, format!("The node port can't be had: {words}"))
        }
        Some(400 | 422) => {
            let kind = ErrorKind::Refused(Refusal::Spec);
            refused(kind, format!("The cluster can't run the pod: {words}"))
        }
        // Room may come: whoever asks again has until its deadline.
        Some(403) if says("exceeded quota") => {
            Error::unreachable(format!("The namespace's quota leaves no room: {words}"))
                .during(operation)
        }
        // Admission has judged the object; who may not ask at all is told apart by these words.
        Some(403) if !says("cannot create resource") => {
            let kind = ErrorKind::Refused(Refusal::Spec);
            refused(kind, format!("The cluster's rules refuse the pod: {words}"))
        }
        _ => unreachable(operation, error),
    }
}

/// What a kubelet says about an image that it could not get, if that is for good.
pub(crate) fn image_refusal(reason: &str, message: &str) -> Option<Refusal> {
    let text = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match reason {
        "InvalidImageName" => Some(Refusal::BadReference),
        "ErrImageNeverPull" => Some(Refusal::ImageNotFound),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            if says(&["no space left"]) {
                Some(Refusal::NoSpace)
            } else if says(&[
                "no such host",
                "connection refused",
                "i/o timeout",
                "too many requests",
            ]) {
                None
            } else if says(&[
                "denied",
                "unauthorized",
                "authorization failed",
                "403 forbidden",
                "no basic auth",
            ]) {
                Some(Refusal::ImageDenied)
            } else if says(&[
                "not found",
                "manifest unknown",
                "name unknown",
                "no match for platform",
            ]) {
                Some(Refusal::ImageNotFound)
            } else {
                None
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api(code: u16, message: &str) -> Kube {
        Kube::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        }))
    }

    #[test]
    fn what_the_api_server_refuses_is_told_apart() {
        let kind = |code, message| not_made("create", api(code, message)).kind().clone();
        let port = "Service \"np-1\" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated";
        assert_eq!(kind(422, port), ErrorKind::Retry(RetryCause::PortTaken));
        let field = "Pod \"np-1\" is invalid: spec.containers[0].image: Required value";
        assert_eq!(kind(422, field), ErrorKind::Refused(Refusal::Spec));
        let security = "pods \"np-1\" is forbidden: violates PodSecurity \"restricted:latest\"";
        assert_eq!(kind(403, security), ErrorKind::Refused(Refusal::Spec));
        let quota = "pods \"np-1\" is forbidden: exceeded quota: team, requested: pods=1";
        assert_eq!(kind(403, quota), ErrorKind::Unreachable);
        let rights =
            "pods is forbidden: User \"x\" cannot create resource \"pods\" in API group \"\"";
        assert_eq!(kind(403, rights), ErrorKind::Unreachable);
        assert_eq!(
            kind(503, "etcdserver: request timed out"),
            ErrorKind::Unreachable
        );
    }

    /// The words of containerd 1.6 and 2, through kubelets.
    #[test]
    fn an_image_that_can_not_be_had_is_told_apart() {
        let of = |message| image_refusal("ErrImagePull", message);
        let missing = "rpc error: code = NotFound desc = failed to pull and unpack image \"127.0.0.1:5000/x:latest\": failed to resolve reference: 127.0.0.1:5000/x:latest: not found";
        assert_eq!(of(missing), Some(Refusal::ImageNotFound));
        let denied = "failed to resolve reference \"docker.io/library/x:latest\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";
        assert_eq!(of(denied), Some(Refusal::ImageDenied));
        let forbidden = "failed to resolve reference \"r/x\": unexpected status from HEAD request to http://r/v2/x/manifests/1: 403 Forbidden";
        assert_eq!(of(forbidden), Some(Refusal::ImageDenied));
        let down = "failed to do request: Head \"https://r/v2/\": dial tcp: lookup r: no such host";
        assert_eq!(of(down), None, "it may come back");
        assert_eq!(
            image_refusal("InvalidImageName", "x"),
            Some(Refusal::BadReference)
        );
        assert_eq!(image_refusal("ContainerCreating", "not found"), None);
    }
}
