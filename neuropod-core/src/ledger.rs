//! Proof of the ledger: everything that follows from something else is computed again and compared, row by row, and the
//! rows that were touched by anybody but the store are named.
//!
//! Each customer's account has a chain of hashes over its transfers. Whoever may write to the database can compute a
//! whole chain anew, so [`heads`] are to be kept elsewhere: [`verify`] then proves that what they named is still the
//! beginning of today's chains.

mod chain;
mod heads;
mod report;
mod tally;

use std::collections::BTreeMap;

pub use heads::Heads;
pub use report::{Finding, Report};

use crate::error::Result;
use crate::id::{AccountId, PodId};
use crate::pod::Pod;
use crate::store::{
    Account, Booked, LedgerFilter, LedgerKey, LedgerQuery, LedgerRow, Link, Meter, PodFilter,
    PodQuery, Store, Transfer,
};
use chain::Chain;
use tally::Tally;

const PAGE: u32 = 1000;

/// The end of every customer's chain.
///
/// # Errors
/// If the store does not answer.
pub async fn heads(store: &dyn Store) -> Result<Heads> {
    let mut heads = BTreeMap::new();
    let mut rows = Rows::of(store, LedgerFilter::Accounts);
    while let Some(row) = rows.next().await? {
        if let LedgerRow::Account(account) = row
            && account.head.seq > 0
        {
            heads.insert(account.id, account.head);
        }
    }
    Ok(Heads(heads))
}

/// Computes everything anew. Others may write meanwhile. With `since`, what was the end of a chain then must still be
/// in it.
///
/// # Errors
/// If the store does not answer; whatever is wrong with the ledger is in the report.
pub async fn verify(store: &dyn Store, since: Option<&Heads>) -> Result<Report> {
    let mut proof = Proof {
        store,
        since: since.map(|heads| heads.0.clone()).unwrap_or_default(),
        tally: Tally::default(),
        report: Report::default(),
    };
    proof.meters().await?;
    proof.transfers().await?;
    proof.accounts().await?;
    proof.sums().await?;
    proof.pods().await?;
    Ok(proof.report)
}

struct Proof<'s> {
    store: &'s dyn Store,
    /// Heads whose accounts were not found yet.
    since: BTreeMap<AccountId, Link>,
    tally: Tally,
    report: Report,
}

