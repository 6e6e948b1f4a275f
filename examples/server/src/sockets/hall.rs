//! Where all sockets are: hands each event to those in its rooms, looks whether visits may go on, and cuts who takes
//! nothing any more. One task does that, from the first socket on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use neuropod::event::{EventKind, NewEvent};
use neuropod::feed::{Following, Published, Told};
use neuropod::id::{PodId, UserId};
use neuropod::pod::Pod;
use neuropod::visit::Verdict;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use socketioxide::{SendError, SocketError, SocketIo};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::payload::{self, PodUpdate};
use super::seat::Seat;
use crate::App;

/// How often visits are looked at that are due, and what could not be done is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// So many events are taken together: of several of one pod the last is told. Far fewer than a socket has room for, since
/// the sockets' own tasks have their turn only after that.
const TOGETHER: usize = 64;
/// How long to wait before asking again a store that did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Everybody who is connected.
pub(super) struct Hall {
    app: App,
    io: SocketIo,
    seats: Mutex<HashMap<Sid, (SocketRef, Arc<Seat>)>>,
    /// Sockets that are over, but had no room to be told so.
    stuck: Mutex<Vec<SocketRef>>,
    /// Pods of which it is told what they use.
    measured: Mutex<HashSet<PodId>>,
    begun: AtomicBool,
    /// Whether events are followed by now.
    follows: watch::Sender<bool>,
    closing: AtomicBool,
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sockets", self.seats().len())
    }
}

