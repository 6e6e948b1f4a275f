//! Bad input that no schema can describe is answered with a sentence that says what is wrong, and changes nothing.
//! What a schema can describe is in `wrong_fields.rs`.

use serde_json::{Value, json};

use crate::support::{ANA, BEN, ROOT, Server, a_pod};

impl Server {
    /// What there is: nothing may come of what is refused.
    async fn everything(&self, token: &str) -> (usize, usize, u64) {
        let list = self.get("/api/pods").bearer(token).send().await;
        self.settle().await;
        let engine = self.engine.inventory();
        (
            engine.containers.len() + engine.volumes.len() + engine.pulling.len(),
            engine.ran.len(),
            list.json()["count"].as_u64().unwrap(),
        )
    }
}

/// A fit pod with one field changed.
fn with(field: &str, value: Value) -> Vec<u8> {
    let mut body = a_pod();
    body[field] = value;
    body.to_string().into_bytes()
}

fn ports(count: u32) -> String {
    let all: Vec<String> = (1..=count).map(|port| port.to_string()).collect();
    all.join(",")
}

#[tokio::test]
async fn a_launch_with_one_thing_wrong_is_refused_by_its_name() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let nothing = server.everything(&token).await;
    assert_eq!(nothing, (0, 0, 0));
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (
            with("gpu", json!("rtx-9999")),
            "/gpu",
            "no GPU \"rtx-9999\"",
        ),
        (with("gpu", json!("")), "/gpu", "no GPU"),
        (with("gpu", json!("toString")), "/gpu", "no GPU"),
        (
            with("dockerImage", json!("Not An Image")),
            "/dockerImage",
            "blank",
        ),
        (
            with("dockerImage", json!("UPPER/case")),
            "/dockerImage",
            "lower case",
        ),
        (
            with("dockerImage", json!("../../etc")),
            "/dockerImage",
            "malformed",
        ),
        (with("dockerImage", json!("a:b:c")), "/dockerImage", "tag"),
        (
            with("dockerImage", json!("a@sha256:1")),
            "/dockerImage",
            "digest",
        ),
        (
            with("dockerImage", json!("http://host/x")),
            "/dockerImage",
            "registry",
        ),
        (
            with("dockerImage", json!("")),
            "/dockerImage",
            "An image is needed",
        ),
        (
            with("dockerImage", Value::Null),
            "/dockerImage",
            "An image is needed",
        ),
        (
            with("containerDiskSize", json!(101)),
            "/containerDiskSize",
            "not 101",
        ),
        (
            with("ports", json!("8080,8080")),
            "/ports",
            "8080 is listed twice",
        ),
        (
            with("ports", json!("0")),
            "/ports",
            "Port 0 can't be published",
        ),
        (with("ports", json!("-22")), "/ports", "Port -22 "),
        (with("ports", json!("65536")), "/ports", "Port 65536 "),
        (
            with("ports", json!("http")),
            "/ports",
            "\"http\" is no number",
        ),
        (
            with("ports", json!("80;443")),
            "/ports",
            "\"80;443\" is no number",
        ),
        (
            with("ports", json!(ports(11))),
            "/ports",
            "at most 10 ports, not 11",
        ),
        (with("ports", json!(ports(10_000))), "/ports", "not 10000"),
        (
            with("tcpPorts", json!("8080")),
            "/tcpPorts",
            "8080 is listed twice",
        ),
        (with("tcpPorts", json!("0")), "/tcpPorts", "Port 0 "),
        (with("name", json!("")), "/name", "needs a name"),
        (with("name", json!("a\0b")), "/name", r"a\0b"),
        (with("name", json!("a\nb")), "/name", r"a\nb"),
        (
            with("name", json!("a\r\nset-cookie: x")),
            "/name",
            "line break",
        ),
        (
            with("env", json!({"NEUROPOD_POD_ID": "x"})),
            "/env/NEUROPOD_POD_ID",
            "reserved",
        ),
        (
            with("env", json!({"NVIDIA_VISIBLE_DEVICES": "all"})),
            "/env/NVIDIA_VISIBLE_DEVICES",
            "reserved",
        ),
        (
            with("env", json!({"JUPYTER_TOKEN": "x"})),
            "/env/JUPYTER_TOKEN",
            "reserved",
        ),
        (with("env", json!({"A=B": "x"})), "/env/A=B", "can't name"),
        (
            with("env", json!({"FOO": "a\0b"})),
            "/env/FOO",
            "value of FOO",
        ),
        (
            with("args", json!(["a\0b"])),
            "/args/0",
            "control character",
        ),
        (
            with("idleStop", json!("59s")),
            "/idleStop",
            "a minute at least",
        ),
        (
            with("stopAfter", json!("0s")),
            "/stopAfter",
            "more than nothing",
        ),
        (
            with("deleteAfter", json!("1000d")),
            "/deleteAfter",
            "366 days",
        ),
    ];
    for (body, pointer, says) in cases {
        let shown = String::from_utf8_lossy(&body)
            .chars()
            .take(300)
            .collect::<String>();
        let answer = server
            .post("/api/pods")
            .bearer(&token)
            .raw_json(body)
            .send()
            .await;
        let message = answer.problem(400, "validation");
        assert!(message.contains(says), "{says}: {answer:?} of {shown}");
        assert_eq!(answer.pointers(), [pointer], "{answer:?} of {shown}");
        assert!(answer.body.len() < 2000, "{answer:?}");
    }
    assert_eq!(server.everything(&token).await, nothing);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    for (body, says) in [
        ("{", "not JSON"),
        ("{'name':'x'}", "not JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("\u{feff}{}", "not JSON"),
        ("{\"name\":\"\u{0}\"}", "not JSON"),
        ("{} {}", "not JSON"),
        ("", "deploymentType"),
        (&format!("{{\"name\":{}", "[".repeat(20_000)), "not JSON"),
    ] {
        let answer = server
            .post("/api/pods")
            .bearer(&token)
            .raw_json(body)
            .send()
            .await;
        let message = answer.problem(400, "validation");
        assert!(message.contains(says), "{body:.100}: {answer:?}");
    }
    let invalid = server
        .post("/api/pods")
        .bearer(&token)
        .raw_json(b"{\"name\":\"\xff\"}");
    invalid.send().await.problem(400, "validation");
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let request = server
            .post("/api/pods")
            .bearer(&token)
            .header("content-type", other);
        request
            .body(a_pod().to_string())
            .send()
            .await
            .problem(415, "validation");
    }
    let unnamed = server
        .post("/api/pods")
        .bearer(&token)
        .body(a_pod().to_string());
    unnamed.send().await.problem(415, "validation");
    assert_eq!(server.everything(&token).await, (0, 0, 0));
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_with_an_answer() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let padded = |size: usize| {
        let mut body = a_pod();
        body["name"] = json!("");
        let left = size - body.to_string().len();
        body["name"] = json!("x".repeat(left));
        body.to_string()
    };
    for size in [100_001, 1_000_000, 10_000_000] {
        let body = padded(size);
        assert_eq!(body.len(), size);
        let answer = server
            .post("/api/pods")
            .bearer(&token)
            .raw_json(body)
            .send()
            .await;
        assert!(answer.problem(413, "payload_too_large").contains("100 kB"));
    }
    let answer = server
        .post("/api/pods")
        .bearer(&token)
        .raw_json(padded(100_000))
        .send()
        .await;
    assert!(
        answer
            .problem(400, "validation")
            .contains("at most 50 characters")
    );
    let asked_first = server
        .post("/api/pods")
        .bearer(&token)
        .header("expect", "100-continue")
        .raw_json(padded(150_000));
    asked_first.send().await.problem(413, "payload_too_large");
    assert_eq!(server.everything(&token).await, (0, 0, 0));
}

