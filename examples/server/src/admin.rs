//! `/api/admin`: what was done, a message to everybody, and pods whose backend will never confirm their end.

use axum::Json;
use axum::extract::State;
use neuropod::activity::{Activity, ActivityQuery, Did};
use neuropod::id::{PodId, UserId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::answer::{self, Changed, Rows, Said};
use crate::body::{Fields, Nothing};
use crate::caller::{Admin, Id};
use crate::openapi::Refused;
use crate::page::{List, Pages, Search, instant};
use crate::pods::{self, PodChange};
use crate::problem::{Problem, Result};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// Only of this user.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// Only this.
    #[param(value_type = Option<Did>)]
    action: Option<String>,
    /// From this day or instant in UTC on.
    from: Option<String>,
    /// Before this day or instant in UTC.
    to: Option<String>,
}

impl Asked {
    fn query(self, list: List) -> Result<ActivityQuery> {
        let action = |action: String| {
            let did: Option<Did> = serde_json::from_value(Value::String(action)).ok();
            did.ok_or_else(|| Problem::validation("\"action\" is a word such as \"CREATE_POD\"."))
        };
        Ok(ActivityQuery {
            user: self.user_id.map(|id| id.parse()).transpose()?,
            did: self.action.map(action).transpose()?,
            from: instant("from", self.from.as_deref())?,
            to: instant("to", self.to.as_deref())?,
            after: list.cursor,
            limit: list.limit.min(200),
        })
    }
}

/// What was done, the newest first
#[utoipa::path(
    get, path = "/api/admin/activity", operation_id = "listActivity", params(Asked, Pages),
    responses((status = 200, body = Rows<Activity>)),
)]
pub(crate) async fn activity(
    State(app): State<App>,
    Admin(who): Admin,
    Search(asked): Search<Asked>,
    list: List,
) -> Result<Json<Rows<Activity>>> {
    let page = app.platform.activity(&who, &asked.query(list)?).await?;
    Ok(answer::rows(page.items, Some(page.next)))
}

/// What is said.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `broadcast` reads, for the document")]
pub(crate) struct Message {
    #[schema(min_length = 1, max_length = 1000)]
    message: String,
}

/// Tell everybody something
#[utoipa::path(
    post, path = "/api/admin/broadcast", operation_id = "broadcast", request_body = Message,
    responses((status = 200, body = Said), Refused<429>),
)]
pub(crate) async fn broadcast(
    State(app): State<App>,
    Admin(who): Admin,
    mut fields: Fields,
) -> Result<Json<Said>> {
    let message = fields.text("message").unwrap_or_default();
    fields.done()?;
    app.platform.broadcast(&who, &message).await?;
    Ok(answer::said("Everybody who is there is told."))
}

/// Accept that the run of a pod is lost, though its backend does not confirm it
#[utoipa::path(
    post, path = "/api/admin/pods/{podId}/force", operation_id = "forcePod", params(("podId" = PodId, Path)),
    request_body = Nothing,
    responses((status = 200, body = Changed<PodChange>), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn force(
    State(app): State<App>,
    Admin(who): Admin,
    Id(id): Id<PodId>,
    fields: Fields,
) -> Result<Json<Changed<PodChange>>> {
    fields.done()?;
    let pod = app.platform.force(&who, id).await?;
    Ok(pods::changed(&pod, "The run is given up."))
}