impl Hall {
    pub(super) fn new(app: App, io: SocketIo) -> Arc<Self> {
        Arc::new(Self {
            app,
            io,
            seats: Mutex::default(),
            stuck: Mutex::default(),
            measured: Mutex::default(),
            begun: AtomicBool::new(false),
            follows: watch::Sender::new(false),
            closing: AtomicBool::new(false),
        })
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn io(&self) -> &SocketIo {
        &self.io
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn user_room(&self, user: UserId) -> String {
        format!("user:{user}")
    }

    pub(super) fn pod_room(&self, pod: PodId) -> String {
        format!("pod:{pod}")
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Sid, (SocketRef, Arc<Seat>)>> {
        self.seats.lock().expect("no panic while held")
    }

    /// Changes who sits, and tells how many do.
    fn seat(&self, change: impl FnOnce(&mut HashMap<Sid, (SocketRef, Arc<Seat>)>)) {
        let mut seats = self.seats();
        change(&mut seats);
        self.app.seats.are(seats.len());
    }

    pub(super) fn measured(&self) -> MutexGuard<'_, HashSet<PodId>> {
        self.measured.lock().expect("no panic while held")
    }

    fn everybody(&self) -> Vec<(SocketRef, Arc<Seat>)> {
        self.seats().values().cloned().collect()
    }

    /// Takes a socket in, once events are followed. Answers whether it is still there.
    pub(super) async fn enter(self: &Arc<Self>, socket: &SocketRef, seat: &Arc<Seat>) -> bool {
        let begins = !self.begun.swap(true, Ordering::AcqRel);
        self.seat(|seats| {
            seats.insert(socket.id, (socket.clone(), Arc::clone(seat)));
        });
        if begins {
            tokio::spawn(run(Arc::clone(self)));
        }
        // So that nothing that follows from what the client does next is missed.
        let _ = self.follows.subscribe().wait_for(|&follows| follows).await;
        // It may have gone before it was entered, and nobody would take it out again.
        if !socket.connected() || self.is_closing() {
            self.leave(socket);
            return false;
        }
        true
    }

    pub(super) fn leave(&self, socket: &SocketRef) {
        self.seat(|seats| {
            seats.remove(&socket.id);
        });
    }

    /// Sends something to one socket. One that has no room for it is over: nothing is left out silently.
    pub(super) fn say(&self, socket: &SocketRef, seat: &Seat, event: &str, said: &impl Serialize) {
        if !seat.is_over() && is_full(socket.emit(event, said)) {
            self.cut(socket, seat);
        }
    }

    /// Ends a socket that takes nothing, or asks for too much.
    pub(super) fn cut(&self, socket: &SocketRef, seat: &Seat) {
        if seat.end() {
            socket.leave_all();
            if socket.clone().disconnect().is_err() {
                let mut stuck = self.stuck.lock().expect("no panic while held");
                stuck.push(socket.clone());
            }
        }
    }

    /// Looks whether a visit may go on, and ends it if not.
    pub(super) async fn check(&self, socket: &SocketRef, seat: &Seat) {
        let verdict = seat.visit.check().await;
        let now = self.app.now();
        match verdict {
            Verdict::GoesOn => seat.goes_on(now),
            Verdict::Unknown => seat.is_unknown(now),
            Verdict::Over(why) => {
                let error = json!({ "type": "ACCESS_DENIED", "message": why.message() });
                self.say(socket, seat, "error", &error);
                self.cut(socket, seat);
            }
        }
    }

    /// Tells everybody that the server ends, and lets nobody in from now on.
    pub(super) fn say_goodbye(&self) {
        self.closing.store(true, Ordering::Release);
        let message = json!("The server is restarting. You are connected again in a moment.");
        self.tell_everybody(&payload::broadcast(&message, self.app.now()));
    }

    fn tell_everybody(&self, said: &impl Serialize) {
        if let Some(text) = text(said) {
            for (socket, seat) in self.everybody() {
                self.say(&socket, &seat, "broadcast", &text);
            }
        }
    }

    /// The sockets in any of some rooms, each once.
    pub(super) fn members(&self, rooms: Vec<String>) -> Vec<SocketRef> {
        let namespace = self.io.of("/");
        namespace.map_or_else(Vec::new, |all| all.within(rooms).sockets())
    }

    /// Made text once, and for nobody not at all.
    pub(super) fn tell(
        &self,
        rooms: Vec<String>,
        event: &str,
        said: impl FnOnce() -> Option<Box<RawValue>>,
    ) {
        let members = self.members(rooms);
        if members.is_empty() {
            return;
        }
        let Some(text) = said() else { return };
        for socket in members {
            if is_full(socket.emit(event, &text))
                && let Some(seat) = socket.extensions.get::<Arc<Seat>>()
            {
                self.cut(&socket, &seat);
            }
        }
    }

    async fn row(&self, pod: PodId) -> neuropod::Result<Option<Pod>> {
        let pod = self.app.platform.store().pod(pod).await?;
        Ok(pod.filter(|pod| !pod.is_tombstone()))
    }

    /// Who is told what becomes of a pod.
    fn concerned(&self, pod: PodId, owner: UserId) -> Vec<String> {
        vec![
            self.pod_room(pod),
            self.user_room(owner),
            "admins".to_owned(),
        ]
    }

    /// Tells what has become of a pod, as its row says now. Fails if it can't be read.
    async fn tell_pod(&self, id: PodId, owner: UserId) -> neuropod::Result<()> {
        // Nothing is read for nobody.
        if self.members(self.concerned(id, owner)).is_empty() {
            return Ok(());
        }
        let Some(pod) = self.row(id).await? else {
            return Ok(());
        };
        let rooms = self.concerned(id, pod.owner);
        self.tell(rooms, "podUpdate", || text(&PodUpdate::of(&pod, &self.app)));
        Ok(())
    }

    async fn tell_created(&self, event: &NewEvent, id: PodId, owner: UserId) {
        let room = vec![self.user_room(owner)];
        if self.members(room.clone()).is_empty() {
            return;
        }
        let creator = self.app.platform.store().user(owner).await.ok().flatten();
        let email = creator.map(|user| user.email).unwrap_or_default();
        if let Ok(Some(pod)) = self.row(id).await {
            let said = payload::pod_created(event, &pod, &email);
            self.tell(room, "podCreated", || text(&said));
        }
    }

    /// Hands out what has happened.
    async fn hand_out(&self, events: &[Arc<Published>], again: &mut BTreeSet<(PodId, UserId)>) {
        let events: Vec<&NewEvent> = events.iter().map(|p| &p.event().event).collect();
        // A later event of the same pod says all that an earlier one does.
        let mut told = HashSet::new();
        let news: Vec<bool> = events
            .iter()
            .rev()
            .map(|event| {
                let about_pod = matches!(event.kind, EventKind::PodUpdate | EventKind::PodDeleted);
                !about_pod || told.insert(event.pod)
            })
            .collect();
        for (event, is_news) in events.iter().zip(news.into_iter().rev()) {
            let owner = event.owner.map(|owner| vec![self.user_room(owner)]);
            let owner = owner.unwrap_or_default();
            match (event.kind, event.pod, event.owner) {
                (EventKind::PodUpdate, Some(pod), Some(owner)) => {
                    let unread = is_news && self.tell_pod(pod, owner).await.is_err();
                    if unread {
                        again.insert((pod, owner));
                    }
                }
                (EventKind::PodCreated, Some(pod), Some(owner)) => {
                    self.tell_created(event, pod, owner).await;
                }
                (EventKind::PodDeleted, Some(pod), _) => {
                    let room = vec![self.pod_room(pod)];
                    let rooms = [owner, room.clone()].concat();
                    self.tell(rooms, "podDeleted", || text(&payload::pod_deleted(event)));
                    // There is no more to be told of it.
                    for socket in self.members(room.clone()) {
                        socket.leave(self.pod_room(pod));
                    }
                }
                (EventKind::LowBalance, ..) => {
                    self.tell(owner, "lowBalanceAlert", || {
                        text(&payload::low_balance(event))
                    });
                }
                (EventKind::BalanceUpdate, ..) => {
                    self.tell(owner, "balanceUpdate", || text(&payload::balance(event)));
                }
                (EventKind::BudgetReached, ..) => {
                    self.tell(owner, "budgetReached", || text(&payload::budget(event)));
                }
                (EventKind::AdminNotice, ..) => {
                    let admins = vec!["admins".to_owned()];
                    let said = || text(&payload::notification(event));
                    self.tell(admins, "adminNotification", said);
                }
                (EventKind::Broadcast, ..) => {
                    let said = payload::broadcast(&event.body["message"], event.at);
                    self.tell_everybody(&said);
                }
                (EventKind::AccessChanged, _, Some(user)) => {
                    for socket in self.members(vec![self.user_room(user)]) {
                        if let Some(seat) = socket.extensions.get::<Arc<Seat>>() {
                            self.check(&socket, &seat).await;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Looks at visits that are due, and at what could not be done.
    async fn look(&self) {
        let now = self.app.now();
        for (socket, seat) in self.everybody() {
            if seat.is_due(now) && !seat.is_over() {
                self.check(&socket, &seat).await;
            }
        }
        let stuck = std::mem::take(&mut *self.stuck.lock().expect("no panic while held"));
        let still = stuck.into_iter();
        let still = still.filter(|s| s.connected() && s.clone().disconnect().is_err());
        let still: Vec<_> = still.collect();
        let mut stuck = self.stuck.lock().expect("no panic while held");
        stuck.extend(still);
    }

    /// Pods that somebody has subscribed to.
    fn subscribed(&self) -> BTreeSet<PodId> {
        let sockets = self.everybody();
        let rooms = sockets.iter().flat_map(|(socket, _)| socket.rooms());
        rooms
            .filter_map(|room| room.strip_prefix("pod:")?.parse().ok())
            .collect()
    }

    /// Tells everybody how the pods are that he has subscribed to, since something may have been left out.
    async fn tell_all_anew(&self, again: &mut BTreeSet<(PodId, UserId)>) {
        for pod in self.subscribed() {
            if let Ok(Some(row)) = self.row(pod).await
                && self.tell_pod(pod, row.owner).await.is_err()
            {
                again.insert((pod, row.owner));
            }
        }
        // And whether all may still be here.
        for (socket, seat) in self.everybody() {
            self.check(&socket, &seat).await;
        }
    }
}

/// Whether it could not be sent because too much waits already. One that has gone is nobody's fault.
fn is_full(sent: Result<(), SendError>) -> bool {
    matches!(
        sent,
        Err(SendError::Socket(SocketError::InternalChannelFull))
    )
}

pub(super) fn text(said: &impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(said)
        .inspect_err(|error| tracing::error!(%error, "an event can't be written"))
        .ok()
}

async fn run(hall: Arc<Hall>) {
    let mut following = follow(&hall).await;
    hall.follows.send_replace(true);
    let mut again = BTreeSet::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !hall.is_closing() {
        tokio::select! {
            told = following.next() => {
                let mut events = Vec::new();
                let mut next = Some(told);
                while let Some(told) = next.take() {
                    match told {
                        Told::Event(published) => events.push(published),
                        Told::Lagged => hall.tell_all_anew(&mut again).await,
                        Told::Ended(_) => return,
                    }
                    if events.len() < TOGETHER {
                        next = following.next().now_or_never();
                    }
                }
                hall.hand_out(&events, &mut again).await;
                // A burst must not fill up those who would take it: who is cut is who takes nothing, whatever his turn.
                tokio::task::yield_now().await;
            }
            _ = ticks.tick() => {
                for (pod, owner) in std::mem::take(&mut again) {
                    if hall.tell_pod(pod, owner).await.is_err() {
                        again.insert((pod, owner));
                    }
                }
                hall.look().await;
            }
        }
    }
}

async fn follow(hall: &Hall) -> Following {
    loop {
        match hall.app.platform.follow_all().await {
            Ok(following) => return following,
            Err(error) => tracing::warn!(%error, "events can't be followed yet"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
