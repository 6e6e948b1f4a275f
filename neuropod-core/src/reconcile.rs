//! One pass over one pod: read the row, look at the backend, decide, do, and again until there is nothing to do now.
//! A step goes on with the row that the last one has written: who changes it in between is found by its version.
//! A thin shell around [`decide`]; everything here may be cut off or repeated at any point.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{debug, warn};

use crate::claimed::Claimed;
use crate::decide::{self, End, Looked, Started, Step, decide};
use crate::error::{Error, ErrorKind, Result, RetryCause};
use crate::event::{EventKind, NewEvent};
use crate::id::{AccountId, PodId, RunId};
use crate::life;
use crate::orchestrator::{Ensured, Seen, State};
use crate::platform::Core;
use crate::pod::{Desired, Phase, Pod, Reason};
use crate::queue;
use crate::rule::{Rule, broken};
use crate::store::{Changes, Condition, LeaseChange, Wake, WorkKey};
use crate::time::Time;
use crate::{accounts, idle, log, settling, sweep, wish};

/// A pass takes so many steps at most before it lets others have a turn.
const STEPS: usize = 32;
/// How long to wait before asking again a backend that did not answer.
const UNREACHABLE_AGAIN: Duration = Duration::from_secs(3);
/// How often to look at a container that is being ended, or an image that is being pulled (hints come sooner), and at a
/// pod whose row others change all the time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a step of a pass leads to.
enum Next {
    /// Another step, now, with this row if it is known.
    Again(Option<Box<Pod>>),
    /// The pass is over; look again then.
    Done(Option<Time>),
    /// The pass is over, and its work was finished by the step's own commit.
    Finished,
}

/// What the pass itself has done about the container of the open run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    /// Nothing.
    Unknown,
    /// The run was opened by the last step, as the first of its pod: nothing can be there yet.
    NotYet,
    /// It was brought about.
    Present,
}

/// One pass over the pod of `work`.
pub(crate) async fn pass(core: &Core, id: PodId, work: &Claimed) -> Result<()> {
    let mut container = Container::Unknown;
    let mut row = None;
    for _ in 0..STEPS {
        match step(core, id, row.take(), work, &mut container).await {
            Ok(Next::Again(written)) => row = written,
            Ok(Next::Done(next)) => return finish(core, work, next).await,
            Ok(Next::Finished) => return Ok(()),
            // Somebody else changed the row: what they wrote is read at the next step.
            Err(e) if *e.kind() == ErrorKind::Conflict => work.resume(),
            // What the payer's empty balance leads to comes first.
            Err(e) if accounts::wake_refused(core, &e).await? => {
                return finish(core, work, Some(core.clock.now() + LOOK_AGAIN)).await;
            }
            Err(e) => {
                warn!(pod = %id, error = %e, "pass cut short");
                return finish(core, work, Some(core.clock.now() + UNREACHABLE_AGAIN)).await;
            }
        }
    }
    finish(core, work, Some(core.clock.now() + LOOK_AGAIN)).await
}

/// Finishes `work`; a lease that somebody else has by now is theirs to finish. They may have finished it before this pass
/// wrote its last row, so it is woken once more.
pub(crate) async fn finish(core: &Core, work: &Claimed, next: Option<Time>) -> Result<()> {
    let now = core.clock.now();
    let changes = Changes {
        finish: Some(work.finish(next, now)),
        ..Changes::default()
    };
    match core.commit(changes).await {
        Err(e) if *e.kind() == ErrorKind::Conflict => {
            let wake = Wake {
                key: work.key().clone(),
                at: now + LOOK_AGAIN,
            };
            core.commit(Changes {
                wakes: vec![wake],
                ..Changes::default()
            })
            .await
        }
        other => other,
    }
}

