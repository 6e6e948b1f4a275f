//! Calls of the API server, each with a deadline.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::jiff::fmt::rfc2822;
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Error as Kube, Resource};
use neuropod_core::id::{PodId, RunId};
use neuropod_core::time::Time;
use neuropod_core::{Error, Result};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{is_another, status, unreachable};
use crate::expose::Reached;
use crate::labels;
use crate::time::{ClusterTime, wall};
use crate::watch::Freshness;

/// Objects that one page of a list has.
const PAGE: u32 = 500;

/// The cluster, and what was found out about it.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) config: Arc<Config>,
    pub(crate) time: ClusterTime,
    /// How pods are reached, which stays the same as long as they have their service.
    pub(crate) reached: Arc<Mutex<HashMap<PodId, Reached>>>,
    pub(crate) freshness: Freshness,
    /// The runs that this process has tried to start, and that are not removed yet.
    pub(crate) tried: Arc<Mutex<HashSet<RunId>>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    pub(crate) async fn connect(config: Config) -> Result<Self> {
        let bad = |message: String| Error::unreachable(message).during("kubernetes connect");
        let mut settings = match &config.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file);
                let read = read.map_err(|e| bad(format!("{}: {e}", file.display())))?;
                kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .map_err(|e| bad(format!("{}: {e}", file.display())))?
            }
            None => kube::Config::infer().await.map_err(|e| {
                bad(
                    "No cluster was found: set KUBECONFIG, or run in a pod with a service account."
                        .to_owned(),
                )
                .caused_by(e)
            })?,
        };
        settings.connect_timeout = Some(config.deadline);
        let client =
            Client::try_from(settings).map_err(|e| unreachable("kubernetes connect", e))?;
        Ok(Self {
            client,
            config: Arc::new(config),
            time: ClusterTime::default(),
            reached: Arc::default(),
            freshness: Freshness::default(),
            tried: Arc::default(),
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.config.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        self.api()
    }
    pub(crate) fn claims(&self) -> Api<PersistentVolumeClaim> {
        self.api()
    }
    pub(crate) fn services(&self) -> Api<Service> {
        self.api()
    }
    pub(crate) fn ingresses(&self) -> Api<Ingress> {
        self.api()
    }
    pub(crate) fn policies(&self) -> Api<NetworkPolicy> {
        self.api()
    }

    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::time::timeout(self.config.deadline, call)
            .await
            .map_err(|_| Error::unreachable("The cluster took too long.").during(operation))
    }

    /// What must succeed.
    pub(crate) async fn done<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Kube>>,
    ) -> Result<T> {
        let answer = self.call(operation, call).await?;
        answer.map_err(|e| unreachable(operation, e))
    }

    /// What is absent is `None`.
    pub(crate) async fn found<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Kube>>,
    ) -> Result<Option<T>> {
        match self.call(operation, call).await? {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(unreachable(operation, e)),
        }
    }

    /// The cluster's time of day.
    pub(crate) async fn now(&self) -> Result<Time> {
        match self.time.now() {
            Some(now) => Ok(now),
            None => self.ping().await,
        }
    }

    /// Asks the API server whether it is there, and what time it is.
    pub(crate) async fn ping(&self) -> Result<Time> {
        const OPERATION: &str = "kubernetes version";
        let before = wall();
        let request = http::Request::get("/version").body(kube::client::Body::empty());
        let request =
            request.map_err(|e| Error::internal("A request could not be made.").caused_by(e))?;
        let answer = self.done(OPERATION, self.client.send(request)).await?;
        if !answer.status().is_success() {
            let said = Error::unreachable("The API server does not tell its version.");
            return Err(said.during(OPERATION).with("status", answer.status()));
        }
        let date = answer
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| rfc2822::parse(&date.replace("GMT", "+0000")).ok());
        let told = date.and_then(|date| crate::time::told(date.timestamp()));
        let told = told
            .ok_or_else(|| Error::unreachable("The API server tells no time.").during(OPERATION))?;
        self.time.compare(before, told, wall());
        Ok(self.time.now().unwrap_or(told))
    }

    /// Every object of this installation, or of one pod of it.
    pub(crate) async fn all<K>(
        &self,
        operation: &'static str,
        api: Api<K>,
        pod: Option<PodId>,
    ) -> Result<Vec<K>>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let selector = labels::selector(&self.config, pod);
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.done(operation, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(all),
            }
        }
    }

    /// The Pod of exactly that run.
    pub(crate) async fn of_run(&self, run: RunId) -> Result<Option<Pod>> {
        let api = self.pods();
        let names = labels::names(run);
        let (first, second) = tokio::try_join!(
            self.found("kubernetes get pod", api.get(&names[0])),
            self.found("kubernetes get pod", api.get(&names[1])),
        )?;
        let mut both = [first, second].into_iter().flatten();
        Ok(both.find(|pod| self.is_run(pod, run)))
    }

    pub(crate) fn is_run(&self, pod: &Pod, run: RunId) -> bool {
        labels::ours(&self.config, &pod.metadata)
            && labels::run_of(&pod.metadata).is_some_and(|(of, _)| of == run)
    }

    /// Changes that very object. `None` if it is another one by now, or gone.
    pub(crate) async fn change(
        &self,
        operation: &'static str,
        pod: &Pod,
        mut patch: serde_json::Value,
    ) -> Result<Option<Pod>> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        patch["metadata"]["uid"] = pod.metadata.uid.clone().into();
        let (api, params) = (self.pods(), PatchParams::default());
        let patch = Patch::Merge(patch);
        match self
            .call(operation, api.patch(name, &params, &patch))
            .await?
        {
            Ok(changed) => Ok(Some(changed)),
            Err(e) if matches!(status(&e), Some(404 | 409)) || is_another(&e) => Ok(None),
            Err(e) => Err(unreachable(operation, e)),
        }
    }
}