#[tokio::test]
async fn what_is_wrong_in_many_places_is_said_at_once() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let body = json!({
        "name": "", "deploymentType": "docker", "dockerImage": "A", "gpu": "x", "containerDiskSize": 0,
        "volumeDiskSize": -1, "ports": "0,0",
    });
    let answer = server
        .post("/api/pods")
        .bearer(&token)
        .json(&body)
        .send()
        .await;
    answer.problem(400, "validation");
    assert_eq!(
        answer.pointers(),
        [
            "/dockerImage",
            "/gpu",
            "/containerDiskSize",
            "/volumeDiskSize",
            "/name",
            "/ports",
            "/ports"
        ]
    );
}

#[tokio::test]
async fn what_the_catalogue_or_the_accounts_refuse() {
    let server = Server::start().await;
    let (ana, root) = (server.token(ANA).await, server.token(ROOT).await);
    server.token(BEN).await;
    let launch = async |token: &str, body: Vec<u8>| {
        server
            .post("/api/pods")
            .bearer(token)
            .raw_json(body)
            .send()
            .await
    };
    let answer = launch(&ana, with("gpu", json!("rtx-4090"))).await;
    assert!(answer.problem(409, "gpu_unavailable").contains("rtx-4090"));
    let of = |id: &str| {
        let mut body = a_pod();
        body["deploymentType"] = json!("template");
        body["template"] = json!(id);
        body.to_string().into_bytes()
    };
    for (id, says) in [
        ("nonsense", "24 hexadecimal"),
        (&*"0".repeat(24), "no template"),
        ("", "names the template"),
    ] {
        let answer = launch(&ana, of(id)).await;
        assert!(
            answer.problem(400, "validation").contains(says),
            "{answer:?}"
        );
        assert_eq!(answer.pointers(), ["/template"]);
    }
    launch(&ana, with("assignToUser", json!(BEN)))
        .await
        .problem(403, "forbidden");
    for nobody in ["nobody@example.com", ROOT, ""] {
        let answer = launch(&root, with("assignToUser", json!(nobody))).await;
        assert!(
            answer.problem(400, "validation").contains("no client"),
            "{answer:?}"
        );
        assert_eq!(answer.pointers(), ["/assignToUser"]);
    }
    assert_eq!(server.everything(&ana).await, (0, 0, 0));
    assert_eq!(
        launch(&root, with("assignToUser", json!(BEN))).await.status,
        201
    );
}

