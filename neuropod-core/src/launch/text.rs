//! Which texts may become a name, an environment variable or an argument.

use super::Wrong;
use crate::pod::Env;

const NAME_MAX: usize = 50;
const ENV_MAX: usize = 100;
const ENV_NAME_MAX: usize = 128;
const ARGS_MAX: usize = 100;
const TEXT_MAX: usize = 32 << 10;
const RESERVED_PREFIX: &str = "NEUROPOD_";
const RESERVED: [&str; 3] = [
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "JUPYTER_TOKEN",
];

/// The text as a sentence may show it: escaped, and not more than its beginning.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}

/// The name without blanks around it.
pub(super) fn name(name: &str, wrong: &mut Wrong) -> String {
    let name = name.trim_matches(' ');
    let length = name.chars().count();
    if length == 0 {
        wrong.note("/name", "A pod needs a name.");
    } else if length > NAME_MAX {
        wrong.note(
            "/name",
            format!("A name has at most {NAME_MAX} characters, not {length}."),
        );
    } else if name.chars().any(breaks_a_line) {
        wrong.note(
            "/name",
            format!(
                "The name {} holds a line break or another control character.",
                quoted(name)
            ),
        );
    }
    name.to_owned()
}

/// Control characters, line separators, and what turns the direction of the text around it.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn env(env: &Env, wrong: &mut Wrong) {
    if env.0.len() > ENV_MAX {
        let message = format!(
            "At most {ENV_MAX} environment variables, not {}.",
            env.0.len()
        );
        return wrong.note("/env", message);
    }
    let size: usize = env.0.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > TEXT_MAX {
        let message = format!("The environment has at most {TEXT_MAX} bytes, not {size}.");
        wrong.note("/env", message);
    }
    for (name, value) in &env.0 {
        let pointer = format!("/env/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some(message) = wrong_env_name(name) {
            wrong.note(pointer, message);
        } else if has_control(value) {
            let message = format!("The value of {name} holds a control character.");
            wrong.note(pointer, message);
        }
    }
}

fn wrong_env_name(name: &str) -> Option<String> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || matches!(c, '.' | '-');
    if name.len() > ENV_NAME_MAX {
        Some(format!(
            "The name of an environment variable has at most {ENV_NAME_MAX} characters; {} has {}.",
            quoted(name),
            name.chars().count()
        ))
    } else if !name.starts_with(starts) || !name.chars().all(goes_on) {
        Some(format!(
            "{} can't name an environment variable: letters, digits, \"_\", \".\" and \"-\", no digit first.",
            quoted(name)
        ))
    } else if name.starts_with(RESERVED_PREFIX) || RESERVED.contains(&name) {
        Some(format!(
            "The environment variable {name} is reserved: the platform sets it."
        ))
    } else {
        None
    }
}

/// Texts that may have several lines: scripts, keys, certificates.
fn has_control(text: &str) -> bool {
    text.chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

pub(super) fn args(args: &[String], wrong: &mut Wrong) {
    let size: usize = args.iter().map(String::len).sum();
    if args.len() > ARGS_MAX || size > TEXT_MAX {
        let message = format!("At most {ARGS_MAX} arguments of {TEXT_MAX} bytes in all.");
        return wrong.note("/args", message);
    }
    for (i, arg) in args.iter().enumerate() {
        if has_control(arg) {
            let message = format!("Argument {} holds a control character.", quoted(arg));
            wrong.note(format!("/args/{i}"), message);
        }
    }
}
