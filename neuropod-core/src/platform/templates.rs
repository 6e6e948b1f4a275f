//! Templates: everybody sees them, administrators make them, and who made one may change it.

use serde::Serialize;
use serde_json::{Value, json};

use super::seed::{TEMPLATE, TEMPLATE_NAME};
use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::{Action, Identity, Owner};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TemplateId;
use crate::receipt::{Done, Receipt};
use crate::store::{Changes, DocChange, DocQuery, Document, StoreExt};
use crate::template::{Template, TemplateDraft};

impl Platform {
    /// One template.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn template(&self, id: TemplateId) -> Result<Template> {
        Ok(self.versioned_template(id).await?.1)
    }

    /// One template, and its version.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn versioned_template(&self, id: TemplateId) -> Result<(u64, Template)> {
        let document = document(&self.0, id).await?;
        Ok((document.version, read(document.body)?))
    }

    /// All templates, newest first, at most 1000.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn templates(&self) -> Result<Vec<Template>> {
        let now = self.0.clock.now();
        let query = DocQuery {
            kind: TEMPLATE.to_owned(),
            limit: 1000,
            now,
            ..DocQuery::default()
        };
        let page = self.0.store.documents(&query).await?;
        let mut all = page
            .items
            .into_iter()
            .map(|d| read(d.body))
            .collect::<Result<Vec<_>>>()?;
        all.sort_by_key(|t| std::cmp::Reverse((t.created_at, t.id)));
        Ok(all)
    }

    /// Makes a template; for administrators.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid`, with every wrong field, also for a name that another template has.
    pub async fn create_template(&self, who: &Identity, draft: &TemplateDraft) -> Result<Template> {
        self.create(who, draft, None).await
    }

    /// Like [`Platform::create_template`], and a repetition with the same receipt makes nothing more.
    ///
    /// # Errors
    /// Those of [`Platform::create_template`]; `IdempotencyConflict` if something else was asked with this receipt's key.
    pub async fn create_template_once(
        &self,
        who: &Identity,
        draft: &TemplateDraft,
        receipt: &Receipt,
    ) -> Result<Done<Template>> {
        self.once(receipt, || self.create(who, draft, Some(receipt)))
            .await
    }

    async fn create(
        &self,
        who: &Identity,
        draft: &TemplateDraft,
        receipt: Option<&Receipt>,
    ) -> Result<Template> {
        self.administers(who).await?;
        let core = &self.0;
        let now = core.clock.now();
        let mut template = Template {
            id: TemplateId::random(&core.entropy),
            created_by: Some(who.user.id),
            ..Template::blank(now)
        };
        draft.write(&mut template)?;
        let mut documents = vec![
            put(TEMPLATE, template.id, 0, &template)?,
            put(TEMPLATE_NAME, &template.name, 0, &template.id)?,
            core.did(who, Did::CreateTemplate, about(&template)),
        ];
        documents.extend(
            receipt
                .map(|receipt| receipt.of(&template, now))
                .transpose()?,
        );
        write(core, documents, &template).await?;
        Ok(template)
    }

    /// Changes a template, in place of that `version`; for administrators and for who made it. Pods that were launched from it
    /// stay as they are. Answers it with its new version.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`; `Invalid`, with every wrong field; `Conflict` if it is at another version by now.
    pub async fn update_template(
        &self,
        who: &Identity,
        id: TemplateId,
        version: u64,
        draft: &TemplateDraft,
    ) -> Result<(u64, Template)> {
        let core = &self.0;
        let mut document = self.own_template(who, id).await?;
        let before = read(document.body)?;
        let mut template = before.clone();
        draft.write(&mut template)?;
        template.updated_at = core.clock.now();
        (document.version, document.body) = (version, value(&template)?);
        let mut documents = vec![
            DocChange::Put(document),
            core.did(who, Did::UpdateTemplate, about(&template)),
        ];
        if template.name != before.name {
            documents.push(put(TEMPLATE_NAME, &template.name, 0, &id)?);
            documents.extend(without_name(core, &before).await?);
        }
        write(core, documents, &template).await?;
        Ok((version + 1, template))
    }

    /// Deletes a template; for administrators and for who made it. Pods that were launched from it stay.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Conflict` if it is changed at the same time.
    pub async fn delete_template(&self, who: &Identity, id: TemplateId) -> Result<()> {
        let core = &self.0;
        let document = self.own_template(who, id).await?;
        let template = read(document.body.clone())?;
        let mut documents = vec![
            DocChange::remove(&document),
            core.did(who, Did::DeleteTemplate, about(&template)),
        ];
        documents.extend(without_name(core, &template).await?);
        core.commit(Changes {
            documents,
            ..Changes::default()
        })
        .await
    }

    /// A template that the caller may change.
    async fn own_template(&self, who: &Identity, id: TemplateId) -> Result<Document> {
        let document = document(&self.0, id).await?;
        let owner = match read(document.body.clone())?.created_by {
            Some(user) => Owner::User(user),
            None => Owner::Platform,
        };
        let allowed = self.0.auth.authorize(who, Action::End, owner).await;
        match allowed {
            // Everybody sees it, so it is no secret that it is there.
            Err(e) if *e.kind() == ErrorKind::NotFound => Err(Error::new(
                ErrorKind::Forbidden,
                "Only an administrator, or who made this template, may change it.",
            )),
            other => other.map(|()| document),
        }
    }
}

async fn document(core: &Core, id: TemplateId) -> Result<Document> {
    let now = core.clock.now();
    let found = core.store.document(TEMPLATE, &id.to_string(), now).await?;
    found.ok_or_else(|| Error::not_found("template", id))
}

/// What makes the name of a template free again.
async fn without_name(core: &Core, template: &Template) -> Result<Option<DocChange>> {
    let now = core.clock.now();
    let name = core.store.document(TEMPLATE_NAME, &template.name, now);
    Ok(name.await?.as_ref().map(DocChange::remove))
}

/// Commits what makes or changes `template`; if that was refused for its name, says so.
async fn write(core: &Core, documents: Vec<DocChange>, template: &Template) -> Result<()> {
    let changes = Changes {
        documents,
        ..Changes::default()
    };
    match core.commit(changes).await {
        Err(e) if *e.kind() == ErrorKind::Conflict => {
            let now = core.clock.now();
            let name = core.store.document(TEMPLATE_NAME, &template.name, now);
            match name.await? {
                Some(taken) if taken.body != value(&template.id)? => {
                    Err(Error::invalid("/name", "Another template has this name."))
                }
                _ => Err(e),
            }
        }
        other => other,
    }
}

fn put(kind: &str, key: impl ToString, version: u64, body: &impl Serialize) -> Result<DocChange> {
    Ok(DocChange::Put(Document {
        kind: kind.to_owned(),
        key: key.to_string(),
        body: value(body)?,
        index: [None, None, None],
        expires_at: None,
        version,
    }))
}

fn value(body: &impl Serialize) -> Result<Value> {
    serde_json::to_value(body)
        .map_err(|e| Error::internal("A template can't be written.").caused_by(e))
}

fn read(body: Value) -> Result<Template> {
    serde_json::from_value(body)
        .map_err(|e| Error::internal("A template in the store can't be read.").caused_by(e))
}

/// What the activity log says of a template.
fn about(template: &Template) -> Value {
    json!({ "templateId": template.id, "name": template.name })
}

#[cfg(all(test, feature = "testing"))]
mod tests;