/// One step. `row` is what the step before has written.
async fn step(
    core: &Core,
    id: PodId,
    row: Option<Box<Pod>>,
    work: &Claimed,
    container: &mut Container,
) -> Result<Next> {
    let row = match row {
        Some(row) => Some(*row),
        None => core.store.pod(id).await?,
    };
    let Some(pod) = row else {
        return Ok(Next::Done(None));
    };
    if pod.is_tombstone() {
        core.orchestrator.purge(id).await?;
        return Ok(Next::Done(None));
    }
    let mut expired = pod.clone();
    if wish::expire(&mut expired, core.clock.now()) {
        let mut changes = Changes::default();
        settling::close_volume(core, &expired, &mut changes).await?;
        return again(write(core, work, &pod, expired, changes).await?);
    }

    let before = core.clock.now();
    let none_yet = pod.last_run == 0 || *container == Container::NotYet;
    if *container == Container::NotYet {
        *container = Container::Unknown;
    }
    let seen = if none_yet && pod.desired == Desired::Running {
        Seen {
            at: before,
            instances: Vec::new(),
            volume: None,
        }
    } else {
        work.look();
        match core.orchestrator.observe(id).await {
            Err(_) if broken(Rule::UnknownIsNotNothing) => Seen {
                at: before,
                instances: Vec::new(),
                volume: None,
            },
            other => other?,
        }
    };
    let looked = Looked {
        before,
        after: core.clock.now(),
    };
    let step = decide(&pod, &seen, looked);
    debug!(pod = %id, ?step, "step");
    match step {
        Step::Remove(run) => remove_stray(core, &pod, run).await,
        Step::Free => free(core, pod, work).await,
        Step::Purge => purge(core, pod, work).await,
        Step::Open => {
            let deadline = wish::next_deadline(&pod);
            match queue::open_own(core, pod, work).await? {
                Some(opened) => {
                    if opened.last_run == 1 {
                        *container = Container::NotYet;
                    }
                    again(opened)
                }
                None => Ok(Next::Done(deadline)),
            }
        }
        Step::Ensure if *container == Container::Present => {
            let mut after = pod.clone();
            if let Some(why) = waiting(&pod, &seen)
                && life::waits(&mut after, why, looked.after)
            {
                write(core, work, &pod, after, Changes::default()).await?;
            }
            Ok(Next::Done(Some(looked.after + LOOK_AGAIN)))
        }
        Step::Ensure => ensure(core, pod, container, work).await,
        Step::GiveUp => {
            let mut after = pod.clone();
            life::give_up(&mut after, looked.after);
            again(write(core, work, &pod, after, Changes::default()).await?)
        }
        Step::Stop(run) => {
            core.orchestrator.stop(run, wish::GRACE).await?;
            Ok(Next::Done(Some(core.clock.now() + LOOK_AGAIN)))
        }
        Step::Record(started) => record(core, pod, started, seen.volume, looked, work).await,
        Step::Refresh { endpoints, ready } => {
            let mut after = pod.clone();
            if let Some(run) = &mut after.run {
                run.endpoints = endpoints;
                run.ready_at = run.ready_at.or(ready.then_some(looked.after));
            }
            if ready {
                let idle = idle::first_look(&after, looked.after);
                let next = wish::next_deadline(&pod).into_iter().chain(idle).min();
                commit_last(core, &pod, after, Changes::default(), work, next).await
            } else {
                again(write(core, work, &pod, after, Changes::default()).await?)
            }
        }
        Step::Close(end) => {
            // Read before the close is written: whatever list this vouches for has left its marks on the row by now, and
            // if those are not on the row at hand, its version is not the one that is overwritten.
            let swept = sweep::last(core).await?;
            let last_seen = pod
                .run
                .as_ref()
                .map_or(looked.after, |run| decide::last_seen(run, &swept));
            close(core, pod, end, looked.after, last_seen, work).await
        }
        Step::Wait(at) => {
            let idle = match idle::look(core, &pod).await {
                idle::Next::Never => None,
                idle::Next::At(again) => Some(again),
                idle::Next::Write(after) => {
                    return again(write(core, work, &pod, *after, Changes::default()).await?);
                }
            };
            let next = at.into_iter().chain(idle).chain(wish::next_deadline(&pod));
            Ok(Next::Done(next.min()))
        }
    }
}

fn again(row: Pod) -> Result<Next> {
    Ok(Next::Again(Some(Box::new(row))))
}

/// Why the container of the open run, which was brought about, waits for its turn.
fn waiting<'a>(pod: &Pod, seen: &'a Seen) -> Option<&'a str> {
    let run = pod.run_id(pod.run.as_ref()?);
    let of_run = seen.instances.iter().find(|instance| instance.run == run)?;
    match &of_run.state {
        State::Pending { reason } if !reason.is_empty() => Some(reason),
        _ => None,
    }
}

async fn remove_stray(core: &Core, pod: &Pod, run: RunId) -> Result<Next> {
    // The row may be older than what was seen: a run that was opened in between is no stray.
    let fresh = if broken(Rule::StrayOnFreshRow) {
        Some(pod.clone())
    } else {
        core.store.pod(pod.id).await?
    };
    let is_open = fresh
        .as_ref()
        .is_some_and(|p| p.run.as_ref().is_some_and(|r| p.run_id(r) == run));
    if !is_open {
        core.orchestrator.remove(run).await?;
    }
    Ok(Next::Again(None))
}

