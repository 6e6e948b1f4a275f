//! The three commands that `up` prints: launch a pod, open its page, read its log.

use crate::demo;

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
                r#"until URL=$(curl -s {server}/api/pods/$POD/connections {me} | grep '"ready"' | {url}) && [ "$URL" ]; do sleep 1; done; echo "$URL"; curl -s "$URL""#
            ),
        ),
        (
            "Read its log",
            format!(r#"curl -s {server}/api/pods/$POD/logs {me}; echo"#),
        ),
    ]
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
