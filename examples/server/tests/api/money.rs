//! Money over the API: what a new user has, what a launch sets aside, what a repeated request does, and what is told of it.

use serde_json::{Value, json};

use crate::support::{ANA, BEN, ROOT, Server, a_pod};

/// A pod with an `rtx-4050` and the usual disks: five an hour.
fn a_dear_pod() -> Value {
    let mut pod = a_pod();
    pod["gpu"] = "rtx-4050".into();
    pod
}

impl Server {
    async fn user_id(&self, token: &str) -> String {
        let me = self.get("/api/auth/me").bearer(token).send().await;
        me.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    async fn balance(&self, token: &str) -> Value {
        let answer = self.get("/api/billing/balance").bearer(token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"].clone()
    }

    /// Something for a user, by the administrator.
    async fn credit(&self, id: &str, user: &str, amount: &str) -> crate::support::Answer {
        let body = json!({ "id": id, "userId": user, "amount": amount });
        let root = self.token(ROOT).await;
        let request = self.post("/api/billing/credit").bearer(&root);
        request.json(&body).send().await
    }
}

#[tokio::test]
async fn a_new_user_has_the_initial_balance_once_and_a_launch_sets_an_hour_aside() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let again = server.token(ANA).await;
    let fresh = json!({ "posted": "10", "held": "0", "available": "10", "burnPerHour": "0", "runsDryAt": null });
    assert_eq!(server.balance(&ana).await, fresh);
    let launched = server.post("/api/pods").bearer(&again).json(&a_dear_pod());
    assert_eq!(launched.send().await.status, 201);
    let balance = server.balance(&ana).await;
    assert_eq!(
        (&balance["held"], &balance["available"]),
        (&json!("5"), &json!("5"))
    );
    let root = server.token(ROOT).await;
    assert_eq!(server.balance(&root).await["available"], "Infinity");
}

#[tokio::test]
async fn sixty_four_launches_for_the_price_of_three() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let id = server.user_id(&ana).await;
    assert_eq!(server.credit("five more", &id, "5").await.status, 200);
    let launches = (0..64).map(|_| {
        let request = server.post("/api/pods").bearer(&ana).json(&a_dear_pod());
        request.send()
    });
    let answers = futures::future::join_all(launches).await;
    let with = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!((with(201), with(402)), (3, 61), "{answers:?}");
    let refused = answers.iter().find(|a| a.status == 402).unwrap().json();
    assert_eq!(refused["code"], "insufficient_balance");
    assert_eq!(server.balance(&ana).await["available"], "0");
}

#[tokio::test]
async fn a_pod_on_a_balance_for_one_can_be_stopped_and_started() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let id = server.user_id(&ana).await;
    // An hour of it costs all that there is.
    let mut pod = a_dear_pod();
    pod["gpu"] = "cpu".into();
    pod["volumeDiskSize"] = 94.into();
    let launched = server
        .post("/api/pods")
        .bearer(&ana)
        .json(&pod)
        .send()
        .await;
    assert_eq!(launched.status, 201, "{launched:?}");
    let pod = launched.json()["data"]["podId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(server.balance(&ana).await["available"], "0");
    assert_eq!(
        server
            .credit("for what it runs meanwhile", &id, "0.5")
            .await
            .status,
        200
    );
    for _ in 0..3 {
        server.until(&ana, &pod, "RUNNING").await;
        for (verb, phase) in [("stop", "STOPPED"), ("start", "RUNNING")] {
            let path = format!("/api/pods/{pod}/{verb}");
            let answer = server.post(&path).bearer(&ana).send().await;
            assert_eq!(answer.status, 200, "{verb}: {answer:?}");
            server.until(&ana, &pod, phase).await;
        }
    }
}

