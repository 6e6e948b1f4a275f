//! From a workload to a started container: create, ask the fence, start by the id that create returned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{Ensured, ExitCause, Fence, Instance, State, Workload};
use neuropod_core::{Error, ErrorKind, Refusal, Result, RetryCause};

use crate::convert::{self, HASH, Program};
use crate::engine::{Engine, VolumeThere};
use crate::error::{
    failed, image_is_missing, network_is_missing, shell_is_missing, status, unreachable, words,
    wrong_platform,
};
use crate::jupyter;
use crate::network;
use crate::pull::Pulls;

/// An answer of the fence that took longer is old: somebody else may have started the container meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// A name that is taken by what can't be seen for so long is lost.
const UNSEEN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// So many networks may go before a container starts in one, or its image turn out to have no shell.
const ATTEMPTS: usize = 4;

const TAKEN: &str = "The container's name is taken by something that is not this run.";
const VOLUME_TAKEN: &str = "The volume's name is taken by somebody else's.";

/// The starts of each run that this process tried, one at a time: the engine starts what has ended once more when
/// asked to, so a start must know of the others. Another process may still do it between our look and our start,
/// which are milliseconds apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts(Arc<Mutex<HashMap<RunId, Weak<Tried>>>>);

/// How many were tried.
type Tried = tokio::sync::Mutex<u64>;

impl Starts {
    fn of(&self, run: RunId) -> Arc<Tried> {
        let mut all = self.0.lock().expect("no panic while held");
        all.retain(|_, tried| tried.strong_count() > 0);
        if let Some(tried) = all.get(&run).and_then(Weak::upgrade) {
            return tried;
        }
        let tried = Arc::default();
        all.insert(run, Arc::downgrade(&tried));
        tried
    }
}

/// What creating came to.
enum Made {
    New(String),
    /// It was there already.
    There(String, Instance),
    NoImage,
}

/// What an attempt came to.
enum Came {
    To(Ensured),
    /// Its network was gone.
    ToNoNetwork,
    /// Its image has none that could start Jupyter, and the container was removed.
    ToNoShell,
}

pub(crate) async fn ensure(
    engine: &Engine,
    pulls: &Pulls,
    starts: &Starts,
    w: &Workload,
    fence: &Fence,
) -> Result<Ensured> {
    let mut has_shell = true;
    for _ in 0..ATTEMPTS {
        match attempt(engine, pulls, starts, w, has_shell, fence).await? {
            Came::To(ensured) => return Ok(ensured),
            Came::ToNoNetwork => {}
            Came::ToNoShell => has_shell = false,
        }
    }
    let gone = "The owner's network was removed before the container could start.";
    Err(Error::new(ErrorKind::Retry(RetryCause::NoNetwork), gone))
}

async fn attempt(
    engine: &Engine,
    pulls: &Pulls,
    starts: &Starts,
    w: &Workload,
    has_shell: bool,
    fence: &Fence,
) -> Result<Came> {
    let tried = starts.of(w.run);
    let tried_before = *tried.lock().await;
    find_volume(engine, w).await?;
    let id = match create(engine, w, has_shell).await? {
        Made::New(id) => id,
        Made::There(id, instance) => match standing(&instance.state)? {
            None => id,
            Some(ensured) => return Ok(Came::To(ensured)),
        },
        Made::NoImage => {
            return match engine.of_run(w.run).await? {
                Some(there) => {
                    let standing = standing(&there.instance.state)?;
                    Ok(Came::To(standing.unwrap_or(Ensured::Present)))
                }
                None => pulls.join(engine, w.run, &w.image).map(Came::To),
            };
        }
    };
    network::join(engine, w).await?;
    if !has_volume(engine, w, &id).await? {
        return Ok(Came::To(Ensured::Fenced));
    }
    let asked = Instant::now();
    if !fence.holds().await? {
        return Ok(Came::To(Ensured::Fenced));
    }
    let mut tried = tried.lock().await;
    if *tried != tried_before || asked.elapsed() > FRESH {
        let Some(inspected) = engine.inspect(&id).await? else {
            return Ok(Came::To(Ensured::Fenced));
        };
        if let Some(there) = engine.container(id.clone(), inspected).await?
            && let Some(ensured) = standing(&there.instance.state)?
        {
            return Ok(Came::To(ensured));
        }
    }
    *tried += 1;
    start(engine, w, &id).await
}

/// What a container that is there comes to; `None` if it waits for its start.
fn standing(state: &State) -> Result<Option<Ensured>> {
    let cause = match state {
        State::Pending { .. } => return Ok(None),
        State::Exited {
            started_at: None,
            cause,
            ..
        } => cause,
        _ => return Ok(Some(Ensured::Present)),
    };
    let kind = match cause {
        ExitCause::Retry(cause) => ErrorKind::Retry(*cause),
        ExitCause::Refused(refusal) => ErrorKind::Refused(*refusal),
        _ => ErrorKind::Refused(Refusal::Spec),
    };
    Err(Error::new(kind, "The container could not be started."))
}

