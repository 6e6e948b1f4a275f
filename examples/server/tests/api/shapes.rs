//! The answers have the fields that existing frontends read, with their types.

use neuropod::store::EventQuery;
use serde_json::{Value, json};

use crate::support::{ANA, BEN, ROOT, Server, a_pod};

/// The names and kinds of an object's fields: `s` text, `n` number, `b` truth value, `a` list, `o` object, `?` null.
fn shape(value: &Value) -> Vec<String> {
    let kind = |value: &Value| match value {
        Value::Null => '?',
        Value::Bool(_) => 'b',
        Value::Number(_) => 'n',
        Value::String(_) => 's',
        Value::Array(_) => 'a',
        Value::Object(_) => 'o',
    };
    let fields = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    fields
        .iter()
        .map(|(name, value)| format!("{name}:{}", kind(value)))
        .collect()
}

/// Checks that `value` has at least these fields of these kinds.
pub(crate) fn has(value: &Value, fields: &str) {
    let shape = shape(value);
    for field in fields.split_whitespace() {
        assert!(shape.iter().any(|s| s == field), "no {field} in {shape:?}");
    }
}

/// Checks that `value` has exactly these fields of these kinds.
pub(crate) fn is(value: &Value, fields: &str) {
    let mut wanted: Vec<&str> = fields.split_whitespace().collect();
    wanted.sort_unstable();
    let mut shape = shape(value);
    shape.sort_unstable();
    assert_eq!(shape, wanted);
}

const POD_ROW: &str = "podId:s podName:s status:s gpu:s containerDiskSize:n volumeDiskSize:n createdAt:s lastActive:s \
     stats:o httpServices:a tcpServices:a dockerImage:s deploymentType:s enableJupyter:b phase:s desired:s \
     pricePerHour:n pricePerHourStopped:n accruedCost:n";
const STATS: &str = "cpuUsage:n memoryUsage:n gpuUsage:n uptime:n lastUpdated:s";
const SERVICE: &str = "port:n serviceName:s url:s isCustom:b status:s";
const USER: &str =
    "id:s name:s email:s role:s plan:s registrationDate:s activePods:n totalPods:n status:s";

#[tokio::test]
async fn a_pod_that_is_stopped_when_idle_says_when() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let mut pod = a_pod();
    pod["idleStop"] = "30m".into();
    let launched = server.post("/api/pods").bearer(&token).json(&pod).send();
    let id = launched.await.json()["data"]["podId"].clone();
    server.settle().await;
    let path = format!("/api/pods/{}", id.as_str().unwrap());
    let row = server.get(&path).bearer(&token).send().await.json()["data"].clone();
    is(&row["lastActivity"], "signal:s at:s");
    assert_eq!(row["lastActivity"]["signal"], "start");
    has(&row, "idleStopAt:s");
    let beat = server.post(&format!("{path}/heartbeat")).bearer(&token);
    let beat = beat.json(&json!({})).send().await.json();
    is(&beat, "success:b data:o");
    is(&beat["data"], "lastActivity:o idleStopAt:s");
}

