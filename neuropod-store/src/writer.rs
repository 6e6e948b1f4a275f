//! How commits get into the database: what waits goes into one transaction, on SQLite by one task, on PostgreSQL by a
//! few. Rows that all want to write are then written once for all, and not by one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use neuropod_core::id::{Entropy, Token};
use neuropod_core::store::{Changes, Claim, Work};
use neuropod_core::{Error, ErrorKind, Result, Time};
use sqlx::AnyPool;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::error::{lost_a_race, ours};
use crate::table::Db;
use crate::{documents, events, work};

/// At most so many commits go into one transaction, and so many wait.
const MOST: usize = 1000;

/// So many transactions are under way at once on PostgreSQL: while one waits for the disk, or for rows of another, what
/// comes meanwhile waits in a queue and makes the next ones larger.
const WRITERS: usize = 4;

/// So often a commit that lost a race against another is judged anew.
const TRIES: u32 = 20;

/// What is past its time is removed so often, by the times that commits tell.
const CLEANING: Duration = Duration::from_secs(3600);

/// Documents are removed so long after they expired: clocks of replicas differ.
const EXPIRED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Writes.
#[derive(Debug)]
pub(crate) struct Writer {
    database: Arc<Database>,
    /// Of the tasks that write.
    queue: mpsc::Sender<Op>,
}

/// The connections that write.
#[derive(Debug)]
struct Database {
    pool: AnyPool,
    dialect: Dialect,
    entropy: Entropy,
    /// When what is past its time was last removed, in microseconds.
    cleaned: AtomicI64,
}

#[derive(Debug)]
enum Op {
    Commit(Box<Changes>, oneshot::Sender<Result<()>>),
    Claim(Claim, oneshot::Sender<Result<Vec<Work>>>),
}

impl Writer {
    pub(crate) fn new(pool: AnyPool, dialect: Dialect) -> Self {
        let database = Arc::new(Database {
            pool,
            dialect,
            entropy: Entropy::system(),
            cleaned: AtomicI64::new(i64::MIN),
        });
        let writers = match dialect {
            Dialect::Sqlite => 1,
            Dialect::Postgres => WRITERS,
        };
        let (queue, ops) = mpsc::channel(MOST);
        let ops = Arc::new(Mutex::new(ops));
        for _ in 0..writers {
            tokio::spawn(write_in_groups(database.clone(), ops.clone()));
        }
        Self { database, queue }
    }

    pub(crate) async fn commit(&self, changes: &Changes) -> Result<()> {
        let op = |reply| Op::Commit(Box::new(changes.clone()), reply);
        ask(&self.queue, op).await
    }

    pub(crate) async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        match self.database.dialect {
            Dialect::Sqlite => ask(&self.queue, |reply| Op::Claim(claim.clone(), reply)).await,
            Dialect::Postgres => self.database.claim_alone(claim).await,
        }
    }
}

async fn ask<T>(
    queue: &mpsc::Sender<Op>,
    op: impl FnOnce(oneshot::Sender<Result<T>>) -> Op,
) -> Result<T> {
    let gone = || Error::unreachable("The task that writes to the database has ended.");
    let (reply, answer) = oneshot::channel();
    queue.send(op(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// Takes what waits, without waiting for more, and writes it in one transaction. Nobody is answered before that is
/// durable.
async fn write_in_groups(database: Arc<Database>, ops: Arc<Mutex<mpsc::Receiver<Op>>>) {
    let mut waiting = Vec::new();
    while ops.lock().await.recv_many(&mut waiting, MOST).await > 0 {
        let (mut commits, mut claims) = (Vec::new(), Vec::new());
        for op in waiting.drain(..) {
            match op {
                Op::Commit(changes, reply) => commits.push((*changes, reply)),
                Op::Claim(claim, reply) => claims.push((claim, reply)),
            }
        }
        for (claim, reply) in claims {
            // Whoever has gone meanwhile finds the work again when its lease is over.
            let _ = reply.send(database.claim_alone(&claim).await);
        }
        let changes: Vec<_> = commits.iter().map(|(changes, _)| changes).collect();
        let results = database.commit_group(&changes).await;
        for ((_, reply), result) in commits.into_iter().zip(results) {
            let _ = reply.send(result);
        }
    }
}

impl Database {
    /// One commit in a transaction of its own.
    async fn commit_alone(&self, changes: &Changes) -> Result<()> {
        for _ in 0..TRIES {
            match self.transact(&[changes]).await {
                Ok(mut results) => return results.pop().unwrap_or(Ok(())),
                Err(error) if lost_a_race(&error) => {}
                Err(error) => return Err(ours(error, "commit")),
            }
        }
        Err(Error::conflict("Too many others write the same rows.").during("commit"))
    }

    /// Many commits in one transaction; each on its own if a statement fails that only some of them may be to blame
    /// for.
    async fn commit_group(&self, commits: &[&Changes]) -> Vec<Result<()>> {
        match commits {
            [] => return Vec::new(),
            [one] => return vec![self.commit_alone(one).await],
            _ => {}
        }
        let mut tries = 0..TRIES;
        let error = loop {
            match self.transact(commits).await {
                Ok(results) => return results,
                Err(error) if lost_a_race(&error) && tries.next().is_some() => {}
                Err(error) => break ours(error, "commit"),
            }
        };
        if *error.kind() == ErrorKind::Unreachable {
            return vec![Err(error); commits.len()];
        }
        let mut results = Vec::new();
        for changes in commits {
            results.push(self.commit_alone(changes).await);
        }
        results
    }

    /// Judges the commits one after another, and writes what is allowed; durable when it returns.
    async fn transact(&self, commits: &[&Changes]) -> sqlx::Result<Vec<Result<()>>> {
        let mut transaction = self.pool.begin_with(self.dialect.begin()).await?;
        let mut db = Db {
            connection: &mut transaction,
            dialect: self.dialect,
        };
        let mut batch = Batch::load(&mut db, commits.iter().copied()).await?;
        let results: Vec<_> = commits.iter().map(|changes| batch.judge(changes)).collect();
        if results.iter().all(Result::is_err) {
            transaction.rollback().await?;
            return Ok(results);
        }
        batch.write(&mut db).await?;
        let (newest, now) = batch.times();
        self.clean(&mut db, newest, now).await?;
        transaction.commit().await?;
        Ok(results)
    }

    async fn claim_alone(&self, claim: &Claim) -> Result<Vec<Work>> {
        let claimed = async {
            let mut connection = self.pool.acquire().await?;
            let token = Token::random(&self.entropy);
            work::claim(&mut connection, self.dialect, claim, token).await
        };
        claimed.await.map_err(|e| ours(e, "claim work"))
    }

    /// Removes what is past its time, now and then.
    async fn clean(&self, db: &mut Db<'_>, newest: Time, now: Time) -> sqlx::Result<()> {
        let time = newest.max(now);
        let cleaned = Time::from_micros(self.cleaned.load(Ordering::Relaxed));
        if time < cleaned + CLEANING {
            return Ok(());
        }
        events::forget_old(db, newest).await?;
        documents::forget_expired(db, now - EXPIRED_FOR).await?;
        self.cleaned.store(time.as_micros(), Ordering::Relaxed);
        Ok(())
    }
}
