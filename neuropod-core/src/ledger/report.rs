//! What a proof has found.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::AccountId;
use crate::store::LedgerKey;

/// What was looked at, and what is wrong with it: nothing, if there are no findings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many customers' accounts.
    pub accounts: u64,
    /// How many transfers.
    pub transfers: u64,
    /// How many of those come from before their account had a chain.
    pub unchained: u64,
    /// How many meters.
    pub meters: u64,
    /// What is wrong.
    pub findings: BTreeSet<Finding>,
}

/// A row that is not what it should be. Of a chain that is broken the first such row is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which row.
    pub row: LedgerKey,
    /// In whose chain.
    pub account: Option<AccountId>,
    /// What is wrong: the rest of a sentence that begins with the row.
    pub message: String,
}

impl Report {
    pub(super) fn find(&mut self, row: LedgerKey, account: Option<AccountId>, message: String) {
        self.findings.insert(Finding {
            row,
            account,
            message,
        });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.row, &self.account) {
            (LedgerKey::Transfer(_), Some(account)) => {
                write!(f, "{}, of account {account}, {}", self.row, self.message)
            }
            _ => write!(f, "{} {}", self.row, self.message),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let found = match self.findings.len() {
            0 => "nothing is wrong".to_owned(),
            n => format!("{n} findings"),
        };
        write!(
            f,
            "{} accounts, {} transfers ({} from before the chains), {} meters: {found}",
            self.accounts, self.transfers, self.unchained, self.meters
        )
    }
}
