//! Devices and host ports: who gets which, and who waits. The queue's worker alone opens pods that wait, so there is
//! one owner of the order, and nobody overtakes.

use std::time::Duration;

use crate::claimed::Claimed;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{DeviceId, GpuId};
use crate::life;
use crate::orchestrator::Capacity;
use crate::platform::Core;
use crate::pod::{Pod, PortLease, PortSpec};
use crate::pricing::GpuEntry;
use crate::reconcile::{commit, write};
use crate::rule::{Rule, broken};
use crate::store::{
    Changes, Condition, Lease, LeaseChange, PodFilter, PodQuery, StoreExt, Wake, WorkKey,
};
use crate::time::Time;

/// How the leases of devices begin.
pub(crate) const DEVICES: &str = "device/";
/// A host port that somebody else had is not tried again for so long.
const SET_ASIDE: Duration = Duration::from_secs(600);
/// So many times other ports are picked when one is leased already.
const PORT_TRIES: usize = 32;

/// A queue in which somebody waits is served again so soon: a device may have come, or come back, which nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(180);

/// The lease of a device.
pub(crate) fn resource(device: &DeviceId) -> String {
    format!("{DEVICES}{device}")
}

/// The lease of a host port.
pub(crate) fn port_resource(port: u16) -> String {
    format!("port/{port}")
}

/// The leases of a pod's host ports, set aside because somebody else has one of them.
pub(crate) fn set_aside(pod: &Pod, now: Time) -> impl Iterator<Item = LeaseChange> + '_ {
    let until = Some(now + SET_ASIDE);
    pod.ports.iter().map(move |p| LeaseChange::SetAside {
        resource: port_resource(p.host),
        pod: pod.id,
        until,
    })
}

/// The devices that stand for `entry`, work, and are nobody's at `now`.
pub(crate) fn free_devices(
    entry: &GpuEntry,
    capacity: &Capacity,
    leases: &[Lease],
    now: Time,
) -> Vec<DeviceId> {
    let kept = leases.iter().filter(|lease| !lease.is_free(now));
    let leased = |id: &DeviceId| kept.clone().any(|lease| lease.resource == resource(id));
    let fits = capacity
        .devices
        .iter()
        .filter(|d| d.healthy && entry.matches.fits(&d.product, d.memory_mib));
    fits.map(|d| d.id.clone())
        .filter(|id| !leased(id))
        .collect()
}

/// Opens the next run of a pod that does not wait: with free devices, and only if nobody waits for them. Otherwise
/// it waits from now on. Answers the row if it was opened.
pub(crate) async fn open_own(core: &Core, pod: Pod, work: &Claimed) -> Result<Option<Pod>> {
    let now = core.clock.now();
    let product = pod.spec.gpu.clone();
    let mut changes = Changes::default();
    let devices = match free_for(core, &product, pod.spec.devices).await? {
        Some(free) if free.len() < pod.spec.devices as usize => {
            return wait(core, pod, now, work).await.map(|_| None);
        }
        Some(mut free) => {
            free.truncate(pod.spec.devices as usize);
            changes.conditions.push(Condition::NobodyQueued {
                product,
                except: pod.id,
            });
            free
        }
        None => Vec::new(),
    };
    match open(core, &pod, devices, changes, Some(work)).await {
        Err(e) if is_condition(&e, |c| matches!(c, Condition::NobodyQueued { .. })) => {
            wait(core, pod, now, work).await.map(|_| None)
        }
        other => other.map(Some),
    }
}