#[tokio::test]
async fn a_pod_from_launch_to_its_end() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let launched = server
        .post("/api/pods")
        .bearer(&token)
        .json(&a_pod())
        .send()
        .await;
    assert_eq!(launched.status, 201);
    let launched = launched.json();
    assert_eq!(launched["success"], true);
    has(&launched["data"], "podId:s podName:s status:s message:s");
    assert_eq!(launched["data"]["status"], "creating");
    let id = launched["data"]["podId"].as_str().unwrap();
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    let path = format!("/api/pods/{id}");
    let get = async |path: &str| server.get(path).bearer(&token).send().await;

    server.settle().await;
    let list = get("/api/pods").await.json();
    is(&list, "success:b count:n data:a");
    assert_eq!(list["count"], 1);
    let row = &list["data"][0];
    has(row, POD_ROW);
    has(&row["stats"], STATS);
    assert!(row.get("userEmail").is_none(), "for administrators only");
    assert_eq!(row["podName"], "My pod");
    assert_eq!(
        (&row["gpu"], &row["dockerImage"]),
        (&json!("cpu"), &json!("demo"))
    );
    assert_eq!(
        (&row["deploymentType"], &row["templateId"]),
        (&json!("docker"), &Value::Null)
    );
    assert_eq!(
        (&row["pricePerHour"], &row["pricePerHourStopped"]),
        (&json!(2.6), &json!(2.0))
    );

    let one = get(&path).await.json();
    is(&one, "success:b data:o pod:o details:o");
    has(&one["data"], POD_ROW);
    assert_eq!(one["pod"], one["data"]);
    has(
        &one["details"],
        "url:s subdomain:s createdAt:s lastActive:s cost:n totalCost:n",
    );

    let connections = get(&format!("{path}/connections")).await.json();
    is(&connections, "success:b data:o");
    let data = &connections["data"];
    has(
        data,
        "podId:s podName:s status:s httpServices:a tcpServices:a",
    );
    is(&data["httpServices"][0], SERVICE);
    assert_eq!(data["httpServices"][0]["port"], 8080);
    assert_eq!(data["httpServices"][0]["serviceName"], "Servicio 1");
    assert_eq!(data["httpServices"][0]["isCustom"], true);
    assert_eq!(data["httpServices"][0]["status"], "ready");
    let url = data["httpServices"][0]["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://localhost:2"), "{url}");

    let logs = get(&format!("{path}/logs")).await.json();
    is(&logs["data"], "logs:s");
    assert_eq!(logs["data"]["logs"], "hello\n");

    let verb = async |verb: &str| {
        server
            .post(&format!("{path}/{verb}"))
            .bearer(&token)
            .send()
            .await
    };
    let stopped = verb("stop").await.json();
    is(&stopped, "success:b message:s data:o");
    assert_eq!(
        (&stopped["data"]["podId"], &stopped["data"]["status"]),
        (&json!(id), &json!("stopped"))
    );
    let row = server.until(&token, id, "STOPPED").await;
    assert_eq!(
        (&row["status"], &row["phase"], &row["statusReason"]),
        (&json!("stopped"), &json!("STOPPED"), &json!("USER"))
    );
    assert_eq!(row["httpServices"][0]["status"], "stopped");
    assert_eq!(
        row["httpServices"][0]["url"],
        json!(url),
        "the same over stop and start"
    );
    verb("stop").await.problem(409, "invalid_transition");

    let started = verb("start").await.json();
    assert_eq!(
        (&started["data"]["podId"], &started["data"]["status"]),
        (&json!(id), &json!("creating"))
    );
    let row = server.until(&token, id, "RUNNING").await;
    assert_eq!(row["status"], "running", "{row}");
    assert_eq!(row["httpServices"][0]["url"], json!(url));
    verb("start").await.problem(409, "invalid_transition");

    let deleted = server
        .request("DELETE", &path)
        .bearer(&token)
        .send()
        .await
        .json();
    is(&deleted, "success:b message:s");
    assert_eq!(
        get("/api/pods").await.json()["count"],
        0,
        "out of every list at once"
    );
    assert_eq!(get(&path).await.json()["data"]["phase"], "DELETING");
    verb("start").await.problem(409, "invalid_transition");
    let gone = async || (get(&path).await.status == 404).then_some(());
    server.work_until(gone).await;
    assert!(server.engine.inventory().volumes.is_empty());
}

#[tokio::test]
async fn services_carry_their_names_and_the_jupyter_token_once() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let mut body = a_pod();
    body["ports"] = json!("8888,3000");
    body["tcpPorts"] = json!("22");
    body["enableJupyter"] = json!(true);
    let launched = server
        .post("/api/pods")
        .bearer(&token)
        .json(&body)
        .send()
        .await
        .json();
    let id = launched["data"]["podId"].as_str().unwrap();
    server.settle().await;
    let path = format!("/api/pods/{id}/connections");
    let data = server.get(&path).bearer(&token).send().await.json()["data"].clone();
    let http = data["httpServices"].as_array().unwrap();
    let named: Vec<_> = http
        .iter()
        .map(|s| (s["port"].clone(), s["serviceName"].clone()))
        .collect();
    assert_eq!(
        named,
        [
            (json!(8888), json!("Jupyter Lab")),
            (json!(3000), json!("Servicio 2"))
        ]
    );
    let url = http[0]["url"].as_str().unwrap();
    assert_eq!(url.matches("?token=").count(), 1, "{url}");
    let secret = url.split("?token=").nth(1).unwrap();
    assert_eq!(secret.len(), 48, "{url}");
    assert!(!http[1]["url"].as_str().unwrap().contains("token"));
    let tcp = &data["tcpServices"][0];
    is(tcp, SERVICE);
    assert!(
        tcp["url"].as_str().unwrap().starts_with("tcp://localhost:"),
        "{tcp}"
    );
    // Events are everybody's who may see them for as long as they are kept: none has it.
    let stop = format!("/api/pods/{id}/stop");
    server
        .post(&stop)
        .bearer(&token)
        .json(&json!({}))
        .send()
        .await;
    server.settle().await;
    let all = EventQuery {
        after: None,
        limit: 1000,
    };
    let told = server.platform.store().events(&all).await.unwrap().events;
    let told = serde_json::to_string(&told).unwrap();
    assert!(told.contains(id) && !told.contains(secret), "{told}");
    assert_eq!(tcp["status"], "ready");
}

