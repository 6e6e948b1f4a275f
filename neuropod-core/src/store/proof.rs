//! Rows of the ledger as its proof reads them: see [`crate::ledger`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Account, Booked, Meter, Posted};
use crate::id::AccountId;

/// Which rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerFilter {
    /// Customers' accounts by id, those too that only transfers name.
    Accounts,
    /// Transfers that touch this account, oldest first.
    Account(AccountId),
    /// Every transfer, by id.
    Transfers,
    /// Meters, in an order of the store's own.
    Meters,
}

/// Which rows of the ledger, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerQuery {
    /// Which; also sets the order.
    pub filter: LedgerFilter,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerRow {
    /// An account.
    Account(Account),
    /// An account that has no row, although transfers name it.
    NoAccount(AccountId),
    /// A transfer.
    Transfer(Box<Booked>),
    /// What is posted of a meter.
    Meter(Meter, Posted),
    /// A row that is not as the store has written it.
    Touched(LedgerKey),
}

/// Names a row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LedgerKey {
    /// A transfer, by its id.
    Transfer(String),
    /// An account, by its id.
    Account(String),
    /// A meter, by its text.
    Meter(String),
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(id) => write!(f, "transfer {id}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Meter(meter) => write!(f, "meter {meter}"),
        }
    }
}
