//! What a store has after its first start.

use super::Core;
use crate::error::{Error, ErrorKind, Result};
use crate::id::UserId;
use crate::pricing::PriceList;
use crate::store::{Changes, DocChange, Document, StoreExt};
use crate::template::Template;
use crate::time::Time;

/// The kind of the price list's document.
pub(super) const PRICES: &str = "prices";
pub(super) const CURRENT: &str = "current";

/// The kind of a template's document, and of the one that makes its name unique.
pub(super) const TEMPLATE: &str = "template";
pub(super) const TEMPLATE_NAME: &str = "template-name";

/// The kind of the price lists that ever were in force, by version.
pub(super) const HISTORY: &str = "price-version";

/// Writes down a version of the price list, for those who look at it when it is no longer in force.
pub(super) fn history(
    version: u64,
    prices: &serde_json::Value,
    by: Option<UserId>,
    now: Time,
) -> DocChange {
    DocChange::Put(Document {
        kind: HISTORY.to_owned(),
        key: format!("{version:010}"),
        body: serde_json::json!({ "version": version, "at": now, "by": by, "prices": prices }),
        index: [None, None, None],
        expires_at: None,
        version: 0,
    })
}

/// What is seeded at first start: the price list and the templates. A second start changes nothing.
pub(super) async fn seed(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let put = |kind: &str, key: String, body| {
        DocChange::Put(Document {
            kind: kind.to_owned(),
            key,
            body,
            index: [None, None, None],
            expires_at: None,
            version: 0,
        })
    };
    let json = |e: serde_json::Error| Error::internal("A seed can't be written.").caused_by(e);
    if core.store.document(PRICES, CURRENT, now).await?.is_none() {
        let prices = serde_json::to_value(PriceList::seed()).map_err(json)?;
        let mut documents = vec![put(PRICES, CURRENT.to_owned(), prices.clone())];
        documents.push(history(1, &prices, None, now));
        for template in Template::seeds(now) {
            let body = serde_json::to_value(&template).map_err(json)?;
            documents.push(put(TEMPLATE, template.id.to_string(), body));
            documents.push(put(
                TEMPLATE_NAME,
                template.name.clone(),
                serde_json::json!(template.id),
            ));
        }
        let changes = Changes {
            documents,
            ..Changes::default()
        };
        match core.commit(changes).await {
            // Another replica was first.
            Err(e) if *e.kind() == ErrorKind::Conflict => {}
            other => other?,
        }
    }
    Ok(())
}
