//! The feed: one task of this process reads the store's events as they come, and hands each to whoever follows and may
//! see it. A follower who is late is told that something was left out, and is never waited for.

mod following;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tracing::debug;

use crate::error::Result;
use crate::event::{Audience, Event, EventKind};
use crate::id::UserId;
use crate::platform::Core;
use crate::store::{EventPage, EventQuery};

pub use following::{Following, Told};

/// So many events wait for one follower; room for all that is read at once.
const QUEUE: usize = 1024;
/// And for one who follows everything.
const WHOLE_QUEUE: usize = 4096;
/// How many events are read at once.
const PAGE: u32 = 1000;
/// How often events are looked for when no hint comes: what ends a session at another replica is to be heard of well
/// within a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// An event that all its followers share.
#[derive(Debug)]
pub struct Published {
    event: Event,
    text: OnceLock<String>,
}

impl Published {
    fn new(event: Event) -> Self {
        Self {
            event,
            text: OnceLock::new(),
        }
    }

    /// The event as it was written.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// A text of the event, which the first who asks makes for all.
    pub fn text(&self, make: impl FnOnce(&Event) -> String) -> &str {
        self.text.get_or_init(|| make(&self.event))
    }
}

/// What a follower may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    /// What this user may.
    Client(UserId),
    /// What administrators may.
    Administrator,
    /// Everything: a program that hands events on by itself.
    Whole,
}

/// What comes through a queue; `None` if something was left out.
type Item = Option<Arc<Published>>;

#[derive(Debug)]
struct Queue {
    id: u64,
    sender: mpsc::Sender<Item>,
    /// Something was left out after what is in the queue. Nothing more comes until the follower knows.
    late: Arc<AtomicBool>,
}

impl Queue {
    fn push(&self, item: Item) {
        if !self.late.load(Ordering::Acquire) && self.sender.try_send(item).is_err() {
            self.late.store(true, Ordering::Release);
        }
    }
}

/// The followers of this process.
#[derive(Debug, Default)]
pub(crate) struct Feed(Mutex<Followers>);

#[derive(Debug, Default)]
struct Followers {
    /// Up to where events have been handed out, while there is a task that reads them.
    read_to: Option<String>,
    queues: HashMap<Scope, Vec<Queue>>,
    joined: u64,
}

impl Followers {
    fn publish(&self, event: Event) {
        let published = Arc::new(Published::new(event));
        let event = &published.event.event;
        let client = match (event.audience(), event.owner) {
            (Audience::Everybody, _) => {
                self.each(self.queues.keys().copied(), Some(&published));
                return;
            }
            (Audience::Owner(owner), _) => Some(owner),
            // Not shown to him, but to be heard of.
            (Audience::Nobody, owner) => owner,
            (Audience::Administrators, _) => None,
        };
        let scopes = client.map(Scope::Client).into_iter();
        let scopes = scopes.chain([Scope::Administrator, Scope::Whole]);
        self.each(scopes, Some(&published));
    }

    fn each(&self, scopes: impl Iterator<Item = Scope>, item: Option<&Arc<Published>>) {
        for queue in scopes.filter_map(|scope| self.queues.get(&scope)).flatten() {
            queue.push(item.cloned());
        }
    }
}

impl Feed {
    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.0.lock().expect("no panic while held")
    }

    fn publish(&self, page: EventPage) {
        let mut followers = self.followers();
        if page.reset {
            followers.each(followers.queues.keys().copied(), None);
        }
        for event in page.events {
            followers.publish(event);
        }
        followers.read_to = Some(page.cursor);
    }

    /// How many follow.
    pub(crate) fn len(&self) -> u64 {
        let followers = self.followers();
        followers
            .queues
            .values()
            .map(|queues| queues.len() as u64)
            .sum()
    }

    /// Whether somebody still follows; if not, the task that reads is to end.
    fn is_followed(&self) -> bool {
        let mut followers = self.followers();
        let followed = !followers.queues.is_empty();
        if !followed {
            followers.read_to = None;
        }
        followed
    }

    fn leave(&self, scope: Scope, id: u64) {
        let mut followers = self.followers();
        if let Some(queues) = followers.queues.get_mut(&scope) {
            queues.retain(|queue| queue.id != id);
            if queues.is_empty() {
                followers.queues.remove(&scope);
            }
        }
    }
}

/// Who has joined: from `read_to` on everything comes through the queue.
struct Joined {
    id: u64,
    receiver: mpsc::Receiver<Item>,
    late: Arc<AtomicBool>,
    read_to: String,
}

/// Adds a follower, and begins to read if he is the first.
async fn join(core: &Core, scope: Scope) -> Result<Joined> {
    let mut newest = None;
    loop {
        {
            let mut followers = core.feed.followers();
            if followers.read_to.is_none()
                && let Some(newest) = newest.take()
            {
                followers.read_to = Some(newest);
                tokio::spawn(read(core.clone()));
            }
            if let Some(read_to) = followers.read_to.clone() {
                followers.joined += 1;
                let id = followers.joined;
                let (sender, receiver) = mpsc::channel(match scope {
                    Scope::Whole => WHOLE_QUEUE,
                    _ => QUEUE,
                });
                let late = Arc::new(AtomicBool::new(false));
                followers.queues.entry(scope).or_default().push(Queue {
                    id,
                    sender,
                    late: late.clone(),
                });
                return Ok(Joined {
                    id,
                    receiver,
                    late,
                    read_to,
                });
            }
        }
        newest = Some(core.store.newest().await?);
    }
}

/// Reads events as they come, until nobody follows.
async fn read(core: Core) {
    let mut hints = core.store.changed().await.ok();
    while core.feed.is_followed() {
        let after = core.feed.followers().read_to.clone();
        let query = EventQuery { after, limit: PAGE };
        let more = match core.store.events(&query).await {
            Ok(page) => {
                let more = page.events.len() == PAGE as usize;
                // First, so that whoever asks because of the event is not answered from memory.
                for event in page.events.iter().map(|e| &e.event) {
                    if let (EventKind::AccessChanged, Some(user)) = (event.kind, event.owner) {
                        core.auth.changed(user).await;
                    }
                }
                core.feed.publish(page);
                more
            }
            Err(error) => {
                debug!(%error, "events can't be read");
                false
            }
        };
        if more {
            continue;
        }
        let hint = async {
            match &mut hints {
                Some(stream) => stream.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            hint = hint => {
                if hint.is_none() {
                    hints = None;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