/// Serves the queue of `product`: opens every pod that fits, the longest wait first. Answers whether somebody still waits.
pub(crate) async fn serve(core: &Core, product: &GpuId) -> Result<bool> {
    let mut waits = false;
    let mut query = PodQuery {
        filter: PodFilter::QueuedFor(product.clone()),
        after: None,
        limit: 100,
    };
    loop {
        let page = core.store.pods(&query).await?;
        for pod in page.items {
            let Some(mut free) = free_for(core, product, pod.spec.devices).await? else {
                continue;
            };
            let needed = pod.spec.devices as usize;
            if free.is_empty() {
                return Ok(true);
            }
            waits |= free.len() < needed;
            if free.len() >= needed {
                free.truncate(needed);
                let changes = Changes {
                    wakes: vec![wake(&pod, core.clock.now())],
                    ..Changes::default()
                };
                open(core, &pod, free, changes, None).await?;
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(waits),
        }
    }
}

/// Serves the queue of `work`, and finishes it.
pub(crate) async fn pass(core: &Core, product: &GpuId, work: &Claimed) -> Result<()> {
    let next = match serve(core, product).await {
        Ok(waits) => waits.then(|| core.clock.now() + LOOK_AGAIN),
        // Somebody changed one of the pods, or the backend did not answer: again, soon.
        Err(e) if *e.kind() == ErrorKind::Conflict => Some(core.clock.now()),
        Err(_) => Some(core.clock.now() + Duration::from_secs(3)),
    };
    crate::reconcile::finish(core, work, next).await
}

/// The free devices for a pod of that product; `None` if it needs none from us.
pub(crate) async fn free_for(
    core: &Core,
    product: &GpuId,
    needed: u32,
) -> Result<Option<Vec<DeviceId>>> {
    if needed == 0 {
        return Ok(None);
    }
    let capacity = core.capacity().await?;
    if capacity.places_itself {
        return Ok(None);
    }
    let (_, prices) = core.prices().await?;
    let leases = core.store.leases(DEVICES).await?;
    // An entry that was taken out of the catalogue has no devices: its pods wait, and say so.
    Ok(Some(
        prices
            .gpus
            .get(product)
            .map(|entry| free_devices(entry, &capacity, &leases, core.clock.now()))
            .unwrap_or_default(),
    ))
}

async fn wait(core: &Core, pod: Pod, now: Time, work: &Claimed) -> Result<Pod> {
    let mut after = pod.clone();
    let mut changes = Changes::default();
    life::queue(&mut after, now);
    if !broken(Rule::QueueingWakesQueue) {
        changes.wakes.push(Wake {
            key: WorkKey::Queue(pod.spec.gpu.clone()),
            at: now,
        });
    }
    write(core, work, &pod, after, changes).await
}

/// Writes down the next run, with its devices and the pod's host ports, before anything is made. `own` is the work of the
/// pod's own pass, if it is one.
async fn open(
    core: &Core,
    pod: &Pod,
    devices: Vec<DeviceId>,
    changes: Changes,
    own: Option<&Claimed>,
) -> Result<Pod> {
    for _ in 0..PORT_TRIES {
        match try_open(core, pod, &devices, &changes, own).await {
            Err(e) if is_taken(&e, "port/") => {}
            Err(e) if is_taken(&e, DEVICES) => {
                return Err(Error::conflict("Somebody else took the device first.").caused_by(e));
            }
            other => return other,
        }
    }
    Err(Error::new(
        ErrorKind::NoCapacity,
        "No host port is free for this pod.",
    ))
}

async fn try_open(
    core: &Core,
    pod: &Pod,
    devices: &[DeviceId],
    changes: &Changes,
    own: Option<&Claimed>,
) -> Result<Pod> {
    let now = core.clock.now();
    let needs_ports = pod.ports.is_empty()
        && !pod.spec.ports.is_empty()
        && core.capacity().await?.needs_host_ports;
    let ports = if needs_ports {
        pick_ports(core, pod)
    } else {
        pod.ports.clone()
    };
    let mut after = pod.clone();
    life::open(&mut after, now, devices.to_vec(), ports, &core.entropy);
    let mut changes = changes.clone();
    changes.touch.extend(core.lockable(&pod.terms.payer));
    let take = |resource| LeaseChange::Take {
        resource,
        pod: pod.id,
        at: now,
    };
    changes
        .leases
        .extend(after.devices.iter().map(|d| take(resource(d))));
    changes
        .leases
        .extend(after.ports.iter().map(|p| take(port_resource(p.host))));
    #[cfg(feature = "testing")]
    if broken(Rule::RunBeforeContainer) {
        core.create_unfenced(
            &core
                .workload(&after, after.run.as_ref().expect("just opened"))
                .await?,
        )
        .await?;
    }
    match own {
        Some(work) => write(core, work, pod, after, changes).await,
        None => commit(core, pod, after, changes).await,
    }
}

fn is_condition(error: &Error, what: impl Fn(&Condition) -> bool) -> bool {
    matches!(error.kind(), ErrorKind::Condition(c) if what(c))
}

/// Whether somebody else has a resource of that kind.
fn is_taken(error: &Error, kind: &str) -> bool {
    is_condition(
        error,
        |c| matches!(c, Condition::LeaseFree { resource } if resource.starts_with(kind)),
    )
}

/// A host port for each that is published, from a random one on: if one of them is taken, others come up next time.
fn pick_ports(core: &Core, pod: &Pod) -> Vec<PortLease> {
    let (first, last) = core.settings.port_range;
    let span = u64::from(last - first) + 1;
    let start = u64::from(u32::from_le_bytes(core.entropy.bytes()));
    let lease = |(at, spec): (u64, &PortSpec)| PortLease {
        container: spec.container,
        host: first + (at % span) as u16,
    };
    (start..).zip(&pod.spec.ports).map(lease).collect()
}

fn wake(pod: &Pod, at: Time) -> Wake {
    Wake {
        key: WorkKey::Pod(pod.id),
        at,
    }
}

/// How many wait before this pod for its product, plus one; `None` if it does not wait.
pub(crate) async fn position(core: &Core, pod: &Pod) -> Result<Option<u32>> {
    if pod.queued_at.is_none() {
        return Ok(None);
    }
    let queue = PodFilter::QueuedFor(pod.spec.gpu.clone());
    let queue = core.store.all_pods(queue).await?;
    let at = queue.iter().position(|other| other.id == pod.id);
    Ok(at.and_then(|before| u32::try_from(before + 1).ok()))
}

#[cfg(all(test, feature = "testing"))]
mod tests;