async fn free(core: &Core, pod: Pod, work: &Claimed) -> Result<Next> {
    let mut after = pod.clone();
    let devices = life::free(&mut after);
    let mut changes = Changes::default();
    changes
        .leases
        .extend(devices.iter().map(|d| LeaseChange::Free {
            resource: queue::resource(d),
            pod: pod.id,
        }));
    if !devices.is_empty() && !broken(Rule::FreeingWakesQueue) {
        changes.wakes.push(Wake {
            key: WorkKey::Queue(pod.spec.gpu.clone()),
            at: core.clock.now(),
        });
    }
    again(write(core, work, &pod, after, changes).await?)
}

async fn purge(core: &Core, pod: Pod, work: &Claimed) -> Result<Next> {
    if !broken(Rule::RowOutlivesContainer) {
        core.orchestrator.purge(pod.id).await?;
    }
    let now = core.clock.now();
    let mut after = pod.clone();
    after.deleted_at = Some(now);
    let mut changes = Changes::default();
    changes
        .leases
        .extend(pod.ports.iter().map(|p| LeaseChange::Free {
            resource: queue::port_resource(p.host),
            pod: pod.id,
        }));
    changes
        .events
        .push(core.pod_event(EventKind::PodGone, &after));
    if pod.reason == Some(Reason::OwnerDeleted) {
        // The farewell waits for the last of them.
        changes.wakes.push(Wake {
            key: WorkKey::Account(AccountId::of(pod.owner)),
            at: now,
        });
    }
    after.forget();
    settling::close_volume(core, &pod, &mut changes).await?;
    let next = commit_last(core, &pod, after, changes, work, None).await?;
    if broken(Rule::RowOutlivesContainer) {
        core.orchestrator.purge(pod.id).await?;
    }
    Ok(next)
}

async fn ensure(core: &Core, pod: Pod, container: &mut Container, work: &Claimed) -> Result<Next> {
    let Some(run) = &pod.run else {
        return Ok(Next::Again(None));
    };
    let workload = core.workload(&pod, run).await?;
    let fence = core.fence(workload.run);
    match core.orchestrator.ensure(&workload, &fence).await {
        Ok(Ensured::Present) => {
            *container = Container::Present;
            again(pod)
        }
        // The row has changed since it was read.
        Ok(Ensured::Fenced) => Ok(Next::Again(None)),
        Ok(Ensured::Pulling { done, .. }) => {
            let now = core.clock.now();
            let mut after = pod.clone();
            if life::progress(&mut after, done, now) {
                write(core, work, &pod, after, Changes::default()).await?;
            }
            Ok(Next::Done(Some(now + LOOK_AGAIN)))
        }
        Err(e) => match e.kind() {
            ErrorKind::Refused(refusal) => {
                let end = End::refused(*refusal, e.message().to_owned());
                close(core, pod, end, core.clock.now(), Time::EPOCH, work).await
            }
            ErrorKind::Retry(cause) => {
                let end = End::retried(*cause, e.message().to_owned());
                close(core, pod, end, core.clock.now(), Time::EPOCH, work).await
            }
            _ => Err(e),
        },
    }
}

async fn record(
    core: &Core,
    pod: Pod,
    started: Started,
    volume: Option<String>,
    looked: Looked,
    work: &Claimed,
) -> Result<Next> {
    let mut after = pod.clone();
    let all_ready = started.endpoints.iter().all(|e| e.ready);
    life::record(&mut after, started, volume, looked.after);
    let opened = settling::opened(&after, looked.after);
    let payers: BTreeSet<&AccountId> = opened.iter().map(|reading| &reading.payer).collect();
    let mut changes = Changes {
        wakes: payers
            .iter()
            .map(|payer| accounts::wake(payer, looked.after))
            .collect(),
        ..Changes::default()
    };
    settling::settle(core, &opened, &mut changes).await?;
    let is_running = after.run.as_ref().is_some_and(|r| after.is_current(r));
    if let Some(run) = after.run.as_mut().filter(|_| all_ready) {
        run.ready_at = Some(looked.after);
    }
    if !is_running {
        return again(write(core, work, &pod, after, changes).await?);
    }
    // Looks once more soon after the start: a program that ended at once must not wait for a hint that was missed.
    let next = Some(looked.after + LOOK_AGAIN / 2);
    commit_last(core, &pod, after, changes, work, next).await
}

