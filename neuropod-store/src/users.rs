//! Users.

use neuropod_core::Result;
use neuropod_core::id::UserId;
use neuropod_core::store::{Page, Tables, UserQuery};
use neuropod_core::user::User;
use serde_json::json;
use sqlx::{AnyPool, Row};

use crate::batch::Touched;
use crate::error::{decode, ours};
use crate::table::Column::Text;
use crate::table::{Db, Table};

const USERS: Table = Table {
    name: "users",
    key: &[Text("id")],
    // In lower case, to find them by.
    rest: &[Text("email"), Text("name"), Text("body")],
};

/// Loads these users, locked.
pub(crate) async fn load(
    db: &mut Db<'_>,
    ids: impl IntoIterator<Item = UserId>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = ids.into_iter().map(|id| json!({ "id": id }));
    for row in USERS.load(db, keys.collect()).await? {
        let user: User = decode(row.try_get(3)?)?;
        tables.users.insert(user.id, user);
    }
    Ok(())
}

/// Writes or removes these users as they are in `tables`.
pub(crate) async fn save(
    db: &mut Db<'_>,
    touched: &Touched<UserId>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |id: &UserId| {
        tables.users.get(id).map(|user| {
            json!({
                "id": id,
                "email": user.email.to_lowercase(),
                "name": user.name.to_lowercase(),
                "body": serde_json::to_string(user).expect("a user is plain data"),
            })
        })
    };
    USERS.save(db, touched, |id| json!({ "id": id }), row).await
}

/// One user.
pub(crate) async fn one(pool: &AnyPool, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query("SELECT body FROM users WHERE id = $1").bind(id.to_string());
    let read = async {
        let row = row.fetch_optional(pool).await?;
        row.map(|row| decode(row.try_get(0)?)).transpose()
    };
    read.await.map_err(|e| ours(e, "read a user"))
}

/// A page of users.
pub(crate) async fn page(pool: &AnyPool, query: &UserQuery) -> Result<Page<User>> {
    let limit = Page::<User>::limit(query.limit)?;
    let after = query.after.as_deref().map(str::parse::<UserId>);
    let after = after.transpose()?.map(|id| id.to_string());
    let text = query.contains.as_deref().unwrap_or_default();
    let sql = "SELECT body FROM users WHERE id > $1 \
               AND (email LIKE $2 ESCAPE '!' OR name LIKE $2 ESCAPE '!') ORDER BY id LIMIT 0 + $3";
    let read = async {
        let rows = sqlx::query(sql)
            .bind(after.unwrap_or_default())
            .bind(pattern(text))
            .bind(limit as i64 + 1)
            .fetch_all(pool)
            .await?;
        rows.iter().map(|row| decode(row.try_get(0)?)).collect()
    };
    let rows: sqlx::Result<Vec<User>> = read.await;
    let rows = rows.map_err(|e| ours(e, "list users"))?;
    Ok(Page::of(rows, limit, |user| user.id.to_string()))
}

/// The pattern of everything that contains `text`, in any case.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
