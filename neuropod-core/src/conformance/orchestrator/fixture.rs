//! What a backend's own tests have to provide: programs, and the world around the backend.

use std::fmt;

use async_trait::async_trait;

use crate::id::{DeviceId, PodId, RunId};

/// Starts known programs, and does what others do to a backend. It serves one case.
#[async_trait]
pub trait Fixture: fmt::Debug + Send + Sync + 'static {
    /// What to run to have this program.
    fn program(&self, program: Program) -> Able<Image>;

    /// Makes it happen, and returns once it has.
    async fn outside(&self, deed: Outside) -> Able;

    /// A host port that nobody uses, another at each call.
    fn free_port(&self) -> Able<u16>;

    /// An image that has this, with that program.
    async fn with_jupyter(&self, _has: Has, _own: Own) -> Able<Image> {
        Err(Unable("This fixture has no images for Jupyter."))
    }

    /// Two devices that nobody uses.
    fn free_devices(&self) -> Able<[DeviceId; 2]> {
        Err(NO_DEVICES)
    }

    /// The devices that the run's container was given, asked of whatever gives them.
    async fn given(&self, _run: RunId) -> Able<Vec<DeviceId>> {
        Err(NO_DEVICES)
    }

    /// How many of the objects are still there, unharmed, that [`Outside::Foreign`] and [`Outside::ForeignVolume`]
    /// made.
    async fn foreign(&self) -> usize;

    /// The names of everything on the backend that is marked as this pod's, asked of the backend directly.
    async fn left(&self, pod: PodId) -> Vec<String>;
}

const NO_DEVICES: Unable = Unable("This fixture has no devices.");

/// What a fixture answers; if it can't, the case is left out.
pub type Able<T = ()> = Result<T, Unable>;

/// Why a fixture can't do something: one sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unable(pub &'static str);

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unable {}

/// An image, and the arguments that make it behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its reference.
    pub name: String,
    /// Arguments instead of its command.
    pub args: Vec<String>,
}

/// What a program does. Where nothing else is said it runs until it is told to end, and then ends at once; its image
/// is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// Nothing.
    Sleeps,
    /// Goes on when it is told to end.
    IgnoresTerm,
    /// Prints `ready`; takes 300 ms to end by itself when it is told to.
    EndsLate,
    /// Ends at once with code 0.
    Succeeds,
    /// Ends at once with code 3.
    Fails,
    /// Takes more memory than it may.
    EatsMemory,
    /// Answers on port 8080 after 1 s.
    Serves,
    /// Uses a CPU all the time.
    Computes,
    /// Prints `line 0` to `line 99`, then sleeps.
    Prints,
    /// Prints the same, then ends.
    PrintsAndEnds,
    /// Prints a line every 100 ms.
    PrintsOn,
    /// Prints `one`, then `two` without the end of a line, and ends.
    PrintsUnfinished,
    /// Prints a line of 1 MiB of the letter x, then the line `after`, and ends.
    PrintsLongLine,
    /// Prints lines `<number> …`, numbered from 0, until the backend has dropped the first ones (if it ever does),
    /// then `end`, and ends.
    PrintsMuch,
    /// Prints `out`, then `err` to its standard error 100 ms later, and ends.
    PrintsToBoth,
    /// Prints the value of its environment variable `PROBE`, and ends.
    PrintsProbe,
    /// Appends a line to `/workspace/starts`, prints the number of lines there, and ends.
    CountsStarts,
    /// Sleeps; its image has to be pulled, which takes a while and shows progress.
    Pulled,
    /// No registry has its image.
    Missing,
    /// The registry gives nobody its image.
    Denied,
}

impl Program {
    /// Each of them.
    pub const ALL: [Self; 20] = [
        Self::Sleeps,
        Self::IgnoresTerm,
        Self::EndsLate,
        Self::Succeeds,
        Self::Fails,
        Self::EatsMemory,
        Self::Serves,
        Self::Computes,
        Self::Prints,
        Self::PrintsAndEnds,
        Self::PrintsOn,
        Self::PrintsUnfinished,
        Self::PrintsLongLine,
        Self::PrintsMuch,
        Self::PrintsToBoth,
        Self::PrintsProbe,
        Self::CountsStarts,
        Self::Pulled,
        Self::Missing,
        Self::Denied,
    ];
}

/// What an image has for a Jupyter beside its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Has {
    /// Jupyter, or a stand-in that answers on its port.
    Jupyter,
    /// A Python that installs it.
    Python,
    /// A shell, and no Python.
    Shell,
    /// No shell.
    NoShell,
}

impl Has {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Jupyter, Self::Python, Self::Shell, Self::NoShell];
}

/// The program of such an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Own {
    /// Answers on port 8080.
    Serves,
    /// A bare shell, which ends at once unless it has a terminal.
    Converses,
    /// Ends at once with code 0.
    Ends,
}

impl Own {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Serves, Self::Converses, Self::Ends];
}

/// What others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Somebody kills the program of this run.
    Kill(RunId),
    /// Somebody removes its container by force.
    Vanish(RunId),
    /// Somebody starts its container again, after it has ended.
    Restart(RunId),
    /// Somebody removes the pod's volume; nothing uses it.
    VanishVolume(PodId),
    /// Somebody takes this host port.
    Occupy(u16),
    /// Somebody has an object that is called as the container of this run will be.
    Foreign(RunId),
    /// Somebody has an object that is called as the pod's volume will be.
    ForeignVolume(PodId),
    /// From now on the backend can't be reached; open streams break.
    Cut,
    /// It can be reached again.
    Mend,
}
