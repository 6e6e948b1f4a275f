//! A network for each tenant, a bridge of its own: what is in another one can't be reached from it. It is made for the
//! tenant's first container, once that is there, and goes with the last of what the tenant has.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use neuropod_core::id::{PodId, Tenant};
use neuropod_core::orchestrator::Workload;
use neuropod_core::{Error, ErrorKind, Result, RetryCause};
use ring::digest::{Context, SHA256};

use crate::convert::{self, INSTANCE, POD};
use crate::engine::{Engine, Which};
use crate::error::{status, unreachable};
use crate::pool::Subnet;

/// So often others may be first with what we want before that is an error.
const TRIES: usize = 20;

const BRIDGE: &str = "com.docker.network.bridge.name";

/// What is known of the engine's networks: from the last look, and what was made since.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ours: HashSet<String>,
    /// What others' and their bridges are called.
    foreign: HashSet<String>,
    /// The addresses that everybody's have.
    taken: Vec<Subnet>,
}

/// A network of this installation.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) name: String,
    id: String,
    /// For which pod it was made.
    pub(crate) pod: PodId,
}

impl Networks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while held")
    }

    fn has_ours(&self, name: &str) -> bool {
        self.state().ours.contains(name)
    }

    fn has_foreign(&self, name: &str) -> bool {
        self.state().foreign.contains(name)
    }

    fn forget(&self, name: &str) {
        self.state().ours.remove(name);
    }
}

/// The tenant's network is gone.
pub(crate) fn forget(engine: &Engine, tenant: &Tenant) {
    let name = name(&engine.config.installation, tenant);
    engine.networks.forget(&name);
}

/// What a tenant's network is called, its bridge too: as long as the name of an interface may be. The installation is
/// in it, since what one takes for a tenant is nobody to another.
pub(crate) fn name(installation: &str, tenant: &Tenant) -> String {
    let mut hash = Context::new(&SHA256);
    for part in [installation, tenant.as_str()] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finish();
    let digits = hash.as_ref()[..6].iter().map(|byte| format!("{byte:02x}"));
    format!("np-{}", digits.collect::<String>())
}

/// Where the addresses of a network are looked for first, so that two that are made at once seldom meet.
fn start(name: &str) -> u32 {
    let digits = name.get(name.len().saturating_sub(8)..);
    u32::from_str_radix(digits.unwrap_or_default(), 16).unwrap_or(0)
}

/// Makes the tenant's network, unless it is known to be there.
pub(crate) async fn join(engine: &Engine, w: &Workload) -> Result<()> {
    let name = name(&engine.config.installation, &w.tenant);
    let mut refused = Vec::new();
    for _ in 0..TRIES {
        if engine.networks.has_ours(&name) {
            return Ok(());
        }
        if engine.networks.has_foreign(&name) {
            look(engine).await?;
            if engine.networks.has_foreign(&name) {
                return Err(name_taken(&name));
            }
        }
        let mut free = reserve(engine, &name, &refused);
        if free.is_none() {
            look(engine).await?;
            free = reserve(engine, &name, &refused);
        }
        let Some(subnet) = free else { break };
        let request = request(engine, w.run.pod, &name, subnet);
        let call = engine.docker.create_network(request);
        match engine.call("docker network create", call).await? {
            Ok(_) => {
                // Before anything runs in it.
                if !engine.guard.is_placed() {
                    engine.guard.place(&name).await;
                }
                engine.networks.state().ours.insert(name);
                return Ok(());
            }
            // The name, the bridge or the addresses are somebody's: another process of ours, or others.
            Err(e) if matches!(status(&e), Some(403 | 409)) => {
                refused.push(subnet);
                look(engine).await?;
            }
            Err(e) => return Err(unreachable("docker network create", e)),
        }
    }
    Err(used_up(engine))
}

/// Looks at all networks, and sees to it that their guard is there: others may have taken it away.
pub(crate) async fn look_after(engine: &Engine) -> Result<Vec<Ours>> {
    let ours = look(engine).await?;
    if let Some(network) = ours.first() {
        engine.guard.place(&network.name).await;
    }
    Ok(ours)
}

/// Addresses that nobody has, as far as is known; they count as taken from now on.
fn reserve(engine: &Engine, name: &str, refused: &[Subnet]) -> Option<Subnet> {
    let mut state = engine.networks.state();
    let taken: Vec<_> = state.taken.iter().chain(refused).copied().collect();
    let free = engine.config.network_pool.free(start(name), &taken)?;
    state.taken.push(free);
    Some(free)
}

