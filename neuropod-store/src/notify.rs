//! Hints that something has changed: from this process at once, from others where the engine can tell.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;

/// Where hints come together.
#[derive(Debug, Clone)]
pub(crate) struct Hints(watch::Sender<()>);

impl Hints {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Gives a hint to everybody who listens.
    pub(crate) fn give(&self) {
        self.0.send_replace(());
    }

    /// Hints from now on; several at once are one.
    pub(crate) fn stream(&self) -> BoxStream<'static, ()> {
        let hints = self.0.subscribe();
        stream::unfold(hints, |mut hints| async {
            hints.changed().await.ok().map(|()| ((), hints))
        })
        .boxed()
    }
}

#[cfg(feature = "postgres")]
pub(crate) use postgres::share;

#[cfg(feature = "postgres")]
mod postgres {
    use std::time::Duration;

    use sqlx::AnyPool;
    use sqlx::postgres::PgListener;
    use tokio::task::JoinSet;
    use tracing::debug;

    use super::Hints;

    /// Others hear of a change so late at the latest, and so often at the most: NOTIFY takes a lock of the whole
    /// database, so no commit waits for it.
    const DEBOUNCE: Duration = Duration::from_millis(20);

    /// How long to wait before connecting again.
    const AGAIN_AFTER: Duration = Duration::from_secs(1);

    /// Exchanges hints with the other processes at the same database, until what is answered is dropped. `local`
    /// hints of this process go out; what comes in is given to `hints`.
    pub(crate) fn share(url: &str, pool: AnyPool, local: &Hints, hints: &Hints) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(pool, local.clone()));
        tasks.spawn(listen(url.to_owned(), hints.clone()));
        tasks
    }

    async fn tell(pool: AnyPool, local: Hints) {
        let mut changes = local.0.subscribe();
        while changes.changed().await.is_ok() {
            if let Err(error) = sqlx::query("NOTIFY neuropod").execute(&pool).await {
                debug!(%error, "others were not told of a change");
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }

    async fn listen(url: String, hints: Hints) {
        loop {
            let heard = async {
                let mut listener = PgListener::connect(&url).await?;
                listener.listen("neuropod").await?;
                // Whatever happened before we listened.
                hints.give();
                loop {
                    listener.recv().await?;
                    hints.give();
                }
            };
            let ended: sqlx::Result<()> = heard.await;
            if let Err(error) = ended {
                debug!(%error, "the database gives no hints");
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