async fn close(
    core: &Core,
    pod: Pod,
    end: End,
    seen_at: Time,
    last_seen: Time,
    work: &Claimed,
) -> Result<Next> {
    let Some(run) = &pod.run else {
        return Ok(Next::Again(None));
    };
    let id = pod.run_id(run);
    if broken(Rule::RecordedBeforeRemoved) {
        core.orchestrator.remove(id).await?;
    }
    let mut after = pod.clone();
    life::close(&mut after, &end, core.clock.now());
    let mut changes = Changes::default();
    if run.started_at.is_some() {
        if end.has_log {
            changes.documents.extend(log::keep(core, id).await);
        }
        let reading = settling::closed(&pod, run, &end, (seen_at, last_seen), core.clock.now());
        settling::settle(core, &[reading], &mut changes).await?;
    } else {
        changes.touch.extend(core.lockable(&run.terms.payer));
    }
    if end.retry == Some(RetryCause::PortTaken) {
        changes
            .leases
            .extend(queue::set_aside(&pod, core.clock.now()));
    }
    if broken(Rule::DevicesOutliveClose) {
        changes
            .leases
            .extend(after.devices.drain(..).map(|d| LeaseChange::Free {
                resource: queue::resource(&d),
                pod: pod.id,
            }));
        changes.wakes.push(Wake {
            key: WorkKey::Queue(pod.spec.gpu.clone()),
            at: core.clock.now(),
        });
    }
    again(write(core, work, &pod, after, changes).await?)
}

/// Writes `after` in place of `before`, with an event if a user can see the difference. Answers the row as it is now.
pub(crate) async fn commit(
    core: &Core,
    before: &Pod,
    mut after: Pod,
    mut changes: Changes,
) -> Result<Pod> {
    if visible(before) != visible(&after) {
        after.updated_at = core.clock.now();
        changes
            .events
            .push(core.pod_event(EventKind::PodUpdate, &after));
    }
    if after.phase() == Phase::Error && before.phase() != Phase::Error {
        changes.events.push(failed(core, &after));
    }
    changes.pods.push(after.clone());
    core.commit(changes).await?;
    core.tally.changed(before, &after);
    after.version += 1;
    Ok(after)
}

/// Tells administrators of a pod that the platform could not give.
fn failed(core: &Core, pod: &Pod) -> NewEvent {
    let why = pod.message.as_deref().unwrap_or("No reason is known.");
    NewEvent {
        kind: EventKind::AdminNotice,
        owner: None,
        body: serde_json::json!({
            "kind": "podFailed",
            "userId": pod.owner,
            "reason": pod.reason,
            "message": format!("Pod {} ({}) failed. {why}", pod.spec.name, pod.id),
        }),
        ..core.pod_event(EventKind::AdminNotice, pod)
    }
}

/// The same amid a pass, which goes on.
pub(crate) async fn write(
    core: &Core,
    work: &Claimed,
    before: &Pod,
    after: Pod,
    mut changes: Changes,
) -> Result<Pod> {
    let at = core.clock.now() + core.settings.lease;
    changes.wakes.push(work.wake(at));
    let written = commit(core, before, after, changes).await?;
    work.has_woken();
    Ok(written)
}

/// The same, and finishes the work of this pass in the same commit. If that is refused and yet nobody has changed the
/// row, somebody else has the lease by now: the pass ends, and what it has seen is theirs to see.
async fn commit_last(
    core: &Core,
    before: &Pod,
    after: Pod,
    mut changes: Changes,
    work: &Claimed,
    next: Option<Time>,
) -> Result<Next> {
    let now = core.clock.now();
    changes.finish = Some(work.finish(next, now));
    match commit(core, before, after, changes).await {
        Err(e) if *e.kind() == ErrorKind::Conflict => {
            let row = core.store.pod(before.id).await?;
            if row.is_some_and(|row| row.version == before.version) {
                return Ok(Next::Done(Some(now + LOOK_AGAIN)));
            }
            Err(e)
        }
        other => other.map(|_| Next::Finished),
    }
}

fn visible(pod: &Pod) -> impl PartialEq + '_ {
    (
        pod.phase(),
        pod.reason,
        &pod.message,
        pod.exit_code,
        pod.deadlines,
        pod.run.as_ref().map(|r| &r.endpoints),
    )
}

/// Turns the refusal of a commit into what the caller of a verb can act on.
pub(crate) fn refused_verb(error: Error) -> Error {
    let ErrorKind::Condition(condition) = error.kind() else {
        return error;
    };
    match &**condition {
        Condition::Hold { amount, .. } => Error::new(
            ErrorKind::InsufficientBalance,
            format!("{amount} must be available to start this pod; the balance does not cover it."),
        ),
        Condition::Funded { .. } => {
            Error::new(ErrorKind::InsufficientBalance, "The balance is used up.")
        }
        Condition::FewerPods { max, .. } => Error::new(
            ErrorKind::QuotaExceeded,
            format!("A user may have {max} pods at most; delete one to launch another."),
        ),
        Condition::UserAt { .. } => {
            Error::conflict("The user was changed at the same time; try again.")
        }
        Condition::AccountAt { .. } => {
            Error::conflict("The account was changed at the same time; try again.")
        }
        Condition::NobodyQueued { .. } | Condition::LeaseFree { .. } => error,
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