fn request(engine: &Engine, pod: PodId, name: &str, subnet: Subnet) -> NetworkCreateRequest {
    let addresses = IpamConfig {
        subnet: Some(subnet.to_string()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam {
            config: Some(vec![addresses]),
            ..Ipam::default()
        }),
        options: Some([(BRIDGE.to_owned(), name.to_owned())].into()),
        labels: Some(convert::pod_labels(&engine.config, pod)),
        ..NetworkCreateRequest::default()
    }
}

fn used_up(engine: &Engine) -> Error {
    let pool = engine.config.network_pool;
    let message = format!(
        "No network can be had for the pod's owner: all addresses of the pool {pool} are in use. NEUROPOD_NETWORK_POOL \
         gives another one."
    );
    Error::new(ErrorKind::Retry(RetryCause::NoNetwork), message).during("docker network create")
}

fn name_taken(name: &str) -> Error {
    let message = format!("The name {name} of the owner's network is taken by somebody else's.");
    Error::new(ErrorKind::Retry(RetryCause::NameTaken), message).during("docker network create")
}

/// Looks at all networks of the engine and notes what is there. Answers ours.
pub(crate) async fn look(engine: &Engine) -> Result<Vec<Ours>> {
    let all = engine.docker.list_networks(None::<ListNetworksOptions>);
    let all = engine.done("docker network ls", all).await?;
    let (mut ours, mut seen) = (Vec::new(), State::default());
    for network in all {
        seen.taken.extend(subnets(&network));
        if let Some(network) = as_ours(engine, &network) {
            seen.ours.insert(network.name.clone());
            ours.push(network);
        } else {
            seen.foreign.extend(network.name);
            let bridge = network.options.and_then(|mut o| o.remove(BRIDGE));
            seen.foreign.extend(bridge);
        }
    }
    *engine.networks.state() = seen;
    Ok(ours)
}

fn as_ours(engine: &Engine, network: &Network) -> Option<Ours> {
    let labels = network.labels.as_ref()?;
    let ours = labels.get(INSTANCE)? == &engine.config.installation;
    let network = Ours {
        name: network.name.clone()?,
        id: network.id.clone()?,
        pod: labels.get(POD)?.parse().ok()?,
    };
    ours.then_some(network)
}

fn subnets(network: &Network) -> Vec<Subnet> {
    let ipam = network.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let subnets = ipam.into_iter().flatten().filter_map(|c| c.subnet.as_ref());
    subnets.filter_map(|text| Subnet::parse(text)).collect()
}

/// Removes the networks that a purged pod was in, by its labels, or was the first in, as far as nothing else is left
/// of their tenants.
pub(crate) async fn leave(engine: &Engine, pod: PodId, was_in: &HashSet<String>) -> Result<()> {
    for network in look(engine).await? {
        let concerned = network.pod == pod || was_in.contains(&network.name);
        if concerned && !in_use(engine, &network.name).await? {
            remove(engine, &network).await?;
        }
    }
    Ok(())
}

async fn in_use(engine: &Engine, name: &str) -> Result<bool> {
    let which = Which::InNetwork(name);
    Ok(!engine.listed(which).await?.is_empty() || !engine.volumes(which).await?.is_empty())
}

async fn remove(engine: &Engine, network: &Ours) -> Result<()> {
    let call = engine.docker.remove_network(&network.id);
    match engine.call("docker network rm", call).await? {
        Ok(()) => {}
        Err(e) if status(&e) == Some(404) => {}
        // Another pod of the tenant has just started in it.
        Err(e) if status(&e) == Some(403) => return Ok(()),
        Err(e) => return Err(unreachable("docker network rm", e)),
    }
    engine.networks.forget(&network.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_an_interface_and_of_one_tenant_of_one_installation() {
        let of = |installation, tenant| name(installation, &Tenant::from(tenant));
        let names = [
            of("a", "b"),
            of("a", "c"),
            of("b", "b"),
            of("ab", ""),
            of("", "ab"),
        ];
        let different: HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(
            names
                .iter()
                .all(|name| name.len() == 15 && name.starts_with("np-"))
        );
        assert_eq!(of("a", "b"), names[0]);
        assert_ne!(start(&names[0]), start(&names[1]));
    }
}