impl Proof<'_> {
    /// What is posted of each meter: read before its transfers and its pod, so that what they lack of it is missing.
    async fn meters(&mut self) -> Result<()> {
        let mut rows = Rows::of(self.store, LedgerFilter::Meters);
        while let Some(row) = rows.next().await? {
            match row {
                LedgerRow::Meter(meter, posted) => {
                    self.report.meters += 1;
                    self.tally.posted(meter, posted);
                }
                other => self.touched(other),
            }
        }
        Ok(())
    }

    /// Each transfer by itself, whichever accounts it says that it touches.
    async fn transfers(&mut self) -> Result<()> {
        let mut rows = Rows::of(self.store, LedgerFilter::Transfers);
        while let Some(row) = rows.next().await? {
            match row {
                LedgerRow::Transfer(booked) => {
                    self.report.transfers += 1;
                    self.report.unchained += u64::from(is_unchained(&booked));
                    self.tally.transfer(&booked.transfer, &mut self.report);
                }
                other => self.touched(other),
            }
        }
        Ok(())
    }

    async fn accounts(&mut self) -> Result<()> {
        let mut rows = Rows::of(self.store, LedgerFilter::Accounts);
        while let Some(row) = rows.next().await? {
            match row {
                LedgerRow::Account(account) => self.account(&account).await?,
                LedgerRow::NoAccount(id) => self.account(&Account::new(id)).await?,
                LedgerRow::Touched(key) => {
                    if let LedgerKey::Account(id) = &key {
                        self.since.remove(&AccountId::new(id.as_str()));
                    }
                    self.touched(LedgerRow::Touched(key));
                }
                other => self.touched(other),
            }
        }
        for (account, link) in std::mem::take(&mut self.since) {
            let message = format!("is gone, with the {} transfers that it had", link.seq);
            let key = LedgerKey::Account(account.to_string());
            self.report.find(key, Some(account), message);
        }
        Ok(())
    }

    async fn account(&mut self, account: &Account) -> Result<()> {
        self.report.accounts += 1;
        let since = self.since.remove(&account.id);
        let mut chain = Chain::of(account, since);
        let mut touched = false;
        let filter = LedgerFilter::Account(account.id.clone());
        let mut rows = Rows::of(self.store, filter);
        while let Some(row) = rows.next().await? {
            match row {
                LedgerRow::Transfer(booked) => chain.add(*booked),
                other => {
                    touched = true;
                    self.touched(other);
                }
            }
        }
        // Transfers after the head are another's, who wrote while they were read, or nobody's.
        let now = match chain.goes_on() {
            true => self.store.account(&account.id).await?,
            false => None,
        };
        // Of a chain with a row that is named already, the rest follows from that.
        if !touched {
            let newest = now.map_or(account.head.seq, |now| now.head.seq);
            chain.end(newest, &mut self.report);
        }
        Ok(())
    }

    /// Compares what is posted of each meter with its transfers. A meter that moves meanwhile is left out.
    async fn sums(&mut self) -> Result<()> {
        for meter in self.tally.unequal() {
            let now = self.store.meters(&[meter]).await?[0];
            if now == self.tally.read(meter) {
                self.tally.report(meter, &mut self.report);
            }
        }
        Ok(())
    }

    /// Compares which meters are closed with what the pods say: a run and its meter are closed by one write.
    async fn pods(&mut self) -> Result<()> {
        let mut query = PodQuery {
            filter: PodFilter::Alive,
            after: None,
            limit: PAGE,
        };
        let mut open = self.tally.open();
        loop {
            let page = self.store.pods(&query).await?;
            for pod in &page.items {
                for meter in open_meters(pod) {
                    open.remove(&meter);
                    if self.tally.is_closed(meter) {
                        self.meter(meter, "is closed, although its pod still counts");
                    }
                }
                // Closed with the pod's last commit.
                open.remove(&Meter::Volume(pod.id));
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        for meter in open {
            let now = self.store.meters(&[meter]).await?[0];
            if now == self.tally.read(meter) && !self.counts(meter).await? {
                self.meter(meter, "is open, although its pod does not count any more");
            }
        }
        Ok(())
    }

    /// Whether the pod of a meter still counts for it: it may be newer than the list.
    async fn counts(&self, meter: Meter) -> Result<bool> {
        let id: PodId = match meter {
            Meter::Run(pod, _) | Meter::Volume(pod) => pod,
        };
        let pod = self.store.pod(id).await?;
        Ok(pod.is_some_and(|pod| open_meters(&pod).any(|open| open == meter)))
    }

    fn meter(&mut self, meter: Meter, message: &str) {
        let key = LedgerKey::Meter(meter.to_string());
        self.report.find(key, None, message.to_owned());
    }

    fn touched(&mut self, row: LedgerRow) {
        if let LedgerRow::Touched(key) = row {
            let message = "is not as it was written".to_owned();
            self.report.find(key, None, message);
        }
    }
}

/// Whether it touches a customer's account and comes from before that had a chain.
fn is_unchained(booked: &Booked) -> bool {
    let Transfer { debit, credit, .. } = &booked.transfer;
    let sides = [(debit, booked.debit), (credit, booked.credit)];
    let mut sides = sides.iter();
    sides.any(|(account, link)| account.is_customer() && link.is_none())
}

/// The meters that the row of a pod says are open.
fn open_meters(pod: &Pod) -> impl Iterator<Item = Meter> + use<> {
    let run = pod.run.as_ref().map(|run| Meter::Run(pod.id, run.n));
    let volume = pod.volume.as_ref().filter(|volume| !volume.closed);
    run.into_iter().chain(volume.map(|_| Meter::Volume(pod.id)))
}

/// All rows of a filter, page after page.
struct Rows<'s> {
    store: &'s dyn Store,
    query: Option<LedgerQuery>,
    page: std::vec::IntoIter<LedgerRow>,
}

impl<'s> Rows<'s> {
    fn of(store: &'s dyn Store, filter: LedgerFilter) -> Self {
        let query = LedgerQuery {
            filter,
            after: None,
            limit: PAGE,
        };
        Self {
            store,
            query: Some(query),
            page: Vec::new().into_iter(),
        }
    }

    async fn next(&mut self) -> Result<Option<LedgerRow>> {
        loop {
            if let Some(row) = self.page.next() {
                return Ok(Some(row));
            }
            let Some(query) = &mut self.query else {
                return Ok(None);
            };
            let page = self.store.ledger(query).await?;
            self.page = page.items.into_iter();
            match page.next {
                Some(after) => query.after = Some(after),
                None => self.query = None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
