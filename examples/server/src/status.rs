//! `/api/status`: what state the server's parts are in, for administrators.

use axum::Json;
use axum::extract::State;
use neuropod::Store;
use neuropod::store::{PodFilter, PodQuery};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::answer::{self, Data};
use crate::caller::Admin;
use crate::pods::BACKEND_PATIENCE;
use crate::problem::Result;
use crate::view::{self, Status};

/// The state of the server's parts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServerStatus)]
pub(crate) struct Parts {
    database: Database,
    kubernetes: Kubernetes,
    orchestrator: Orchestrator,
    pods: Pods,
    system: System,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Connected {
    Connected,
    Disconnected,
}

#[derive(Debug, Serialize, ToSchema)]
struct Database {
    /// The scheme of its address.
    name: String,
    status: Connected,
}

#[derive(Debug, Serialize, ToSchema)]
struct Kubernetes {
    namespace: String,
    status: Connected,
}

/// What runs the containers.
#[derive(Debug, Serialize, ToSchema)]
struct Orchestrator {
    /// What it can't enforce.
    caveats: Vec<String>,
    devices: Option<usize>,
    simulated: Option<bool>,
    status: Connected,
}

/// How many pods are in which of the original's states.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Pods {
    creating: u64,
    error: u64,
    running: u64,
    stopped: u64,
    total: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct System {
    /// `development` or `production`
    environment: &'static str,
    /// `online`
    status: &'static str,
    /// In seconds.
    uptime: f64,
    version: &'static str,
}

/// The state of the server's parts, for administrators
#[utoipa::path(
    get, path = "/api/status", operation_id = "status", responses((status = 200, body = Data<Parts>)),
)]
pub(crate) async fn status(State(app): State<App>, _: Admin) -> Result<Json<Data<Parts>>> {
    let backend = tokio::time::timeout(BACKEND_PATIENCE, app.platform.capacity());
    let (pods, backend) = tokio::join!(pods(&**app.platform.store()), backend);
    let backend = backend.ok().and_then(Result::ok);
    Ok(answer::data(Parts {
        // It has just told of the pods.
        pods: pods?,
        database: Database {
            name: app.database.to_string(),
            status: Connected::Connected,
        },
        kubernetes: Kubernetes {
            namespace: app.namespace.as_deref().unwrap_or_default().to_owned(),
            status: match (&app.namespace, &backend) {
                (Some(_), Some(_)) => Connected::Connected,
                _ => Connected::Disconnected,
            },
        },
        orchestrator: Orchestrator {
            status: match backend {
                Some(_) => Connected::Connected,
                None => Connected::Disconnected,
            },
            simulated: backend.as_ref().map(|capacity| capacity.simulated),
            devices: backend.as_ref().map(|capacity| capacity.devices.len()),
            caveats: backend.map(|capacity| capacity.caveats).unwrap_or_default(),
        },
        system: System {
            environment: app.environment(),
            status: "online",
            uptime: app.started.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION"),
        },
    }))
}

async fn pods(store: &dyn Store) -> neuropod::Result<Pods> {
    let mut query = PodQuery {
        filter: PodFilter::Alive,
        after: None,
        limit: 1000,
    };
    let mut pods = Pods::default();
    loop {
        let page = store.pods(&query).await?;
        for pod in &page.items {
            pods.total += 1;
            *match view::status(pod.phase()) {
                Status::Creating => &mut pods.creating,
                Status::Running => &mut pods.running,
                Status::Stopped => &mut pods.stopped,
                Status::Error => &mut pods.error,
            } += 1;
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(pods);
        }
    }
}
