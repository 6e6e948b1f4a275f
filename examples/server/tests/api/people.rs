//! Users, templates and the activity log, as administrators manage them, in the fields that the original's pages read.

use serde_json::{Value, json};

use crate::shapes::{has, is};
use crate::support::{ANA, Answer, BEN, ROOT, Server};

async fn send(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = server.request(method, path).bearer(token);
    let request = match body {
        Value::Null => request,
        body => request.json(&body),
    };
    request.send().await
}

async fn id_of(server: &Server, token: &str) -> String {
    let me = send(server, token, "GET", "/api/auth/me", Value::Null).await;
    me.json()["data"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_are_listed_found_and_counted() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    server.token(BEN).await;
    server.launch(&ana).await;
    let list = async |query: &str| {
        let path = format!("/api/auth/users{query}");
        send(&server, &root, "GET", &path, Value::Null).await.json()
    };
    let all = list("").await;
    is(&all, "success:b count:n data:a");
    assert_eq!(all["count"], 3);
    let row = list("?search=ANA%40").await["data"][0].clone();
    is(
        &row,
        "id:s email:s name:s registrationDate:s balance:n status:s role:s activePods:n totalPods:n suspended:b",
    );
    assert_eq!(
        [
            &row["email"],
            &row["status"],
            &row["activePods"],
            &row["totalPods"]
        ],
        [&json!(ANA), &json!("online"), &json!(1), &json!(1)]
    );
    let admin = list("?search=root").await["data"][0].clone();
    assert_eq!(
        [&admin["balance"], &admin["role"]],
        [&json!("Infinity"), &json!("admin")]
    );
    // What was a pattern there is a text here.
    for nobody in ["?search=(", "?search=.*", "?search=%25", "?search=_na"] {
        assert_eq!(list(nobody).await["count"], 0, "{nobody}");
    }
    let page = list("?limit=2").await;
    is(&page, "success:b count:n data:a nextCursor:s");
    let rest = list(&format!(
        "?limit=2&cursor={}",
        page["nextCursor"].as_str().unwrap()
    ))
    .await;
    assert_eq!(
        (&rest["count"], &rest["nextCursor"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn a_balance_is_set_once_for_a_key_and_told_to_its_user() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let user = id_of(&server, &ana).await;
    let set = async |balance: Value, key: &str| {
        let body = json!({ "userId": user, "balance": balance });
        let request = server.post("/api/auth/users/balance").bearer(&root);
        request
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await
    };
    let first = set(json!(42.5), "one").await;
    is(&first.json()["data"], "id:s name:s email:s balance:n");
    assert_eq!(first.json()["data"]["balance"], 42.5);
    set(json!("3.000001"), "two").await;
    let again = set(json!(42.5), "one").await;
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let balance = send(&server, &ana, "GET", "/api/billing/balance", Value::Null).await;
    assert_eq!(balance.json()["data"]["available"], "3.000001");
    let other = set(json!(1), "one").await;
    assert_eq!(
        (other.status, other.code()),
        (422, "idempotency_conflict".into())
    );
    for wrong in [
        json!(-1),
        json!(1_000_001),
        json!("0.0000001"),
        json!("much"),
        Value::Null,
    ] {
        let refused = set(wrong.clone(), "three").await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert_eq!(
            refused.json()["fields"][0]["pointer"],
            "/balance",
            "{wrong}"
        );
    }
    let admin = json!({ "userId": id_of(&server, &root).await, "balance": 1 });
    let refused = send(&server, &root, "POST", "/api/auth/users/balance", admin).await;
    assert_eq!(refused.json()["fields"][0]["pointer"], "/userId");
    let nobody = json!({ "userId": "0".repeat(24), "balance": 1 });
    let refused = send(&server, &root, "POST", "/api/auth/users/balance", nobody).await;
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn who_is_suspended_is_told_so_until_it_is_lifted() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let whom = json!({ "userId": id_of(&server, &ana).await });
    let pod = server.launch(&ana).await;
    server.settle().await;
    let suspended = send(
        &server,
        &root,
        "POST",
        "/api/auth/users/suspend",
        whom.clone(),
    )
    .await;
    is(&suspended.json(), "success:b message:s data:o");
    let data = &suspended.json()["data"];
    is(data, "userId:s userEmail:s podsStopped:n stoppedPods:a");
    assert_eq!(
        (&data["podsStopped"], &data["stoppedPods"]),
        (&json!(1), &json!([pod]))
    );
    let login = json!({ "email": ANA });
    for (method, path, body) in [
        ("GET", "/api/pods".to_owned(), Value::Null),
        ("POST", format!("/api/pods/{pod}/start"), Value::Null),
        ("POST", "/api/auth/mock-login".to_owned(), login.clone()),
    ] {
        let refused = send(&server, &ana, method, &path, body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "account_suspended".into()),
            "{path}"
        );
    }
    let start = send(
        &server,
        &root,
        "POST",
        &format!("/api/pods/{pod}/start"),
        Value::Null,
    )
    .await;
    assert_eq!(start.code(), "account_suspended");
    let lifted = send(&server, &root, "POST", "/api/auth/users/unsuspend", whom).await;
    is(&lifted.json()["data"], "userId:s userEmail:s");
    assert_eq!(
        send(&server, &ana, "GET", "/api/pods", Value::Null)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_deleted_user_is_out_at_once_and_may_come_again_as_somebody_new() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let user = id_of(&server, &ana).await;
    let pod = server.launch(&ana).await;
    let path = format!("/api/auth/users/{user}");
    let deleted = send(&server, &root, "DELETE", &path, Value::Null).await;
    is(&deleted.json(), "success:b message:s data:o");
    let data = &deleted.json()["data"];
    is(
        data,
        "userId:s userEmail:s podsDeleted:n sessionsDeleted:n activePods:n",
    );
    assert_eq!(
        [&data["podsDeleted"], &data["sessionsDeleted"]],
        [&json!(1), &json!(1)]
    );
    assert_eq!(
        send(&server, &ana, "GET", "/api/pods", Value::Null)
            .await
            .status,
        401
    );
    assert_eq!(
        send(&server, &root, "DELETE", &path, Value::Null)
            .await
            .status,
        404
    );
    server
        .work_until(async || {
            let look = send(
                &server,
                &root,
                "GET",
                &format!("/api/pods/{pod}"),
                Value::Null,
            )
            .await;
            let user = server.platform.store().user(user.parse().unwrap()).await;
            (look.status == 404 && user.unwrap().is_none()).then_some(())
        })
        .await;
    let again = server.token(ANA).await;
    assert_ne!(id_of(&server, &again).await, user);
    // What he did is still there.
    let log = format!("/api/admin/activity?userId={user}&action=CREATE_POD");
    let log = send(&server, &root, "GET", &log, Value::Null).await.json();
    assert_eq!(log["data"][0]["details"]["podId"], pod.as_str());
}

#[tokio::test]
async fn accounts_are_repaired_at_both_addresses() {
    let server = Server::start().await;
    let root = server.token(ROOT).await;
    for path in [
        "/api/auth/users/fix-balances",
        "/api/auth/admin/fix-balances",
    ] {
        let fixed = send(&server, &root, "POST", path, Value::Null).await.json();
        is(&fixed, "success:b message:s data:o");
        assert_eq!(
            fixed["data"],
            json!({ "usersUpdated": 0, "updatedUsers": [] })
        );
    }
    let account = neuropod::id::AccountId::of(id_of(&server, &root).await.parse().unwrap());
    let changes = neuropod::store::Changes {
        accounts: vec![neuropod::store::AccountChange {
            id: account,
            unlimited: false,
        }],
        ..neuropod::store::Changes::default()
    };
    server.platform.store().commit(&changes).await.unwrap();
    let path = "/api/auth/admin/fix-balances";
    let fixed = send(&server, &root, "POST", path, Value::Null).await.json();
    let user = &fixed["data"]["updatedUsers"][0];
    is(user, "id:s email:s previousBalance:n newBalance:s");
    assert_eq!(user["newBalance"], "Infinity");
}

#[tokio::test]
async fn templates_are_made_changed_and_deleted_by_whom_they_belong_to() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let form = json!({
        "name": "Blender",
        "dockerImage": "demo",
        "httpPorts": [{ "port": 8080, "serviceName": "Web" }, { "port": 0, "serviceName": "" }],
        "containerDiskSize": 0,
        "volumePath": "/data",
    });
    let refused = send(&server, &ana, "POST", "/api/templates", form.clone()).await;
    assert_eq!(refused.status, 403);
    let made = send(&server, &root, "POST", "/api/templates", form.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let template = made.json()["template"].clone();
    has(
        &template,
        "_id:s id:s __v:n name:s dockerImage:s httpPorts:a tcpPorts:a containerDiskSize:n volumeDiskSize:n \
         volumePath:s description:s createdBy:o createdAt:s updatedAt:s",
    );
    assert_eq!(
        [
            &template["containerDiskSize"],
            &template["volumeDiskSize"],
            &template["volumePath"]
        ],
        [&json!(10), &json!(20), &json!("/data")]
    );
    assert_eq!(
        template["httpPorts"],
        json!([{ "port": 8080, "serviceName": "Web" }])
    );
    let taken = send(&server, &root, "POST", "/api/templates", form.clone()).await;
    assert_eq!(
        (taken.status, &taken.json()["fields"][0]["pointer"]),
        (400, &json!("/name"))
    );

    let path = format!("/api/templates/{}", template["id"].as_str().unwrap());
    let seen = send(&server, &ana, "GET", &path, Value::Null).await;
    let tag = seen.header("etag").unwrap().to_owned();
    let rename = json!({ "name": "Blender 4" });
    let put = async |token: &str, tag: &str| {
        let request = server.request("PUT", &path).bearer(token);
        request.header("if-match", tag).json(&rename).send().await
    };
    assert_eq!(put(&ana, &tag).await.status, 403);
    assert_eq!(put(&root, "\"7\"").await.status, 412);
    let changed = put(&root, &tag).await;
    assert_eq!(changed.json()["template"]["name"], "Blender 4");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert_eq!(put(&root, &tag).await.status, 412);

    // What it names is honoured by a launch.
    let launch = json!({
        "name": "One",
        "deploymentType": "template",
        "template": template["id"],
        "gpu": "cpu",
        "ports": "8080",
        "enableJupyter": false,
    });
    let launched = send(&server, &ana, "POST", "/api/pods", launch)
        .await
        .json();
    let pod = launched["data"]["podId"].as_str().unwrap().parse().unwrap();
    let pod = server.platform.store().pod(pod).await.unwrap().unwrap();
    assert_eq!(
        (pod.spec.volume_path.as_str(), pod.spec.container_disk_gb),
        ("/data", 10)
    );

    let summary = send(&server, &ana, "GET", "/api/templates/summary", Value::Null)
        .await
        .json();
    is(&summary, "total:n recent:a byUser:a");
    assert_eq!(summary["total"], 4);
    is(
        &summary["recent"][0],
        "_id:s id:s name:s dockerImage:s createdAt:s createdBy:o",
    );
    is(&summary["byUser"][0], "userId:s userName:s templateCount:n");
    assert_eq!(
        send(&server, &ana, "DELETE", &path, Value::Null)
            .await
            .status,
        403
    );
    let deleted = send(&server, &root, "DELETE", &path, Value::Null).await;
    assert_eq!(deleted.status, 200);
    assert_eq!(
        send(&server, &root, "GET", &path, Value::Null).await.status,
        404
    );
}

#[tokio::test]
async fn the_log_tells_who_did_what() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let pod = server.launch(&ana).await;
    send(
        &server,
        &ana,
        "POST",
        &format!("/api/pods/{pod}/stop"),
        Value::Null,
    )
    .await;
    for (path, body) in [
        (
            "/api/admin/broadcast",
            json!({ "message": "At noon we restart." }),
        ),
        ("/api/pricing/reset", Value::Null),
    ] {
        assert_eq!(send(&server, &root, "POST", path, body).await.status, 200);
    }
    for path in ["/api/pods", "/api/pricing"] {
        send(&server, &ana, "GET", path, Value::Null).await;
    }
    let log = async |query: &str| {
        let path = format!("/api/admin/activity{query}");
        send(&server, &root, "GET", &path, Value::Null).await.json()
    };
    let all = log("").await;
    is(&all, "success:b count:n data:a nextCursor:?");
    is(&all["data"][0], "userId:s action:s details:o createdAt:s");
    let done: Vec<&str> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let ours = [
        "GET_PRICING",
        "GET_PODS",
        "RESET_PRICING",
        "BROADCAST",
        "STOP_POD",
        "CREATE_POD",
        "LOGIN",
        "SIGNUP",
    ];
    for action in ours {
        assert!(done.contains(&action), "{action} in {done:?}");
    }
    let hers = id_of(&server, &ana).await;
    let found = log(&format!("?userId={hers}&action=STOP_POD")).await;
    assert_eq!(
        (&found["count"], &found["data"][0]["details"]["podId"]),
        (&json!(1), &json!(pod))
    );
    assert_eq!(log("?to=2000-01-01").await["count"], 0);
    let path = "/api/admin/activity?action=EVERYTHING";
    assert_eq!(
        send(&server, &root, "GET", path, Value::Null).await.status,
        400
    );
    let path = "/api/admin/activity";
    assert_eq!(
        send(&server, &ana, "GET", path, Value::Null).await.status,
        403
    );
}

#[tokio::test]
async fn only_a_run_that_is_open_is_given_up() {
    let server = Server::start().await;
    let (root, ana) = (server.token(ROOT).await, server.token(ANA).await);
    let pod = server.launch(&ana).await;
    server.until(&ana, &pod, "RUNNING").await;
    let path = format!("/api/admin/pods/{pod}/force");
    assert_eq!(
        send(&server, &ana, "POST", &path, Value::Null).await.status,
        403
    );
    let forced = send(&server, &root, "POST", &path, Value::Null)
        .await
        .json();
    is(&forced, "success:b message:s data:o");
    assert_eq!(
        (&forced["data"]["status"], &forced["data"]["phase"]),
        (&json!("error"), &json!("ERROR"))
    );
    let again = send(&server, &root, "POST", &path, Value::Null).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "invalid_transition".into())
    );
}
