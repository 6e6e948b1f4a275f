//! A server where Ana has a pod, for requests made of the OpenAPI document.

use std::time::Duration;

use neuropod::store::Changes;
use neuropod::time::SystemClock;
use neuropod::user::{Standing, User};
use neuropod::{Auth, Clock, Time};
use serde_json::{Value, json};

use super::{ANA, BEN, Operation, ROOT, Request, Server, a_pod};

/// The server, Ana and what is hers.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) ana: User,
    token: String,
    pod: String,
    template: String,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anonymous,
    /// A token of Ana's whose time is over.
    Expired,
    /// Whoever has signed out.
    Revoked,
    Suspended,
    Ana,
    /// About what is Ana's.
    Ben,
    Admin,
}

impl Who {
    pub(crate) const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Expired,
        Self::Revoked,
        Self::Suspended,
        Self::Ana,
        Self::Ben,
        Self::Admin,
    ];
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = Server::with_everything().await;
        let token = server.token(ANA).await;
        let pod = server.launch(&token).await;
        server.settle().await;
        let template = server.platform.templates().await.unwrap()[0].id.to_string();
        let ana = server.user(&token).await;
        Self {
            server,
            ana,
            token,
            pod,
            template,
        }
    }

    /// Everything that the store holds, to be compared.
    pub(crate) fn holds(&self) -> String {
        format!("{:?}", self.server.platform.store())
    }

    /// A good request for an operation: about Ana, what is hers, and what is everybody's.
    pub(crate) fn request(&self, operation: &Operation) -> Request {
        self.request_with(
            operation,
            operation.needs_body().then(|| self.body(operation)),
        )
    }

    /// The same with another body.
    pub(crate) fn request_with(&self, operation: &Operation, body: Option<Value>) -> Request {
        let Operation {
            id, method, path, ..
        } = operation;
        let mut path = path.clone();
        for name in operation.parameters("path") {
            let value = match name {
                "podId" => &self.pod,
                "templateId" => &self.template,
                "gpuId" => "rtx-4050",
                "userId" => &self.ana.id.to_string(),
                _ => panic!("{id} has a parameter {name}: say in support/scene.rs what is Ana's"),
            };
            path = path.replace(&format!("{{{name}}}"), value);
        }
        if operation.parameters("query").contains(&"userId") {
            path += &format!("?userId={}", self.ana.id);
        }
        let request = self.server.request(method, &path);
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
    }

    /// A good body with every field that can be in it.
    pub(crate) fn body(&self, operation: &Operation) -> Value {
        match &*operation.id {
            "googleLogin" => json!({ "token": "a.b.c" }),
            "mockLogin" => json!({ "email": ANA }),
            "logout" => json!({ "token": null }),
            "launchPod" | "quotePod" => {
                let mut body = a_pod();
                body["tcpPorts"] = json!("22");
                body["env"] = json!({ "A": "b" });
                body["args"] = json!(["c"]);
                body["idleStop"] = json!("1h");
                body["stopAfter"] = json!("2h");
                body["deleteAfter"] = json!("1d");
                body
            }
            "startPod" => json!({ "acceptLoss": false }),
            "stopPod" | "beat" | "resetPricing" | "fixBalances" | "fixAdminBalances"
            | "forcePod" => {
                json!({})
            }
            "suspendUser" | "unsuspendUser" => json!({ "userId": self.ana.id }),
            "setBalance" => json!({ "userId": self.ana.id, "balance": 20 }),
            "broadcast" => json!({ "message": "At noon we restart." }),
            "createTemplate" | "updateTemplate" => json!({
                "name": "New", "dockerImage": "demo",
                "httpPorts": [{ "port": 8080, "serviceName": "Web" }],
                "tcpPorts": [{ "port": 22, "serviceName": "SSH" }],
                "containerDiskSize": 10, "volumeDiskSize": 20,
                "volumePath": "/workspace", "description": "# New",
            }),
            "calculateCost" => {
                json!({ "gpu": "cpu", "containerDiskSize": 10, "volumeDiskSize": 20, "hours": 2 })
            }
            "setBudget" => json!({ "period": "day", "soft": "1", "hard": 2.5 }),
            "credit" => {
                json!({ "id": "1", "userId": self.ana.id, "amount": "2.50", "memo": "A gift" })
            }
            "updatePricing" => json!({
                "gpus": { "rtx-4050": {
                    "name": "RTX 4050", "price": 3, "available": true, "devices": 1,
                    "specs": { "memory": "6GB", "cores": 2560, "performance": "Entry" },
                    "match": { "product": "RTX 4050", "products": ["RTX 4050"], "memoryMiB": 6000 },
                } },
                "storage": {
                    "containerDisk": { "price": "0.05", "unit": "GB", "description": "A disk" },
                    "volumeDisk": { "price": "0.1", "unit": "GB", "description": "A volume" },
                },
                "limits": {
                    "containerDiskMax": 100, "volumeDiskMax": 150, "portsMax": 10, "podsPerUser": 100,
                },
                "freeTier": { "enabled": true, "initialBalance": 10 },
            }),
            id => panic!("{id} has a body: add one that is good to support/scene.rs"),
        }
    }

    /// The request as somebody makes it.
    pub(crate) async fn by(&self, who: Who, request: Request) -> Request {
        let server = &self.server;
        let token = match who {
            Who::Anonymous => return request,
            Who::Expired => server.expired_token(ANA).await,
            Who::Revoked => {
                let token = server.token(BEN).await;
                let out = server.post("/api/auth/logout").bearer(&token).send().await;
                assert_eq!(out.status, 200);
                token
            }
            Who::Suspended => {
                let token = server.token("suspended@example.com").await;
                server.suspend(&token).await;
                token
            }
            Who::Ana => self.token.clone(),
            Who::Ben => server.token(BEN).await,
            Who::Admin => server.token(ROOT).await,
        };
        request.bearer(&token)
    }
}

impl Server {
    /// Whose token it is.
    pub(crate) async fn user(&self, token: &str) -> User {
        let bearer = neuropod::auth::Credential::Bearer(neuropod::pod::Secret::new(token));
        self.sessions.authenticate(&bearer).await.unwrap().user
    }

    /// Suspends whose token it is.
    pub(crate) async fn suspend(&self, token: &str) {
        let suspended = User {
            standing: Standing::Suspended,
            ..self.user(token).await
        };
        let changes = Changes {
            users: vec![suspended],
            ..Changes::default()
        };
        self.platform.store().commit(&changes).await.unwrap();
        self.sessions.changed(changes.users[0].id).await;
    }

    /// A token of a session that began, and ended, long ago.
    async fn expired_token(&self, email: &str) -> String {
        let sessions = self.sessions_at(LongAgo);
        let credential = neuropod::auth::Credential::Development {
            email: email.to_owned(),
        };
        let opened = sessions.sign_in(&credential).await.unwrap();
        opened.token.reveal().to_owned()
    }
}

/// A clock that is a year behind.
#[derive(Debug)]
struct LongAgo;

impl Clock for LongAgo {
    fn now(&self) -> Time {
        SystemClock::new().now() - Duration::from_secs(366 * 24 * 3600)
    }
}
