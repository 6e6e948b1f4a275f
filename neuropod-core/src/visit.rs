//! A visit: whoever is behind something that stays open, a socket or a stream. It may go on as long as what was shown when
//! it began would still be believed, of the same user in the same role.

use crate::auth::{Credential, Identity};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{Core, Platform};
use crate::time::Time;

/// Somebody who has come and stays.
#[derive(Debug, Clone)]
pub struct Visit {
    core: Core,
    credential: Credential,
    who: Identity,
    ends_at: Option<Time>,
}

/// Whether a visit may go on.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// As before.
    GoesOn,
    /// That can't be told now; ask again soon.
    Unknown,
    /// It may not, for this reason.
    Over(Error),
}

impl Platform {
    /// Lets somebody in to stay.
    ///
    /// # Errors
    /// As [`crate::Auth::authenticate`].
    pub async fn visit(&self, credential: Credential) -> Result<Visit> {
        let auth = &self.0.auth;
        let who = auth.authenticate(&credential).await?;
        let ends_at = auth.ends_at(&who).await?;
        Ok(Visit {
            core: self.0.clone(),
            credential,
            who,
            ends_at,
        })
    }
}

impl Visit {
    /// Who it is.
    pub fn who(&self) -> &Identity {
        &self.who
    }

    /// When it ends by itself, if it does.
    pub fn ends_at(&self) -> Option<Time> {
        self.ends_at
    }

    /// Whether it may go on. To be asked when [`AccessChanged`](crate::event::EventKind::AccessChanged) tells so of its
    /// user, when it ends by itself, and now and then, since not every [`Auth`](crate::Auth) tells of changes.
    pub async fn check(&self) -> Verdict {
        judge(
            &self.who,
            self.core.auth.authenticate(&self.credential).await,
        )
    }
}

fn judge(before: &Identity, now: Result<Identity>) -> Verdict {
    match now {
        Ok(now) if (now.user.id, now.user.role) == (before.user.id, before.user.role) => {
            Verdict::GoesOn
        }
        Ok(_) => Verdict::Over(Error::new(
            ErrorKind::Unauthenticated,
            "What you may do has changed. Connect again.",
        )),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::Unauthenticated | ErrorKind::Suspended | ErrorKind::Forbidden
            ) =>
        {
            Verdict::Over(e)
        }
        Err(_) => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Role;

    #[test]
    fn it_goes_on_for_the_same_user_in_the_same_role_and_while_nobody_can_tell() {
        let before = Identity::local();
        let with = |change: fn(&mut Identity)| {
            let mut now = before.clone();
            change(&mut now);
            judge(&before, Ok(now))
        };
        assert!(matches!(with(|_| {}), Verdict::GoesOn));
        let renamed = with(|now| now.user.name = "x".to_owned());
        assert!(matches!(renamed, Verdict::GoesOn));
        let demoted = with(|now| now.user.role = Role::Client);
        assert!(matches!(demoted, Verdict::Over(_)));
        let other = with(|now| now.user.id = crate::id::UserId::from_bytes([1; 12]));
        assert!(matches!(other, Verdict::Over(_)));
        let refused = |kind| judge(&before, Err(Error::new(kind, "no")));
        for kind in [
            ErrorKind::Unauthenticated,
            ErrorKind::Suspended,
            ErrorKind::Forbidden,
        ] {
            assert!(matches!(refused(kind), Verdict::Over(_)));
        }
        assert!(matches!(refused(ErrorKind::Unreachable), Verdict::Unknown));
    }
}
