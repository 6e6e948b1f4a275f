//! The handshake: who is let in, and why not.

use std::fmt;
use std::sync::Arc;

use neuropod::activity::Did;
use neuropod::auth::Credential;
use neuropod::pod::Secret;
use neuropod::{Error, ErrorKind};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;

use super::arrived::Arrived;
use super::hall::Hall;
use super::seat::Seat;

/// The longest token that is looked at.
const TOKEN_MAX: usize = 8 << 10;

/// Why somebody is not let in, as the client is told.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        match e.kind() {
            // Session and user are told apart by the library's own words.
            ErrorKind::Unauthenticated | ErrorKind::Suspended | ErrorKind::Forbidden => {
                Self(e.message().to_owned())
            }
            _ => {
                tracing::warn!(error = %e, "nobody can be let in");
                Self("Authentication failed. Try again in a moment.".to_owned())
            }
        }
    }
}

/// Lets sockets in from now on.
pub(super) fn open(io: &SocketIo, hall: &Arc<Hall>) {
    let (asks, sits) = (Arc::clone(hall), Arc::clone(hall));
    let ask = async move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let_in(&asks, socket, auth.unwrap_or_default()).await
    };
    let sit = async move |socket: SocketRef| sit(&sits, socket).await;
    io.ns("/", sit.with(ask));
}

async fn let_in(hall: &Arc<Hall>, socket: SocketRef, auth: Value) -> Result<(), Refused> {
    if hall.is_closing() {
        return Err(Refused(
            "The server is restarting. Connect again in a moment.".to_owned(),
        ));
    }
    let token = token(&auth, socket.req_parts().uri.query());
    let token = token.ok_or_else(|| Refused("No token was sent.".to_owned()))?;
    let credential = Credential::Bearer(Secret::new(token));
    let visit = hall.app().platform.visit(credential).await?;
    let seat = Arc::new(Seat::new(visit, hall.app().now()));
    socket.extensions.insert(seat);
    // Here, since the client may send as soon as it hears that it is in.
    let answers = Arc::clone(hall);
    socket.on_fallback(async move |socket: SocketRef, arrived: Arrived| {
        let Some(seat) = arrived.seat else { return };
        if !arrived.has_room {
            answers.cut(&socket, &seat);
        } else if seat.inbox.attend() {
            while let Some(asked) = seat.inbox.take() {
                answers.answer(&socket, &seat, asked).await;
            }
        }
    });
    let leaves = Arc::clone(hall);
    socket.on_disconnect(async move |socket: SocketRef, reason: DisconnectReason| {
        let Some(seat) = socket.extensions.get::<Arc<Seat>>() else {
            return;
        };
        seat.end();
        leaves.leave(&socket);
        let details = json!({ "socketId": socket.id.to_string(), "reason": reason.to_string() });
        let platform = &leaves.app().platform;
        platform.note_look(seat.visit.who(), Did::SocketDisconnect, details);
    });
    Ok(())
}

/// `auth.token`, else the query's `token`.
fn token(auth: &Value, query: Option<&str>) -> Option<String> {
    let given = auth.get("token").and_then(Value::as_str);
    let asked = || {
        let pairs = query.unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.strip_prefix("token=")).next()
    };
    // A token has no character that a query would have to escape.
    let token = given.filter(|token| !token.is_empty()).or_else(asked)?;
    (1..=TOKEN_MAX)
        .contains(&token.len())
        .then(|| token.to_owned())
}

async fn sit(hall: &Arc<Hall>, socket: SocketRef) {
    let Some(seat) = socket.extensions.get::<Arc<Seat>>() else {
        return;
    };
    let who = seat.visit.who();
    let mut rooms = vec![hall.user_room(who.user.id)];
    if who.is_admin() {
        rooms.push("admins".to_owned());
    }
    socket.join(rooms);
    if !hall.enter(&socket, &seat).await {
        return;
    }
    let agent = socket.req_parts().headers.get("user-agent");
    let details = json!({
        "socketId": socket.id.to_string(),
        "userAgent": agent.and_then(|agent| agent.to_str().ok()).map(|agent| {
            agent.chars().take(200).collect::<String>()
        }),
    });
    let platform = &hall.app().platform;
    platform.note_look(who, Did::SocketConnect, details);
    let hello = json!({
        "message": "Connected.",
        "userId": who.user.id,
        "role": who.user.role,
        "timestamp": hall.app().now(),
    });
    hall.say(&socket, &seat, "connected", &hello);
    // Whatever has changed since the token was looked at, and before anybody would have told us.
    hall.check(&socket, &seat).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_the_handshake_comes_before_that_of_the_address() {
        let query = Some("EIO=4&transport=polling&token=b");
        let auth = json!({ "token": "a" });
        assert_eq!(token(&auth, query).as_deref(), Some("a"));
        for other in [
            json!({}),
            json!({ "token": "" }),
            json!({ "token": 1 }),
            json!(null),
        ] {
            assert_eq!(token(&other, query).as_deref(), Some("b"), "{other}");
            assert_eq!(token(&other, Some("EIO=4")), None);
        }
        let long = "x".repeat(TOKEN_MAX + 1);
        assert_eq!(token(&json!({ "token": long }), None), None);
    }
}
