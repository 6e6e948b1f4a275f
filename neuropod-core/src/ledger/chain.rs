//! One account's transfers against its chain and its row.

use std::collections::BTreeMap;

use super::Report;
use crate::money::Money;
use crate::store::{Account, Booked, LedgerKey, Link};

/// Transfers come about in the order of their numbers: one whose commit took longer may come later. When so many wait
/// for one before them, that one is missing.
const WAITING: usize = 10_000;

/// A walk along a chain, up to the head that the account's row names.
pub(super) struct Chain<'a> {
    account: &'a Account,
    since: Option<Link>,
    /// The place that the walk has come to.
    at: Link,
    /// Whether the hash of that place is known: not after a transfer that is missing.
    known: bool,
    waiting: BTreeMap<u64, Booked>,
    /// What the transfers from before the chain add up to.
    unchained: i128,
    /// What the transfers up to the head add up to, beside those.
    chained: i128,
    /// The first transfer after the head, and the last one's number.
    beyond: Option<(LedgerKey, u64)>,
    /// What is wrong first: the rest follows from it.
    wrong: Option<(LedgerKey, String)>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(account: &'a Account, since: Option<Link>) -> Self {
        Self {
            account,
            since,
            at: Link::default(),
            known: true,
            waiting: BTreeMap::new(),
            unchained: 0,
            chained: 0,
            beyond: None,
            wrong: None,
        }
    }

    /// Whether there are transfers after the head.
    pub(super) fn goes_on(&self) -> bool {
        self.beyond.is_some()
    }

    /// The next transfer that touches the account.
    pub(super) fn add(&mut self, booked: Booked) {
        let amount = booked.transfer.amount_for(&self.account.id).as_micros();
        let Some(link) = booked.link(&self.account.id) else {
            if self.at.seq > 0 {
                self.wrong(key(&booked), "has no place in the chain");
            }
            self.unchained += i128::from(amount);
            return;
        };
        if link.seq > self.account.head.seq {
            let (_, last) = self.beyond.get_or_insert((key(&booked), link.seq));
            *last = link.seq.max(*last);
            return;
        }
        self.chained += i128::from(amount);
        if link.seq <= self.at.seq || self.waiting.contains_key(&link.seq) {
            self.wrong(key(&booked), "stands in the chain where another one stands");
            return;
        }
        self.waiting.insert(link.seq, booked);
        self.walk();
        if self.waiting.len() > WAITING {
            self.skip();
        }
    }

    /// Goes on as long as the next one is there.
    fn walk(&mut self) {
        while let Some(booked) = self.waiting.remove(&(self.at.seq + 1)) {
            let Some(stored) = booked.link(&self.account.id) else {
                return;
            };
            let had = Money::from_micros(i64::try_from(self.unchained).unwrap_or(i64::MAX));
            let computed = self.at.next(&self.account.id, had, &booked.transfer);
            if self.known && computed != stored {
                let message = "does not have the hash of its content and of those before it";
                self.wrong(key(&booked), message);
            }
            let then = self.since.filter(|since| since.seq == stored.seq);
            if then.is_some_and(|then| then != stored) {
                let message =
                    "is another one, or comes after others, than when the heads were taken";
                self.wrong(key(&booked), message);
            }
            (self.at, self.known) = (stored, true);
        }
    }

    /// Leaves out what is missing before the next one that is there.
    fn skip(&mut self) {
        if let Some((&seq, next)) = self.waiting.first_key_value() {
            let message =
                format!("has number {seq} in the chain, but the one before it is missing");
            let key = key(next);
            self.wrong(key, message);
            (self.at.seq, self.known) = (seq - 1, false);
            self.walk();
        }
    }

    /// What is wrong with it: `newest` is the number of the account's last transfer by now.
    pub(super) fn end(mut self, newest: u64, report: &mut Report) {
        while !self.waiting.is_empty() {
            self.skip();
        }
        let (account, head) = (self.account, self.account.head);
        let row = || LedgerKey::Account(account.id.to_string());
        if self.at.seq < head.seq {
            let (all, there) = (head.seq, self.at.seq);
            let message =
                format!("has {all} transfers by its row, of which only {there} are there");
            self.wrong(row(), message);
        } else if self.at != head {
            self.wrong(row(), "has another hash than its last transfer");
        }
        if self.unchained + self.chained != i128::from(account.posted.as_micros()) {
            self.wrong(row(), "has another balance than its transfers add up to");
        }
        if let Some((key, last)) = self.beyond.take()
            && last > newest
        {
            self.wrong(
                key,
                "stands after the end of the chain that the account's row names",
            );
        }
        if let Some(since) = self.since.filter(|since| since.seq > head.seq) {
            let (now, then) = (head.seq, since.seq);
            let message = format!("has {now} transfers, and had {then} when the heads were taken");
            self.wrong(row(), message);
        }
        if let Some((row, message)) = self.wrong {
            report.find(row, Some(account.id.clone()), message);
        }
    }

    fn wrong(&mut self, row: LedgerKey, message: impl Into<String>) {
        self.wrong.get_or_insert((row, message.into()));
    }
}

fn key(booked: &Booked) -> LedgerKey {
    LedgerKey::Transfer(booked.transfer.id.clone())
}
