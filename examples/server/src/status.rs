//! `/api/status`: what state the server's parts are in, for administrators.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use neuropod::Store;
use neuropod::store::{PodFilter, PodQuery};
use serde_json::{Value, json};

use crate::App;
use crate::answer;
use crate::caller::Admin;
use crate::pods::BACKEND_PATIENCE;
use crate::problem::Result;
use crate::view;

/// `GET /api/status`: the original's fields, and `orchestrator` with what the backend has and can't enforce.
pub(crate) async fn status(State(app): State<App>, _: Admin) -> Result<Response> {
    let backend = tokio::time::timeout(BACKEND_PATIENCE, app.platform.capacity());
    let (pods, backend) = tokio::join!(pods(&**app.platform.store()), backend);
    let pods = pods?;
    let connected = |is| if is { "connected" } else { "disconnected" };
    let backend = backend.ok().and_then(Result::ok);
    let mut orchestrator = json!({ "status": connected(backend.is_some()), "simulated": null, "devices": null, "caveats": [] });
    if let Some(capacity) = backend {
        orchestrator["simulated"] = capacity.simulated.into();
        orchestrator["devices"] = capacity.devices.len().into();
        orchestrator["caveats"] = capacity.caveats.into();
    }
    Ok(answer::data(json!({
        "system": {
            "status": "online",
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": app.started.elapsed().as_secs_f64(),
            "environment": if app.development { "development" } else { "production" },
        },
        // It has just told of the pods.
        "database": { "status": connected(true), "name": &*app.database },
        "pods": pods,
        // No cluster is used so far.
        "kubernetes": { "status": connected(false), "namespace": "" },
        "orchestrator": orchestrator,
    })))
}

/// How many pods are in which of the original's states.
async fn pods(store: &dyn Store) -> neuropod::Result<Value> {
    let mut query = PodQuery {
        filter: PodFilter::Alive,
        after: None,
        limit: 1000,
    };
    let mut counts =
        BTreeMap::from(["running", "stopped", "creating", "error"].map(|state| (state, 0)));
    loop {
        let page = store.pods(&query).await?;
        for pod in &page.items {
            *counts.entry(view::status(pod.phase())).or_default() += 1;
        }
        query.after = page.next;
        if query.after.is_none() {
            let total = counts.values().sum();
            counts.insert("total", total);
            return Ok(json!(counts));
        }
    }
}
