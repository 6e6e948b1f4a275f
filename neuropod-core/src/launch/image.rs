//! The grammar of image references: `[registry[:port]/]path[:tag][@digest]`.

use super::text::quoted;

const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// # Errors
/// A sentence that says which part is wrong.
pub(crate) fn check(reference: &str) -> Result<(), String> {
    if reference.is_empty() {
        return Err("An image is needed, such as \"ubuntu:22.04\".".to_owned());
    }
    let bad = |what: &str| Err(format!("The image {} {what}.", quoted(reference)));
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].split_once(':') {
        Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
        None => (rest, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, path)) if is_domain(first) => (Some(first), path),
        _ => (None, name),
    };
    if reference
        .chars()
        .any(|c| c.is_whitespace() || c.is_control())
    {
        bad("holds a blank or a control character")
    } else if name.len() > NAME_MAX {
        bad(&format!("has a name of more than {NAME_MAX} characters"))
    } else if !domain.is_none_or(valid_domain) {
        bad("has a malformed registry: it is a host name and perhaps a port")
    } else if path.bytes().any(|b| b.is_ascii_uppercase()) {
        bad("has capital letters in its path, which must be lower case")
    } else if !path.split('/').all(valid_component) {
        bad(
            "is malformed: its path is lower-case letters and digits, joined by \"/\", \".\", \"_\", \"__\" or \"-\"",
        )
    } else if domain.is_none() && digest.is_none() && is_hex(path, 64) {
        bad("is an image id: name the image it belongs to")
    } else if !tag.is_none_or(valid_tag) {
        bad(&format!(
            "has a malformed tag: at most {TAG_MAX} letters, digits, \"_\", \".\" and \"-\", not \".\" or \"-\" first"
        ))
    } else if !digest.is_none_or(valid_digest) {
        bad("has a malformed digest: it is \"sha256:\" and 64 hexadecimal digits")
    } else {
        Ok(())
    }
}

/// Whether the part before the first slash names a registry.
fn is_domain(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let valid_port = |p: &str| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok();
    let valid_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    valid_host && port.is_none_or(valid_port)
}

/// Runs of letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let joined = |c: char| matches!(c, '.' | '_' | '-');
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.chars().all(|c| alphanumeric(c) || joined(c))
        && component
            .split(alphanumeric)
            .all(|join| matches!(join, "" | "." | "_" | "__") || join.bytes().all(|b| b == b'-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= TAG_MAX
        && tag.starts_with(word)
        && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn valid_digest(digest: &str) -> bool {
    match digest.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
