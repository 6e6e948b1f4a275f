//! What is posted of meters against their transfers.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::id::AccountId;
use crate::money::Money;
use crate::store::{LedgerKey, Meter, Posted, Transfer};

/// Of each meter: its row, and what its transfers add up to.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<Meter, Sum>);

#[derive(Default)]
struct Sum {
    posted: Option<Posted>,
    booked: i128,
    payer: Option<AccountId>,
}

impl Tally {
    pub(super) fn posted(&mut self, meter: Meter, posted: Posted) {
        self.0.entry(meter).or_default().posted = Some(posted);
    }

    /// Counts a transfer.
    pub(super) fn transfer(&mut self, transfer: &Transfer, report: &mut Report) {
        let mut wrong = |message: &str| {
            let row = LedgerKey::Transfer(transfer.id.clone());
            report.find(row, None, message.to_owned());
        };
        if transfer.amount <= Money::ZERO || transfer.debit == transfer.credit {
            wrong("moves nothing");
        }
        let meter = transfer.id.strip_prefix("meter/").map(|rest| {
            let (meter, _) = rest.rsplit_once('/')?;
            meter.parse::<Meter>().ok()
        });
        let charged = transfer.charge.as_ref().map(|charge| charge.meter);
        let meter = match (meter, charged) {
            (None, None) => return,
            (Some(Some(meter)), charged) if charged.is_none_or(|charged| charged == meter) => meter,
            _ => return wrong("is not of the meter that its id names"),
        };
        let revenue = AccountId::from("revenue");
        let (payer, amount) = match (&transfer.debit, &transfer.credit) {
            (payer, to) if *to == revenue => (payer, transfer.amount.as_micros()),
            (from, payer) if *from == revenue => (payer, -transfer.amount.as_micros()),
            _ => return wrong("is a meter's, but not between a payer and revenue"),
        };
        let sum = self.0.entry(meter).or_default();
        sum.booked += i128::from(amount);
        if sum.payer.get_or_insert_with(|| payer.clone()) != payer {
            wrong("has another payer than others of the same meter");
        }
    }

    /// The row of a meter as it was read.
    pub(super) fn read(&self, meter: Meter) -> Option<Posted> {
        self.0.get(&meter).and_then(|sum| sum.posted)
    }

    /// Meters whose rows differ from their transfers.
    pub(super) fn unequal(&self) -> Vec<Meter> {
        let unequal = self.0.iter().filter(|(_, sum)| {
            let posted = sum.posted.map_or(0, |p| i128::from(p.total.as_micros()));
            posted != sum.booked
        });
        unequal.map(|(meter, _)| *meter).collect()
    }

    /// Says that the row of a meter differs from its transfers.
    pub(super) fn report(&self, meter: Meter, report: &mut Report) {
        let message = match self.read(meter) {
            Some(_) => "has another total than its transfers add up to",
            None => "is gone, although there are transfers of it",
        };
        let row = LedgerKey::Meter(meter.to_string());
        report.find(row, None, message.to_owned());
    }

    pub(super) fn is_closed(&self, meter: Meter) -> bool {
        self.read(meter).is_some_and(|posted| posted.closed)
    }

    pub(super) fn open(&self) -> BTreeSet<Meter> {
        let open = |sum: &Sum| sum.posted.is_some_and(|posted| !posted.closed);
        let meters = self.0.iter().filter(|(_, sum)| open(sum));
        meters.map(|(meter, _)| *meter).collect()
    }
}