/// A later run's volume must be there before its container: the engine would make a missing one in silence.
async fn find_volume(engine: &Engine, w: &Workload) -> Result<()> {
    let Some(id) = w.volume.as_ref().and_then(|v| v.id.as_ref()) else {
        return Ok(());
    };
    match engine.volume(w.run.pod).await? {
        VolumeThere::Ours(there) if there == *id => Ok(()),
        VolumeThere::Foreign => Err(name_taken(VOLUME_TAKEN)),
        _ => Err(Error::new(
            ErrorKind::Refused(Refusal::VolumeLost),
            "The pod's volume is gone, or is not the one it had.",
        )),
    }
}

/// A first run's volume was made with its container, unless somebody's has the name. False if both are gone again.
async fn has_volume(engine: &Engine, w: &Workload, container: &str) -> Result<bool> {
    if w.volume.as_ref().is_none_or(|v| v.id.is_some()) {
        return Ok(true);
    }
    match engine.volume(w.run.pod).await? {
        VolumeThere::Ours(identity) => {
            engine.known.has_volume(container, &identity);
            Ok(true)
        }
        VolumeThere::Foreign => {
            engine.delete(container).await?;
            Err(name_taken(VOLUME_TAKEN))
        }
        VolumeThere::No => Ok(false),
    }
}

fn name_taken(message: &str) -> Error {
    Error::new(ErrorKind::Retry(RetryCause::NameTaken), message)
}

/// A new container, or the one that is there. A name that something else has gives way to the next one.
async fn create(engine: &Engine, w: &Workload, has_shell: bool) -> Result<Made> {
    // The engine takes this for an image, and makes a container of nothing.
    if w.image.is_empty() {
        let refusal = ErrorKind::Refused(Refusal::BadReference);
        return Err(Error::new(refusal, "The image reference is empty."));
    }
    let program = match &w.jupyter {
        None => Program::Own,
        Some(_) if !has_shell => Program::Alone,
        Some(jupyter) => match jupyter::beside(engine, w, jupyter).await? {
            Some(beside) => Program::Beside(beside),
            None => return Ok(Made::NoImage),
        },
    };
    for name in convert::names(w.run) {
        let deadline = Instant::now() + UNSEEN;
        loop {
            if let Some(made) = create_as(engine, w, &program, &name).await? {
                return Ok(made);
            }
            match engine.inspect(&name).await? {
                Some(there) => match adopt(engine, w, there).await? {
                    Some(made) => return Ok(made),
                    None => break,
                },
                // Being created, or removed, or a name that the engine has lost.
                None if Instant::now() > deadline => break,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
    Err(name_taken(TAKEN))
}

/// `None` if something has the name.
async fn create_as(
    engine: &Engine,
    w: &Workload,
    program: &Program,
    name: &str,
) -> Result<Option<Made>> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let limited = engine.disk.is_asked_for();
    let body = convert::create_body(&engine.config, w, program, limited);
    let call = engine.docker.create_container(Some(options), body);
    let error = match engine.call("docker create", call).await? {
        Ok(created) => {
            if limited {
                engine.disk.was_taken();
            }
            return match wrong_platform(&created.warnings) {
                Some(refused) => Err(refused),
                None => Ok(Some(Made::New(created.id))),
            };
        }
        Err(error) if limited && engine.disk.is_refused(&error) => {
            return Box::pin(create_as(engine, w, program, name)).await;
        }
        Err(error) => error,
    };
    match status(&error) {
        Some(404) if image_is_missing(&error) => Ok(Some(Made::NoImage)),
        Some(409) => Ok(None),
        Some(400 | 404 | 500) => Err(failed("docker create", &error)),
        _ => Err(unreachable("docker create", error)),
    }
}

/// What has the name, if it is this run; another specification of this run is no reason for a second container.
async fn adopt(
    engine: &Engine,
    w: &Workload,
    there: ContainerInspectResponse,
) -> Result<Option<Made>> {
    let id = there.id.clone().unwrap_or_default();
    let labels = there.config.as_ref().and_then(|c| c.labels.as_ref());
    let same = labels.is_some_and(|l| l.get(HASH) == Some(&w.spec_hash));
    match engine.container(id, there).await? {
        Some(there) if there.instance.run != w.run => Ok(None),
        Some(_) if !same => Err(name_taken(TAKEN)),
        Some(there) => Ok(Some(Made::There(there.id, there.instance))),
        None => Ok(None),
    }
}

async fn start(engine: &Engine, w: &Workload, id: &str) -> Result<Came> {
    let call = engine.docker.start_container(id, None);
    let Err(error) = engine.call("docker start", call).await? else {
        return Ok(Came::To(Ensured::Present));
    };
    match status(&error) {
        Some(404) if network_is_missing(&words(&error)) => {
            network::forget(engine, &w.tenant);
            Ok(Came::ToNoNetwork)
        }
        // Removed meanwhile, or being removed.
        Some(404) if error.to_string().contains("No such container") => {
            Ok(Came::To(Ensured::Fenced))
        }
        Some(409) => Ok(Came::To(Ensured::Fenced)),
        Some(400 | 404 | 500) if w.jupyter.is_some() && shell_is_missing(&words(&error)) => {
            engine.delete(id).await?;
            Ok(Came::ToNoShell)
        }
        Some(400 | 404 | 500) => Err(failed("docker start", &error)),
        _ => Err(unreachable("docker start", error)),
    }
}
