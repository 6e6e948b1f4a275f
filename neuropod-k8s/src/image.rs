//! What an image reference may look like: a cluster finds out only on the node. Pure.

use neuropod_core::{Error, ErrorKind, Refusal, Result};

/// # Errors
/// If no registry could know an image by this reference.
pub(crate) fn check(reference: &str) -> Result<()> {
    if is_well_formed(reference) {
        return Ok(());
    }
    let refusal = ErrorKind::Refused(Refusal::BadReference);
    Err(Error::new(refusal, "The image reference is malformed.").with("image", reference))
}

fn is_well_formed(reference: &str) -> bool {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let is_digest = |digest: &str| {
        digest.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    if !digest.is_none_or(is_digest) {
        return false;
    }
    // A colon before the last slash belongs to the registry's port.
    let after_slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[after_slash..].find(':') {
        Some(at) => (
            &rest[..after_slash + at],
            Some(&rest[after_slash + at + 1..]),
        ),
        None => (rest, None),
    };
    if !tag.is_none_or(is_tag) || name.len() > 255 {
        return false;
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    if parts.len() > 1 && is_host(parts[0]) && !is_registry(parts.remove(0)) {
        return false;
    }
    parts.iter().all(|part| is_component(part))
}

fn is_tag(tag: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(allowed)
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'[' | b']' | b':');
    !name.is_empty()
        && name.bytes().all(allowed)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_component(part: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_engines_take_and_refuse() {
        let digest = format!("busybox@sha256:{}", "a".repeat(64));
        for good in [
            "busybox",
            "a/b:1.2-x",
            "localhost:5000/a/b",
            "r.example/a__b",
            "127.0.0.1:5/x:T",
            &digest,
        ] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in [
            "",
            "UPPER/case",
            "two words",
            "a:b:c",
            "x/",
            "/x",
            "a//b",
            "a@sha256:1",
            "x:",
            "-x",
            "x:-1",
            "r.x:no/a",
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
