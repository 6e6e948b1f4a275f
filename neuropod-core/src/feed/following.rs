//! One follower: what he has missed, if he says where he was, and then what comes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Item, Joined, PAGE, Published, Scope, join};
use crate::auth::Identity;
use crate::error::{Error, Result};
use crate::event::{Audience, Event, EventKind};
use crate::platform::{Core, Platform};
use crate::store::EventQuery;
use crate::visit::{Verdict, Visit};

/// Whoever has missed more pages than this is told so.
const PAGES: usize = 10;
/// How often a visit is looked at of which nothing is heard.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How soon again if nobody can tell.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What a follower is told.
#[derive(Debug)]
pub enum Told {
    /// Something happened that he may see.
    Event(Arc<Published>),
    /// Something may have been left out before whatever comes next: look at the rows anew.
    Lagged,
    /// The visit is over. Nothing comes after this.
    Ended(Error),
}

/// Whoever follows. Leaves when dropped.
#[derive(Debug)]
pub struct Following {
    core: Core,
    scope: Scope,
    id: u64,
    receiver: mpsc::Receiver<Item>,
    late: Arc<AtomicBool>,
    visit: Option<(Visit, Instant)>,
    lagged: bool,
    missed: VecDeque<Arc<Published>>,
    /// Cursors of what was read as missed, and may come again through the queue.
    twice: HashSet<String>,
    cursor: String,
}

impl Platform {
    /// Follows what the visitor may see, from now on or from after a cursor, while the visit may go on. What stays open
    /// needs nothing else: it ends within a second of the session.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn follow(&self, visit: Visit, after: Option<&str>) -> Result<Following> {
        let scope = match visit.who() {
            who if who.is_admin() => Scope::Administrator,
            who => Scope::Client(who.user.id),
        };
        let mut following = Following::new(&self.0, scope).await?;
        let due = first_check(&visit, &self.0);
        let who = visit.who().clone();
        following.visit = Some((visit, due));
        if let Some(after) = after {
            following.catch_up(after, &who).await?;
        }
        Ok(following)
    }

    /// Follows everything from now on, for a program that hands events on to those who may see them: see
    /// [`NewEvent::audience`](crate::event::NewEvent::audience).
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn follow_all(&self) -> Result<Following> {
        Following::new(&self.0, Scope::Whole).await
    }
}

fn first_check(visit: &Visit, core: &Core) -> Instant {
    let left = visit.ends_at().map(|at| at.since(core.clock.now()));
    Instant::now() + left.unwrap_or(CHECK_EVERY).min(CHECK_EVERY)
}

impl Following {
    async fn new(core: &Core, scope: Scope) -> Result<Self> {
        let Joined {
            id,
            receiver,
            late,
            read_to,
        } = join(core, scope).await?;
        Ok(Self {
            core: core.clone(),
            scope,
            id,
            receiver,
            late,
            visit: None,
            lagged: false,
            missed: VecDeque::new(),
            twice: HashSet::new(),
            cursor: read_to,
        })
    }

    /// Where he is: asked from there, everything comes that was not told yet.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Reads what was written after `after` and before he joined.
    async fn catch_up(&mut self, after: &str, who: &Identity) -> Result<()> {
        let joined_at = std::mem::replace(&mut self.cursor, after.to_owned());
        let mut query = EventQuery {
            after: Some(after.to_owned()),
            limit: PAGE,
        };
        for _ in 0..PAGES {
            if query.after.as_ref() == Some(&joined_at) {
                return Ok(());
            }
            let page = self.core.store.events(&query).await?;
            if page.reset {
                break;
            }
            if page.events.is_empty() {
                return Ok(());
            }
            for event in page.events {
                let last = event.cursor == joined_at;
                self.twice.insert(event.cursor.clone());
                if event.event.audience().includes(&who.user) {
                    self.missed.push_back(Arc::new(Published::new(event)));
                }
                if last {
                    self.twice.clear();
                    return Ok(());
                }
            }
            query.after = Some(page.cursor);
        }
        self.missed.clear();
        self.twice.clear();
        self.cursor = joined_at;
        self.lagged = true;
        Ok(())
    }

    /// What comes next. Nothing is lost if this is given up before it is done.
    pub async fn next(&mut self) -> Told {
        loop {
            if std::mem::take(&mut self.lagged) {
                return Told::Lagged;
            }
            if let Some(missed) = self.missed.pop_front() {
                return self.tell(missed);
            }
            if self.receiver.is_empty() && self.late.swap(false, Ordering::AcqRel) {
                return Told::Lagged;
            }
            tokio::select! {
                biased;
                verdict = check(self.visit.as_ref()) => {
                    let again = match verdict {
                        Verdict::Over(why) => return Told::Ended(why),
                        Verdict::GoesOn => CHECK_EVERY,
                        Verdict::Unknown => ASK_AGAIN,
                    };
                    self.check_within(again);
                }
                item = self.receiver.recv() => match item.flatten() {
                    Some(published) => {
                        if let Some(told) = self.hear(published) {
                            return told;
                        }
                    }
                    None => self.lagged = true,
                }
            }
        }
    }

    fn check_within(&mut self, time: Duration) {
        let now = self.core.clock.now();
        if let Some((visit, due)) = &mut self.visit {
            let left = visit.ends_at().map(|at| at.since(now)).unwrap_or(time);
            // Past its end and yet believed: by a clock that differs.
            let left = left.max(ASK_AGAIN.min(time));
            *due = Instant::now() + left.min(time);
        }
    }

    /// What came through the queue, if it is to be told.
    fn hear(&mut self, published: Arc<Published>) -> Option<Told> {
        let Event { cursor, event } = published.event();
        if !self.twice.is_empty() {
            if self.twice.contains(cursor) {
                return None;
            }
            self.twice.clear();
        }
        if let Some((visit, _)) = &self.visit {
            let user = &visit.who().user;
            if event.kind == EventKind::AccessChanged && event.owner == Some(user.id) {
                self.check_within(Duration::ZERO);
                return None;
            }
            if event.audience() == Audience::Nobody {
                return None;
            }
        }
        Some(self.tell(published))
    }

    fn tell(&mut self, published: Arc<Published>) -> Told {
        self.cursor.clone_from(&published.event().cursor);
        Told::Event(published)
    }
}

/// Whether the visit may go on, once it is time to look; never, for who follows everything.
async fn check(visit: Option<&(Visit, Instant)>) -> Verdict {
    match visit {
        Some((visit, due)) => {
            tokio::time::sleep_until(*due).await;
            visit.check().await
        }
        None => std::future::pending().await,
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.core.feed.leave(self.scope, self.id);
    }
}