#[tokio::test]
async fn an_image_that_no_registry_has_is_an_error_a_user_can_read() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let answer = server
        .post("/api/pods")
        .bearer(&token)
        .raw_json(with("dockerImage", json!("missing/image")));
    let id = answer.send().await.json()["data"]["podId"]
        .as_str()
        .unwrap()
        .to_owned();
    let row = server.until(&token, &id, "ERROR").await;
    assert_eq!(
        (&row["status"], &row["statusReason"]),
        (&json!("error"), &json!("IMAGE_PULL"))
    );
    assert!(!row["statusMessage"].as_str().unwrap().is_empty(), "{row}");
}

#[tokio::test]
async fn ids_and_queries_that_are_malformed_are_no_fault_of_ours() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    for path in [
        "/api/pods/x",
        "/api/pods/0123456789ABCDEF",
        "/api/pods/0123456789abcdef0",
        "/api/pods/%00",
        "/api/pods/%ff",
        "/api/pods/..%2f..%2fetc",
        "/api/pods/x/logs",
        "/api/pods/x/connections",
        "/api/templates/x",
        "/api/pods?limit=0",
        "/api/pods?limit=201",
        "/api/pods?limit=-1",
        "/api/pods?limit=many",
        "/api/pods?limit=10&limit=20",
        "/api/pods?limit=10&cursor=nonsense",
        "/api/pods?limit=10&cursor=%00",
    ] {
        server
            .get(path)
            .bearer(&token)
            .send()
            .await
            .problem(400, "validation");
    }
    for path in [
        "/api/pods/0000000000000000",
        "/api/templates/000000000000000000000000",
        "/api/pricing/gpus/toString",
    ] {
        let answer = server.get(path).bearer(&token).send().await;
        answer.problem(404, "not_found");
    }
    let email = json!({ "email": "x" });
    let login = server.post("/api/auth/mock-login").json(&email);
    login.send().await.problem(400, "validation");
    let id = server.launch(&token).await;
    for tail in ["0", "5001", "-1", "x", ""] {
        let path = format!("/api/pods/{id}/logs?tail={tail}");
        server
            .get(&path)
            .bearer(&token)
            .send()
            .await
            .problem(400, "validation");
    }
}