#[tokio::test]
async fn fifty_requests_with_one_key_are_one_pod_one_hold_and_one_answer() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let ask = |key: &'static str, body: Value| {
        let request = server.post("/api/pods").bearer(&ana);
        request.header("idempotency-key", key).json(&body).send()
    };
    let asks = (0..50).map(|_| ask("first", a_dear_pod()));
    let answers = futures::future::join_all(asks).await;
    let body = answers[0].json();
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.json()),
            (201, body.clone()),
            "{answer:?}"
        );
    }
    let replays = answers
        .iter()
        .filter(|a| a.header("idempotency-replayed") == Some("true"));
    assert_eq!(replays.count(), 49);
    assert_eq!(server.balance(&ana).await["held"], "5");
    let pods = server.get("/api/pods").bearer(&ana).send().await;
    assert_eq!(pods.json()["count"], 1);

    // The same fields in another order are the same; others are not, and are refused before anything happens.
    let other = ask("first", a_pod()).await;
    assert_eq!(
        (other.status, other.json()["code"].clone()),
        (422, json!("idempotency_conflict"))
    );
    // Another's key of the same name is another key, and so is another of one's own.
    assert_eq!(
        ask("second", a_dear_pod()).await.json()["data"]["podName"],
        "My pod"
    );
    let ben = server.token(BEN).await;
    let his = server.post("/api/pods").bearer(&ben);
    let his = his
        .header("idempotency-key", "first")
        .json(&a_pod())
        .send()
        .await;
    assert_eq!(
        (his.status, his.header("idempotency-replayed")),
        (201, None)
    );
    // The first answer stays what it was, whatever has become of the pod.
    let pod = body["data"]["podId"].as_str().unwrap();
    let path = format!("/api/pods/{pod}");
    assert_eq!(
        server
            .request("DELETE", &path)
            .bearer(&ana)
            .send()
            .await
            .status,
        200
    );
    server.settle().await;
    assert_eq!(ask("first", a_dear_pod()).await.json(), body);
    let long = "x".repeat(256);
    for bad in ["", " \u{e4}", long.as_str()] {
        let request = server.post("/api/pods").bearer(&ana);
        let answer = request
            .header("idempotency-key", bad)
            .json(&a_pod())
            .send()
            .await;
        assert_eq!(answer.status, 400, "{bad:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_start_that_is_sent_again_starts_once() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let pod = server.launch(&ana).await;
    server.until(&ana, &pod, "RUNNING").await;
    let stop = server.post(&format!("/api/pods/{pod}/stop")).bearer(&ana);
    assert_eq!(stop.send().await.status, 200);
    server.until(&ana, &pod, "STOPPED").await;
    let start = async || {
        let request = server.post(&format!("/api/pods/{pod}/start")).bearer(&ana);
        request.header("idempotency-key", "go").send().await
    };
    let first = start().await;
    server.until(&ana, &pod, "RUNNING").await;
    let second = start().await;
    assert_eq!((first.status, second.status), (200, 200), "{second:?}");
    assert_eq!(first.json(), second.json());
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let path = format!("/api/pods/{pod}");
    let row = server.get(&path).bearer(&ana).send().await.json();
    assert_eq!(row["data"]["phase"], "RUNNING");
    let request = server
        .post(&format!("/api/pods/{pod}/start"))
        .bearer(&ana)
        .header("idempotency-key", "another");
    assert_eq!(request.send().await.status, 409, "it runs already");
}

#[tokio::test]
async fn a_credit_is_booked_once_for_each_id() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let id = server.user_id(&ana).await;
    let credits = (0..5).map(|_| server.credit("invoice 1", &id, "2.5"));
    for answer in futures::future::join_all(credits).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(server.balance(&ana).await["posted"], "12.5");
    let other = server.credit("invoice 1", &id, "2.6").await;
    assert_eq!(other.status, 422, "{other:?}");
    for bad in ["0", "-1", "0.0000001", "1000000.000001", "ten"] {
        let answer = server.credit("invoice 2", &id, bad).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    let root = server.token(ROOT).await;
    let root = server.user_id(&root).await;
    assert_eq!(server.credit("invoice 3", &root, "1").await.status, 409);
    let nobody = server
        .credit("invoice 3", "000000000000000000000000", "1")
        .await;
    assert_eq!(nobody.status, 404);
    assert_eq!(server.balance(&ana).await["posted"], "12.5");
    let statement = server
        .get("/api/billing/statement?limit=1")
        .bearer(&ana)
        .send()
        .await;
    let statement = statement.json();
    assert_eq!(statement["data"][0]["amount"], "2.5");
    let next = statement["nextCursor"].as_str().unwrap();
    let path = format!("/api/billing/statement?limit=1&cursor={next}");
    let statement = server.get(&path).bearer(&ana).send().await.json();
    assert_eq!(
        (
            &statement["data"][0]["amount"],
            &statement["data"][0]["memo"]
        ),
        (&json!("10"), &json!("Welcome"))
    );
    assert_eq!(statement["nextCursor"], Value::Null);
}

#[tokio::test]
async fn a_quote_says_what_it_costs_how_long_it_lasts_and_why_it_can_not_be_had() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let quote = async |body: Value| {
        let request = server.post("/api/pods/quote").bearer(&ana).json(&body);
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"].clone()
    };
    let cheap = quote(a_pod()).await;
    assert_eq!(cheap["fits"], true, "{cheap}");
    assert_eq!(
        (&cheap["hold"], &cheap["perHourStopped"]),
        (&cheap["perHour"], &json!("2"))
    );
    let parts = cheap["parts"].as_array().unwrap().iter();
    let names: Vec<_> = parts.map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gpu", "containerDisk", "volumeDisk"]);
    // There is no GPU here: it would wait.
    let dear = quote(a_dear_pod()).await;
    assert_eq!(
        (&dear["perHour"], &dear["lastsSeconds"]),
        (&json!("5"), &json!(7_200))
    );
    assert_eq!(
        (&dear["fits"], &dear["why"]["code"]),
        (&json!(false), &json!("no_capacity"))
    );
    let mut huge = a_dear_pod();
    huge["volumeDiskSize"] = 150.into();
    let huge = quote(huge).await;
    assert_eq!(huge["why"]["code"], "insufficient_balance");
    assert_eq!(
        server.balance(&ana).await["held"],
        "0",
        "nothing is set aside"
    );
    let pods = server.get("/api/pods").bearer(&ana).send().await;
    assert_eq!(pods.json()["count"], 0);
    let wrong = server
        .post("/api/pods/quote")
        .bearer(&ana)
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn usage_and_export_tell_open_meters_too() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let pod = server.launch(&ana).await;
    server.until(&ana, &pod, "RUNNING").await;
    let path = format!("/api/pods/{pod}");
    let row = server.get(&path).bearer(&ana).send().await.json()["data"].clone();
    assert!(
        row["runsDryAt"].is_string() && row["keptUntil"].is_null(),
        "{row}"
    );
    for (group, keys) in [("pod", 1), ("gpu", 2), ("day", 1)] {
        let path = format!("/api/billing/usage?group={group}");
        let answer = server.get(&path).bearer(&ana).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let data = answer.json()["data"].clone();
        let groups = data["groups"].as_array().unwrap();
        // A day may end amid the test.
        assert!(groups.len() == keys || group == "day", "{group}: {data}");
    }
    for (format, columns) in [("csv", 9), ("focus", 33)] {
        let path = format!("/api/billing/export?format={format}");
        let answer = server.get(&path).bearer(&ana).send().await;
        assert_eq!(
            answer.header("content-type"),
            Some("text/csv; charset=utf-8")
        );
        let text = answer.body.clone();
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap().split(',').count(), columns, "{text}");
        assert_eq!(lines.clone().count(), 2, "{text}");
        assert!(lines.all(|line| line.contains(&pod)), "{text}");
    }
    for bad in [
        "usage?group=month",
        "usage?from=yesterday",
        "usage?from=2026-11-02&to=2026-11-01",
        "export?format=pdf",
        "balance?userId=x",
        "statement?limit=0",
        "statement?cursor=x",
    ] {
        let answer = server
            .get(&format!("/api/billing/{bad}"))
            .bearer(&ana)
            .send()
            .await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn money_is_for_its_owner_and_administrators() {
    let server = Server::start().await;
    let (ana, ben) = (server.token(ANA).await, server.token(BEN).await);
    let root = server.token(ROOT).await;
    let id = server.user_id(&ana).await;
    for what in ["balance", "statement", "usage", "export"] {
        let path = format!("/api/billing/{what}?userId={id}");
        let ask = async |token: &str| server.get(&path).bearer(token).send().await.status;
        assert_eq!(
            (ask(&ana).await, ask(&ben).await, ask(&root).await),
            (200, 404, 200),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_new_price_is_for_what_starts_after_it_and_every_list_is_kept() {
    let server = Server::start().await;
    let (ana, root) = (server.token(ANA).await, server.token(ROOT).await);
    let pod = server.launch(&ana).await;
    server.until(&ana, &pod, "RUNNING").await;
    let prices = server.get("/api/pricing").bearer(&root).send().await;
    assert_eq!(prices.header("etag"), Some("\"1\""));
    let update = async |tag: &str, body: Value| {
        let request = server.request("PUT", "/api/pricing").bearer(&root);
        request.header("if-match", tag).json(&body).send().await
    };
    let body = json!({
        "gpus": {
            "cpu": { "price": 1.1 },
            "h100": { "price": "30.000001", "match": { "product": "NVIDIA H100 80GB HBM3" } },
        },
        "storage": { "volumeDisk": { "price": 0.2 } },
        "freeTier": { "enabled": false },
    });
    let set = update("\"1\"", body.clone()).await;
    assert_eq!(set.status, 200, "{set:?}");
    let data = set.json()["data"].clone();
    assert_eq!(
        (&data["gpus"]["h100"]["name"], &data["gpus"]["cpu"]["price"]),
        (&json!("H100"), &json!(1.1))
    );
    assert_eq!(
        data["storage"]["containerDisk"]["price"], 0.05,
        "what is not given is left"
    );
    assert_eq!(update("\"1\"", body).await.status, 412);
    for (bad, pointer) in [
        (
            json!({ "gpus": { "cpu": { "price": -1 } } }),
            "/gpus/cpu/price",
        ),
        (
            json!({ "gpus": { "a100": { "available": true } } }),
            "/gpus/a100/price",
        ),
        (
            json!({ "gpus": { "Bad id": { "price": 1 } } }),
            "/gpus/Bad id",
        ),
        (
            json!({ "gpus": { "cpu": { "prize": 1 } } }),
            "/gpus/cpu/prize",
        ),
        (
            json!({ "storage": { "volumeDisk": 1 } }),
            "/storage/volumeDisk",
        ),
        (json!({ "limits": { "portsMax": 0 } }), "/limits/portsMax"),
        (
            json!({ "freeTier": { "initialBalance": 0.0000001 } }),
            "/freeTier/initialBalance",
        ),
    ] {
        let answer = update("*", bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        let fields = answer.json()["fields"].clone();
        let named = fields
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["pointer"] == pointer);
        assert!(named, "{bad}: {fields}");
    }
    // What runs keeps its price; its next start has the new one.
    let path = format!("/api/pods/{pod}");
    let price =
        async || server.get(&path).bearer(&ana).send().await.json()["data"]["pricePerHour"].clone();
    assert_eq!(price().await, 2.6);
    for (verb, phase) in [("stop", "STOPPED"), ("start", "RUNNING")] {
        let answer = server
            .post(&format!("{path}/{verb}"))
            .bearer(&ana)
            .send()
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        server.until(&ana, &pod, phase).await;
    }
    assert_eq!(price().await, 5.6);
    let nobody = server.token(BEN).await;
    assert_eq!(
        server.balance(&nobody).await["posted"],
        "0",
        "the free tier is off"
    );
    let cost = json!({ "gpu": "cpu", "containerDiskSize": 10, "volumeDiskSize": 20, "hours": 3 });
    let cost = server
        .post("/api/pricing/calculate-cost")
        .bearer(&ana)
        .json(&cost)
        .send()
        .await;
    let cost = cost.json()["data"].clone();
    assert_eq!(
        (&cost["total"], &cost["gpu"]["cost"]),
        (&json!(16.8), &json!(3.3))
    );

    assert_eq!(
        server
            .post("/api/pricing/reset")
            .bearer(&root)
            .send()
            .await
            .status,
        200
    );
    let history = server.get("/api/pricing/history").bearer(&ana).send().await;
    let history = history.json();
    let versions = history["data"].as_array().unwrap().iter();
    let versions: Vec<_> = versions
        .map(|list| list["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(history["data"][1]["prices"]["gpus"]["cpu"]["price"], "1.1");
}

#[tokio::test]
async fn a_budget_is_set_looked_at_and_taken_away() {
    let server = Server::start().await;
    let ana = server.token(ANA).await;
    let id = server.user_id(&ana).await;
    let put = async |token: &str, query: &str, body: Value| {
        let path = format!("/api/billing/budget{query}");
        let request = server.request("PUT", &path).bearer(token).json(&body);
        request.send().await
    };
    let set = put(
        &ana,
        "",
        json!({ "period": "day", "soft": 2, "hard": "4.5" }),
    )
    .await;
    let shown = set.json()["data"].clone();
    assert_eq!(
        (set.status, &shown["soft"], &shown["hard"], &shown["spent"]),
        (200, &json!("2"), &json!("4.5"), &json!("0"))
    );
    for bad in [
        json!({}),
        json!({ "period": "day" }),
        json!({ "period": "week", "hard": 1 }),
        json!({ "period": "day", "soft": 2, "hard": 1 }),
        json!({ "period": "day", "hard": -1 }),
    ] {
        let answer = put(&ana, "", bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    let none = json!({ "period": "month", "hard": 0 });
    let root = server.token(ROOT).await;
    let ben = server.token(BEN).await;
    let query = format!("?userId={id}");
    assert_eq!(put(&ben, &query, none.clone()).await.status, 404);
    assert_eq!(put(&root, &query, none).await.status, 200);
    let launch = server
        .post("/api/pods")
        .bearer(&ana)
        .json(&a_pod())
        .send()
        .await;
    assert_eq!(
        (launch.status, launch.json()["code"].clone()),
        (429, json!("quota_exceeded"))
    );
    let path = "/api/billing/budget";
    let delete = async |token: &str, path: &str| {
        server
            .request("DELETE", path)
            .bearer(token)
            .send()
            .await
            .status
    };
    assert_eq!(delete(&ana, path).await, 403);
    assert_eq!(delete(&root, &format!("{path}{query}")).await, 200);
    assert_eq!(
        server.get(path).bearer(&ana).send().await.json()["data"],
        Value::Null
    );
    server.launch(&ana).await;
}
