//! What a store has after its first start.

use super::Core;
use crate::error::{Error, ErrorKind, Result};
use crate::pricing::PriceList;
use crate::store::{Changes, DocChange, Document, StoreExt};
use crate::template::Template;

/// The kind of the price list's document.
pub(super) const PRICES: &str = "prices";
pub(super) const CURRENT: &str = "current";

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
        let mut documents = vec![put(
            PRICES,
            CURRENT.to_owned(),
            serde_json::to_value(PriceList::seed()).map_err(json)?,
        )];
        for template in Template::seeds(now) {
            let body = serde_json::to_value(&template).map_err(json)?;
            documents.push(put("template", template.id.to_string(), body));
            documents.push(put(
                "template-name",
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
