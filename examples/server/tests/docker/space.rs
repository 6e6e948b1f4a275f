//! A place where a test may kill an engine: a network namespace of its own, since two engines in one undo each other's
//! rules, and a folder of its own.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

/// Names the folder, inside.
const FOLDER: &str = "NEUROPOD_TEST_SPACE";

/// Runs a test inside, and afterwards ends whatever is left there, also after a test that was killed.
const ENTER: &str = r#"
folder=$1; shift
trap : INT TERM
mkdir "$folder" && ip link set lo up && "$@"
code=$?
for file in $(grep -la "$folder/" /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=${file#/proc/}
    kill -9 "${pid%/cmdline}" 2>/dev/null
done
sed -n "s|^[^ ]* \($folder/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount"
done
rm -rf --one-file-system "$folder"
exit $code
"#;

/// The folder, if this is inside. If not, the test of this name has been run inside, and has passed, or can't be.
pub(crate) async fn enter(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(folder.into());
    }
    let Some(mut command) = as_root("unshare").await else {
        let why = "it takes root, or sudo without a password, to make a network namespace";
        let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must_run, "{why}");
        println!("not run: {why}");
        return None;
    };
    // On disk, and short: a socket's path ends at 108 bytes.
    let folder = format!("/var/tmp/{}", crate::unique("np"));
    let ended = command
        .args(["--net", "--", "env", &format!("{FOLDER}={folder}")])
        .args(["sh", "-c", ENTER, "sh", &folder])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .stdin(Stdio::null())
        .status();
    assert!(ended.await.unwrap().success(), "{test}, inside");
    None
}

async fn as_root(program: &str) -> Option<Command> {
    let id = Command::new("id").arg("-u").output().await.unwrap();
    if id.stdout == b"0\n" {
        return Some(Command::new(program));
    }
    let mut sudo = Command::new("sudo");
    let free = sudo.args(["--non-interactive", "true"]).status().await;
    if !free.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", "--preserve-env", "--", program]);
    Some(command)
}
