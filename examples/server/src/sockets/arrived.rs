//! Events of one socket wait for their turn in the order they came in: the library would handle all at once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, Event, TryData};
use socketioxide::handler::FromMessageParts;
use socketioxide::socket::Socket;

use super::seat::Seat;

/// So many events of one socket may wait. Who has more under way does not wait for answers, and is cut.
const WAITING: usize = 256;

/// An event of a client.
pub(super) struct Asked {
    pub(super) event: String,
    /// What came with it; `null` if there was nothing that can be read.
    pub(super) data: Value,
    pub(super) ack: AckSender,
}

/// Events that have arrived and are not answered yet.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    events: VecDeque<Asked>,
    /// Somebody takes one after the other.
    attended: bool,
}

impl Inbox {
    /// Answers whether there was room.
    fn put(&self, asked: Asked) -> bool {
        let mut waiting = self.0.lock().expect("no panic while held");
        let room = waiting.events.len() < WAITING;
        if room {
            waiting.events.push_back(asked);
        }
        room
    }

    /// Whether nobody attends to it so far: whoever is told so does from now on, until there is nothing to [`take`](Self::take).
    pub(super) fn attend(&self) -> bool {
        let mut waiting = self.0.lock().expect("no panic while held");
        !std::mem::replace(&mut waiting.attended, true)
    }

    pub(super) fn take(&self) -> Option<Asked> {
        let mut waiting = self.0.lock().expect("no panic while held");
        let next = waiting.events.pop_front();
        waiting.attended = next.is_some();
        next
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.lock().expect("no panic while held");
        write!(f, "{} events", waiting.events.len())
    }
}

/// Says that an event has been put into its socket's inbox. Handlers run in any order, but what they are given is made
/// where packets are read, one after the other.
pub(super) struct Arrived {
    pub(super) seat: Option<Arc<Seat>>,
    pub(super) has_room: bool,
}

impl FromMessageParts<LocalAdapter> for Arrived {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket>,
        value: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let seat = socket.extensions.get::<Arc<Seat>>();
        let event = Event::from_message_parts(socket, value, ack);
        let TryData(data) = TryData::<Value>::from_message_parts(socket, value, ack)?;
        let asked = Asked {
            event: event.map(|Event(name)| name).unwrap_or_default(),
            data: data.unwrap_or_default(),
            ack: AckSender::from_message_parts(socket, value, ack)?,
        };
        let has_room = seat.as_ref().is_some_and(|seat| seat.inbox.put(asked));
        Ok(Self { seat, has_room })
    }
}
