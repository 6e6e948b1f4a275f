//! Other programs: finding them, running them, becoming root for them, and Ctrl-C.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C and SIGTERM set a flag which [`wait`] passes on, so that clean-up still runs.
pub(crate) fn catch_interrupts() -> Result<()> {
    Ok(ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst)
    })?)
}

/// Whether Ctrl-C was pressed.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The root folder of the repository. Asked at run time: checkouts may share what was compiled.
pub(crate) fn checkout() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let parent = Path::new(&package).parent().map(Path::to_path_buf);
    parent.context("this package has no folder above it")
}

/// Whether nobody is at the keyboard and nothing may be left out.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_package(&mut cargo);
    cargo
}

/// Keeps from a command what cargo told us about this package: there are build scripts (ring's) that would run anew
/// whenever `cargo xtask` and plain `cargo` take turns.
pub(crate) fn forget_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            command.env_remove(name);
        }
    }
}

/// The path of a program, also where only root's PATH has it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The user's and the group's number of whoever runs us, or of a named user.
pub(crate) fn identity(user: Option<&str>) -> Result<(u32, u32)> {
    let number = |flag: &str| -> Result<u32> {
        Ok(output(Command::new("id").arg(flag).args(user))?
            .trim()
            .parse()?)
    };
    Ok((number("-u")?, number("-g")?))
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| identity(None).is_ok_and(|(user, _)| user == 0))
}

/// A command that runs as root: as it is, or through sudo.
pub(crate) fn root(program: impl AsRef<Path>) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    if find("sudo").is_none() {
        bail!(
            "{} needs root: run this as root, or install sudo",
            program.display()
        );
    }
    let mut command = Command::new("sudo");
    if in_ci() {
        command.arg("--non-interactive");
    }
    command.arg("--preserve-env").arg("--").arg(program);
    Ok(command)
}

/// As many random bytes as asked for, as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs to the end; anything but success is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let status = wait(&mut child)?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for the end. After Ctrl-C or SIGTERM the child is told once, and waited for all the same.
pub(crate) fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupted() && !told {
            told = true;
            // The child may have heard Ctrl-C from the terminal already, or be gone by now.
            let _ = output(signal(Command::new("sh"), "-TERM").arg(child.id().to_string()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Makes a shell one that signals the processes whose numbers are added to it. Their `kill` is built in; as a program
/// of its own a small Debian has none.
pub(crate) fn signal(mut shell: Command, signal: &str) -> Command {
    shell.args(["-c", "kill \"$@\"", "sh", signal]);
    shell
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_needs_no_program_but_a_shell() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut kill = signal(Command::new("/bin/sh"), "-TERM");
        run(kill.arg(child.id().to_string()).env("PATH", "/nonexistent")).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
