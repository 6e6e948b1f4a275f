//! The ends of the chains, as a text to keep elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::store::Link;

/// The end of every customer's chain at some time. As a text, a line for each: number, hash, account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heads(pub BTreeMap<AccountId, Link>);

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter();
        lines.try_for_each(|(account, head)| writeln!(f, "{} {} {account}", head.seq, head.hash))
    }
}

impl FromStr for Heads {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let read = |(n, line): (usize, &str)| {
            let bad = || {
                let n = n + 1;
                let message = format!("Line {n} of the heads is not: number, hash, account.");
                Error::invalid("", message)
            };
            let mut parts = line.splitn(3, ' ');
            let (Some(seq), Some(hash), Some(account)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(bad());
            };
            let head = Link {
                seq: seq.parse().map_err(|_| bad())?,
                hash: hash.parse().map_err(|_| bad())?,
            };
            Ok((AccountId::new(account), head))
        };
        let lines = text.lines().enumerate().map(read);
        Ok(Self(lines.collect::<Result<_>>()?))
    }
}
