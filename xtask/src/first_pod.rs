//! The three commands that `up` prints: launch a pod, open its page, read its log. And their test.

use crate::demo;
use crate::docker::Docker;
use crate::folder::Folder;
use crate::readme;
use crate::shell;
use crate::space::Space;
use crate::up;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// The commands for a server at this URL, each with what it is for.
pub(crate) fn commands(server: &str) -> [(&'static str, String); 3] {
    let field = |name: &str| format!(r#"grep -o '"{name}":"[^"]*' | cut -d'"' -f4"#);
    let token = field("token");
    let pod = field("podId");
    let url = field("url");
    let json = "-H 'Content-Type: application/json'";
    let me = r#"-H "Authorization: Bearer $TOKEN""#;
    let image = demo::NAME;
    [
        (
            "Launch a pod",
            format!(
                r#"TOKEN=$(curl -s {server}/api/auth/mock-login {json} -d '{{"email":"you@example.com"}}' | {token}) &&
POD=$(curl -s {server}/api/pods {me} {json} -d '{{"name":"hello","deploymentType":"docker","dockerImage":"{image}","gpu":"cpu","containerDiskSize":1,"volumeDiskSize":1,"ports":"8080","enableJupyter":false}}' | {pod}) && echo "pod $POD""#
            ),
        ),
        (
            "Open its page (the URL works in a browser too)",
            format!(
                r#"for second in $(seq 60); do
  STATE=$(curl -s {server}/api/pods/$POD/connections {me}); URL=$(echo "$STATE" | grep '"ready"' | {url})
  [ "$URL" ] && break; sleep 1
done; if [ "$URL" ]; then echo "$URL"; curl -s "$URL"; else echo "$STATE"; fi"#
            ),
        ),
        (
            "Read its log",
            format!(r#"curl -s {server}/api/pods/$POD/logs {me}; echo"#),
        ),
    ]
}

/// Does what the README says, on the tests' engine: its first command, the three that this prints, and Ctrl-C.
pub(crate) fn prove(space: &Space, docker: &Docker, folder: &Folder) -> Result<()> {
    let user = shell::identity(None)?;
    let line = readme::first_command()?;
    let mut words = line.split_whitespace();
    ensure!(
        words.next() == Some("cargo"),
        "the README's first command is {line}"
    );
    let mut up = space.command(shell::cargo().get_program(), user)?;
    shell::forget_package(&mut up);
    let mut up = up
        .args(words)
        .arg("--yes")
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("DATABASE_URL")
        .env("DOCKER_HOST", docker.host())
        .env("XDG_DATA_HOME", folder.path().join("home"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let mut lines = BufReader::new(up.stdout.take().expect("piped")).lines();
    while !said.contains(up::READY) {
        let line = lines
            .next()
            .with_context(|| format!("{line} ended early"))??;
        println!("{line}");
        said += &line;
        said += "\n";
    }
    let shown = said.split("\n\n").filter(|part| part.contains("curl"));
    let script = shown.collect::<Vec<_>>().join("\n");
    let answers = shell::output(space.command("sh".as_ref(), user)?.args(["-c", &script]));
    // As Ctrl-C would, and whatever the answers are.
    shell::output(shell::signal(shell::root("sh")?, "-INT").arg(up.id().to_string()))?;
    let rest: Vec<String> = lines.collect::<Result<_, _>>()?;
    let status = shell::wait(&mut up)?;
    let answers = answers?;
    println!("{answers}");
    for expected in [
        "pod ",
        "http://",
        "Hello from pod",
        "serving HTTP on port 8080",
    ] {
        ensure!(
            answers.contains(expected),
            "no {expected:?} in what the commands say"
        );
    }
    ensure!(status.success(), "{line} ended with {status}");
    ensure!(
        rest.iter().any(|line| line.contains("has ended")),
        "its end is not told"
    );
    let stays = docker.runs(demo::NAME)?;
    ensure!(stays, "the pod did not stay when the server ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_understands_each_command() {
        for (purpose, command) in commands("http://localhost:3000") {
            let status = Command::new("sh").args(["-n", "-c", &command]).status();
            assert!(status.unwrap().success(), "{purpose}: {command}");
        }
    }
}