#[tokio::test]
async fn lists_are_whole_or_paged() {
    let server = Server::with(&["--dev", "--billing", "unmetered"]).await;
    let token = server.token(ANA).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, server.launch(&token).await);
    }
    let of = |list: &Value| -> Vec<String> {
        let rows = list["data"].as_array().unwrap();
        rows.iter()
            .map(|row| row["podId"].as_str().unwrap().to_owned())
            .collect()
    };
    let get = async |path: &str| server.get(path).bearer(&token).send().await.json();
    assert_eq!(of(&get("/api/pods").await), ids);
    let mut seen = Vec::new();
    let mut path = "/api/pods?limit=2".to_owned();
    for _ in 0..3 {
        let page = get(&path).await;
        assert!(page["count"].as_u64().unwrap() <= 2);
        seen.extend(of(&page));
        match page["nextCursor"].as_str() {
            Some(next) => path = format!("/api/pods?limit=2&cursor={next}"),
            None => assert!(page["nextCursor"].is_null()),
        }
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn administrators_look_at_others_by_address() {
    let server = Server::start().await;
    let (ana, root) = (
        server.token("a+na@example.com").await,
        server.token(ROOT).await,
    );
    let id = server.launch(&ana).await;
    for path in [
        "/api/pods?userEmail=a+na@example.com",
        "/api/pods/admin?userEmail=a%2Bna@example.com",
    ] {
        let list = server.get(path).bearer(&root).send().await.json();
        assert_eq!(list["data"][0]["podId"], json!(id));
        assert_eq!(list["data"][0]["userEmail"], "a+na@example.com");
    }
    let own = server.get("/api/pods").bearer(&root).send().await.json();
    assert_eq!(
        own["count"], 0,
        "without an address an administrator sees his own"
    );
    let nobody = server
        .get("/api/pods?userEmail=x@example.com")
        .bearer(&root)
        .send()
        .await;
    nobody.problem(404, "not_found");
    let ignored = server
        .get(&format!("/api/pods?userEmail={ROOT}"))
        .bearer(&ana)
        .send()
        .await;
    assert_eq!(
        ignored.json()["data"][0]["podId"],
        json!(id),
        "a client's is ignored"
    );
}

#[tokio::test]
async fn users_are_shown_as_the_frontend_keeps_them() {
    let server = Server::start().await;
    let login = async |email: &str| {
        server
            .post("/api/auth/mock-login")
            .json(&json!({ "email": email }))
            .send()
            .await
            .json()
    };
    for (email, role) in [(ROOT, "admin"), (ANA, "client")] {
        let signed_in = login(email).await;
        is(&signed_in, "success:b token:s user:o");
        let user = &signed_in["user"];
        has(user, USER);
        assert_eq!(
            (&user["email"], &user["role"]),
            (&json!(email), &json!(role))
        );
        let balance = match role {
            "admin" => json!("Infinity"),
            _ => json!(10.0),
        };
        assert_eq!(user["balance"], balance);
        assert!(user.get("avatar").is_none());
        let date: Vec<&str> = user["registrationDate"]
            .as_str()
            .unwrap()
            .split('/')
            .collect();
        assert!(date.len() == 3 && date[2].len() == 4, "{date:?}");
        let token = signed_in["token"].as_str().unwrap();
        let verified = server
            .get("/api/auth/verify")
            .bearer(token)
            .send()
            .await
            .json();
        is(&verified, "success:b user:o");
        assert_eq!(&verified["user"], user);
        let me = server.get("/api/auth/me").bearer(token).send().await.json();
        has(&me["data"], USER);
        has(&me["data"], "createdAt:s");

        let out = server
            .post("/api/auth/logout")
            .bearer(token)
            .json(&json!({ "token": token }));
        is(&out.send().await.json(), "success:b message:s");
        server
            .get("/api/auth/verify")
            .bearer(token)
            .send()
            .await
            .problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_in_the_body_ends_that_session_of_ones_own() {
    let server = Server::start().await;
    let (one, two, ben) = (
        server.token(ANA).await,
        server.token(ANA).await,
        server.token(BEN).await,
    );
    let out = async |token: &str| {
        let request = server
            .post("/api/auth/logout")
            .bearer(&one)
            .json(&json!({ "token": token }));
        request.send().await
    };
    out(&ben).await.problem(403, "forbidden");
    assert_eq!(out(&two).await.status, 200);
    assert_eq!(out(&two).await.status, 200, "has ended already");
    assert_eq!(
        server
            .get("/api/auth/verify")
            .bearer(&one)
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .get("/api/auth/verify")
            .bearer(&ben)
            .send()
            .await
            .status,
        200
    );
    server
        .get("/api/auth/verify")
        .bearer(&two)
        .send()
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn prices_and_templates() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let public = server.get("/api/pricing/public").send().await.json()["data"].clone();
    let view = server
        .get("/api/pricing")
        .bearer(&token)
        .send()
        .await
        .json()["data"]
        .clone();
    for view in [&public, &view] {
        has(view, "gpus:o storage:o limits:o freeTier:o");
        has(
            &view["gpus"]["rtx-4050"],
            "name:s price:n available:b specs:o",
        );
        has(
            &view["gpus"]["rtx-4050"]["specs"],
            "memory:s cores:n performance:s",
        );
        is(
            &view["storage"]["containerDisk"],
            "price:n unit:s description:s",
        );
        is(
            &view["storage"]["volumeDisk"],
            "price:n unit:s description:s",
        );
        has(&view["limits"], "containerDiskMax:n volumeDiskMax:n");
        is(&view["freeTier"], "enabled:b initialBalance:n");
    }
    assert!(public["limits"].get("portsMax").is_none());
    assert_eq!(view["limits"]["portsMax"], 10);
    assert_eq!(view["gpus"]["rtx-4050"]["price"], 2.5);
    assert_eq!(view["gpus"]["cpu"]["available"], true);

    let templates = server
        .get("/api/templates")
        .bearer(&token)
        .send()
        .await
        .json();
    let names: Vec<_> = templates
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3);
    for template in templates.as_array().unwrap() {
        has(
            template,
            "_id:s id:s __v:n name:s dockerImage:s httpPorts:a tcpPorts:a containerDiskSize:n \
             volumeDiskSize:n volumePath:s description:s createdAt:s updatedAt:s",
        );
        assert_eq!(template["_id"], template["id"]);
        is(&template["httpPorts"][0], "port:n serviceName:s");
        is(&template["tcpPorts"][0], "port:n serviceName:s");
        let id = template["id"].as_str().unwrap();
        let one = server
            .get(&format!("/api/templates/{id}"))
            .bearer(&token)
            .send()
            .await
            .json();
        assert_eq!(&one, template);
        let mut body = a_pod();
        body["deploymentType"] = json!("template");
        body["template"] = json!(id);
        body["ports"] = json!("8888");
        let launched = server
            .post("/api/pods")
            .bearer(&token)
            .json(&body)
            .send()
            .await;
        assert_eq!(launched.status, 201, "{launched:?}");
    }
}

#[tokio::test]
async fn health() {
    let server = Server::start().await;
    is(
        &server.get("/api/health").send().await.json(),
        "status:s message:s timestamp:s environment:s",
    );
    is(
        &server.get("/api/status/public").send().await.json(),
        "status:s message:s timestamp:s",
    );
    assert_eq!(server.get("/healthz").send().await.json()["status"], "ok");
    assert_eq!(server.get("/readyz").send().await.status, 200);
}

#[tokio::test]
async fn status() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let launch = server.post("/api/pods").bearer(&ana).json(&a_pod());
    assert_eq!(launch.send().await.status, 201);
    let root = server.token(ROOT).await;
    let status = server.get("/api/status").bearer(&root).send().await.json();
    is(&status, "success:b data:o");
    let data = &status["data"];
    is(
        data,
        "system:o database:o pods:o kubernetes:o orchestrator:o",
    );
    is(&data["system"], "status:s version:s uptime:n environment:s");
    is(&data["database"], "status:s name:s");
    is(&data["kubernetes"], "status:s namespace:s");
    is(
        &data["pods"],
        "total:n running:n stopped:n creating:n error:n",
    );
    assert_eq!(data["pods"]["total"], 1);
    is(
        &data["orchestrator"],
        "status:s simulated:b devices:n caveats:a",
    );
    let caveat = &data["orchestrator"]["caveats"][0];
    assert_eq!(caveat, "Nothing really runs: this backend simulates.");
}
