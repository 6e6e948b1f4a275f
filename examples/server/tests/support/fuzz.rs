//! Requests that schemathesis makes of the OpenAPI document of a real server: none is answered by a fault of the server,
//! or otherwise than the document says, none gets in without a token, and nothing bad is taken.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::http::Request;
use super::program::Program;

const ROOT: &str = "root@example.com";
const ANA: &str = "ana@example.com";
/// Pods that are there before the first request.
const PODS: usize = 8;

/// What is tried.
pub(crate) struct Fuzz<'a> {
    /// The program.
    pub(crate) schemathesis: String,
    /// How it makes requests, and of which operations.
    pub(crate) how: &'a [&'a str],
    /// At least so many.
    pub(crate) requests: usize,
    /// At most so many of each operation, beside those that follow from its schema alone.
    pub(crate) of_each: usize,
    /// What pods run.
    pub(crate) image: &'a str,
}

impl Fuzz<'_> {
    /// Tries a server with these settings, by the dice of `NEUROPOD_SEED`.
    pub(crate) async fn over(&self, name: &str, settings: &[(&str, String)]) {
        // The same each time, unless somebody looks for more.
        let seed = number("NEUROPOD_SEED").unwrap_or(1);
        println!("NEUROPOD_SEED={seed} NEUROPOD_REQUESTS={}", self.requests);
        let folder = std::env::temp_dir().join(format!("neuropod-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut settings = settings.to_vec();
        settings.push(("ADMIN_EMAILS", ROOT.to_owned()));
        let server = Program::start(&folder, &settings).await;
        let there = There::make(server.address, self.image).await;
        let known = there.known(self.image);
        std::fs::write(folder.join("schemathesis.toml"), known).unwrap();

        let output = Command::new(&self.schemathesis)
            .args(["run", &format!("http://{}/openapi.json", server.address)])
            .args(["--url", &format!("http://{}", server.address)])
            .args(self.how)
            // What is good by its schema may still ask for what is not there.
            .args(["--exclude-checks", "positive_data_acceptance"])
            // Its answer does not end.
            .args(["--exclude-operation-id", "followEvents"])
            .args(["--max-examples", &self.of_each.to_string()])
            .args(["--seed", &seed.to_string(), "--generation-database", "none"])
            .args(["--no-color", "--warnings", "off"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let made = said.lines().find_map(|line| {
            let (number, _) = line.trim().split_once(" generated")?;
            number.parse::<usize>().ok()
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}{}", server.said());
        let made = made.expect("it says how many it has made");
        let launched = there.launched().await;
        println!("{made} requests, {launched} pods");
        assert!(made >= self.requests, "{made}");
        there.clear().await;
        server.kill().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// A count that the environment gives.
pub(crate) fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// What is there, so that not every request is about nothing.
struct There {
    server: SocketAddr,
    pods: Vec<Value>,
    templates: Vec<Value>,
    user: Value,
}

impl There {
    async fn make(server: SocketAddr, image: &str) -> Self {
        let mut there = Self {
            server,
            pods: Vec::new(),
            templates: Vec::new(),
            user: sign_in(server, ANA).await["user"]["id"].clone(),
        };
        for n in 0..PODS {
            let pod = json!({
                "name": format!("Pod {n}"), "deploymentType": "docker", "dockerImage": image, "gpu": "cpu",
                "containerDiskSize": 1, "volumeDiskSize": 1, "ports": "8080", "enableJupyter": false,
            });
            let launched = there.ask("POST", "/api/pods").await.json(&pod).send().await;
            there.pods.push(launched.json()["data"]["podId"].clone());
        }
        let templates = there.ask("GET", "/api/templates").await.send().await.json();
        let templates = templates.as_array().unwrap().iter();
        there.templates = templates.map(|template| template["id"].clone()).collect();
        there
    }

    /// Asks as the administrator.
    async fn ask(&self, method: &str, path: &str) -> Request {
        let session = sign_in(self.server, ROOT).await;
        Request::new(self.server, method, path).bearer(session["token"].as_str().unwrap())
    }

    /// How many launches were good since.
    async fn launched(&self) -> usize {
        let path = "/api/admin/activity?action=CREATE_POD&limit=200";
        let rows = self.ask("GET", path).await.send().await.json();
        rows["data"].as_array().unwrap().len() - PODS
    }

    /// Deletes all pods, and waits until they are gone.
    async fn clear(&self) {
        for email in [ROOT, ANA] {
            let path = format!("/api/pods?userEmail={email}");
            let rows = self.ask("GET", &path).await.send().await.json();
            for row in rows["data"].as_array().into_iter().flatten() {
                let path = format!("/api/pods/{}", row["podId"].as_str().unwrap());
                self.ask("DELETE", &path).await.send().await;
                while self.ask("GET", &path).await.send().await.status != 404 {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// What schemathesis is told of it.
    fn known(&self, image: &str) -> String {
        format!(
            r#"[generation]
# Parameters of a query that an operation does not know are left alone, as everywhere on the web.
allow-extra-parameters = false
[auth.dynamic.openapi.bearer]
path = "/api/auth/mock-login"
payload = {{ email = "{ROOT}" }}
extract_selector = "/token"
# Signing out is tried, too.
retry_on = [401]
[dictionaries]
pods = {{ values = {pods} }}
templates = {{ values = {templates} }}
users = {{ values = [{user}] }}
addresses = {{ values = ["{ANA}"] }}
gpus = {{ values = ["cpu", "rtx-4050"] }}
images = {{ values = ["{image}"] }}
ports = {{ values = ["8080", "8888, 3000"] }}
tcp = {{ values = ["22"] }}
names = {{ values = ["My pod"] }}
times = {{ values = ["30m", "2h"] }}
sizes = {{ values = [1, 10] }}
keys = {{ values = {keys} }}
[parameters]
"path.podId" = {{ dictionary = "pods", probability = 0.8 }}
"path.templateId" = {{ dictionary = "templates", probability = 0.5 }}
"path.userId" = {{ dictionary = "users", probability = 0.3 }}
"path.gpuId" = {{ dictionary = "gpus", probability = 0.5 }}
"query.userId" = {{ dictionary = "users", probability = 0.5 }}
"header.Idempotency-Key" = {{ dictionary = "keys", probability = 0.9 }}
"body.userId" = {{ dictionary = "users", probability = 0.8 }}
"body.gpu" = {{ dictionary = "gpus", probability = 0.9 }}
"body.template" = {{ dictionary = "templates", probability = 0.9 }}
"body.dockerImage" = {{ dictionary = "images", probability = 0.9 }}
"body.name" = {{ dictionary = "names", probability = 0.9 }}
"body.containerDiskSize" = {{ dictionary = "sizes", probability = 0.9 }}
"body.volumeDiskSize" = {{ dictionary = "sizes", probability = 0.9 }}
"body.ports" = {{ dictionary = "ports", probability = 0.9 }}
"body.tcpPorts" = {{ dictionary = "tcp", probability = 0.9 }}
"body.assignToUser" = {{ dictionary = "addresses", probability = 0.9 }}
"body.idleStop" = {{ dictionary = "times", probability = 0.9 }}
"body.stopAfter" = {{ dictionary = "times", probability = 0.9 }}
"body.deleteAfter" = {{ dictionary = "times", probability = 0.9 }}
"#,
            pods = json!(self.pods),
            templates = json!(self.templates),
            user = self.user,
            // With few of them, most requests would repeat another.
            keys = json!((0..1000).map(|n| format!("key {n}")).collect::<Vec<_>>()),
        )
    }
}

/// Signs somebody in.
async fn sign_in(server: SocketAddr, email: &str) -> Value {
    let login = Request::new(server, "POST", "/api/auth/mock-login");
    login.json(&json!({ "email": email })).send().await.json()
}
