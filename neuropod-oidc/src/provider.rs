//! One provider, with what it said of itself kept for a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use neuropod_core::auth::{IdToken, IdTokenRules, Issuer, Person};
use neuropod_core::{Clock, Error, Result, Time};

use crate::Client;
use crate::discovery::{self, Known};
use crate::fetch::Fetch;

/// What a provider said is asked again after this, so that a key it has withdrawn signs nobody in for long.
const FRESH: Duration = Duration::from_secs(3600);
/// While it does not answer, what it said before holds for so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// A token with an unknown key makes us ask at most so often: anybody can make one up.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// A provider that has never answered is asked again after this.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Vouches for the people of one issuer. Cheap to clone; clones share what they know of it.
#[derive(Debug, Clone)]
pub struct Provider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    rules: IdTokenRules,
    clock: Arc<dyn Clock>,
    fetch: Result<Fetch>,
    held: Mutex<Held>,
    /// Whoever asks the provider holds this: one at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    known: Option<(Time, Arc<Known>)>,
    asked_at: Option<Time>,
}

impl Held {
    /// What is known, if it is no older than `age`.
    fn within(&self, age: Duration, now: Time) -> Option<Arc<Known>> {
        let (at, known) = self.known.as_ref()?;
        (now.since(*at) < age).then(|| Arc::clone(known))
    }

    fn may_ask(&self, now: Time) -> bool {
        let every = if self.known.is_some() {
            ASK_EVERY
        } else {
            TRY_EVERY
        };
        self.asked_at.is_none_or(|at| now.since(at) >= every)
    }
}

impl Provider {
    /// Asks nothing yet.
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        let rules = IdTokenRules {
            issuer: client.issuer.to_string(),
            client_id: client.id.clone(),
            hosted_domain: client.hosted_domain.clone(),
        };
        Self(Arc::new(Inner {
            fetch: Fetch::new(client.issuer.is_local()),
            rules,
            clock,
            client,
            held: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn fetch(&self) -> Result<&Fetch> {
        self.0.fetch.as_ref().map_err(Clone::clone)
    }

    /// What is known of the provider; asked anew if it is old, or lacks the key of a token.
    pub(crate) async fn known(&self, token: Option<&IdToken>) -> Result<Arc<Known>> {
        let fresh = |held: &Held, now| {
            let known = held.within(FRESH, now);
            known.filter(|known| !token.is_some_and(|token| known.keys.lacks(token)))
        };
        if let Some(known) = fresh(&self.held(), self.0.clock.now()) {
            return Ok(known);
        }
        let _one = self.0.asking.lock().await;
        let (held, now) = (self.held(), self.0.clock.now());
        if let Some(known) = fresh(&held, now) {
            return Ok(known);
        }
        let before = held.within(KEPT, now);
        if !held.may_ask(now) {
            return before
                .ok_or_else(|| Error::unreachable("The identity provider does not answer."));
        }
        self.hold(|held| held.asked_at = Some(now));
        match discovery::ask(&self.0.client.issuer, self.fetch()?).await {
            Ok(known) => {
                let known = Arc::new(known);
                self.hold(|held| held.known = Some((now, Arc::clone(&known))));
                Ok(known)
            }
            Err(e) => {
                tracing::warn!(error = ?e, issuer = %self.0.client.issuer, "the identity provider can't be asked");
                before.ok_or(e)
            }
        }
    }

    fn held(&self) -> Held {
        self.0.held.lock().expect("no panic while held").clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.0.held.lock().expect("no panic while held"));
    }
}

#[async_trait]
impl Issuer for Provider {
    async fn vouch(&self, token: &IdToken) -> Result<Person> {
        let known = self.known(Some(token)).await?;
        self.0.rules.check(token, &known.keys, self.0.clock.now())
    }
}
