//! The end of a user: what is known of the person goes once nothing is left of his pods. His account, its transfers, and what
//! he did stay, under the bare id, since others rely on them.

use crate::accounts::NOTICE;
use crate::auth::sessions::{EMAIL, IDENTITY, SESSION};
use crate::billing::Adjustment;
use crate::error::{ErrorKind, Result};
use crate::id::{AccountId, Token, UserId};
use crate::money::Money;
use crate::platform::Core;
use crate::store::{Changes, Condition, DocChange, DocQuery, PodFilter, PodQuery, StoreExt};
use crate::user::{Standing, User};
use crate::{budget, receipt};

/// What takes the owner of an account away, if he is being deleted and nothing is left of his pods.
pub(crate) async fn work_out(core: &Core, account: &AccountId) -> Result<Option<Changes>> {
    let Some(id) = account.user() else {
        return Ok(None);
    };
    let user = core.store.user(id).await?;
    let Some(user) = user.filter(|user| user.standing == Standing::Deleting) else {
        return Ok(None);
    };
    let left = PodQuery {
        filter: PodFilter::LeftOf(id),
        after: None,
        limit: 1,
    };
    if !core.store.pods(&left).await?.items.is_empty() {
        return Ok(None);
    }
    let mut changes = Changes {
        conditions: vec![Condition::UserAt {
            user: id,
            version: user.version,
        }],
        forget_users: vec![id],
        documents: known_of(core, &user).await?,
        ..Changes::default()
    };
    let now = core.clock.now();
    let rest = Adjustment {
        id: format!("forfeited/{}", Token::random(&core.entropy)),
        account: account.clone(),
        available: Money::ZERO,
        other: AccountId::from("forfeited"),
        memo: "What was left".to_owned(),
        actor: None,
        at: now,
    };
    match core.billing.adjust(&rest).await {
        Ok(adjusted) => {
            changes.transfers = adjusted.transfers;
            changes.conditions.extend(adjusted.conditions);
        }
        // There is no balance here that could be left.
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidTransition
            ) => {}
        Err(e) => return Err(e),
    }
    Ok(Some(changes))
}

/// What is kept of a person beside his row.
async fn known_of(core: &Core, user: &User) -> Result<Vec<DocChange>> {
    let now = core.clock.now();
    let mut gone = sessions(core, user.id).await?;
    let account = AccountId::of(user.id);
    let id = user.id.to_string();
    for (kind, key) in [
        (IDENTITY, user.identity.as_str()),
        (EMAIL, &user.email),
        (NOTICE, account.as_str()),
        (budget::KIND, &id),
    ] {
        let document = core.store.document(kind, key, now).await?;
        gone.extend(document.as_ref().map(DocChange::remove));
    }
    gone.extend(receipt::forget(core, user.id).await?);
    Ok(gone)
}

/// What ends the sessions of a user.
pub(crate) async fn sessions(core: &Core, user: UserId) -> Result<Vec<DocChange>> {
    let query = DocQuery {
        kind: SESSION.to_owned(),
        index: Some((0, user.to_string())),
        limit: 1000,
        now: core.clock.now(),
        ..DocQuery::default()
    };
    let page = core.store.documents(&query).await?;
    Ok(page.items.iter().map(DocChange::remove).collect())
}
