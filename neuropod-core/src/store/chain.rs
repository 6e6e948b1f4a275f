//! The hash chain of a customer's account: each transfer that touches it is numbered there, and its hash covers the one
//! before. A change of anything in it shows in every hash after, the account's own head included.

use serde::{Deserialize, Serialize};

use super::{Charge, Transfer};
use crate::id::{AccountId, Hash};
use crate::money::Money;

/// A place in the chain of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// How many transfers there are up to here; 0 before the first.
    pub seq: u64,
    /// Covers all of them.
    pub hash: Hash,
}

/// A transfer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The transfer.
    pub transfer: Transfer,
    /// Its place in the chain of the account that it went from, if that is a customer's. A row of a release without
    /// chains has none.
    pub debit: Option<Link>,
    /// Its place in the chain of the account that it went to, likewise.
    pub credit: Option<Link>,
}

impl Booked {
    /// Its place in the chain of `account`.
    pub fn link(&self, account: &AccountId) -> Option<Link> {
        if *account == self.transfer.credit {
            self.credit
        } else {
            self.debit
        }
    }
}

impl Link {
    /// The place of `transfer` after this one in the chain of `account`. The first one's hash covers what the account
    /// had before it was chained.
    pub fn next(&self, account: &AccountId, had: Money, transfer: &Transfer) -> Self {
        let seq = self.seq + 1;
        let mut text = Canonical(Vec::with_capacity(512));
        text.bytes(b"neuropod transfer 1");
        if self.seq == 0 {
            text.number(had.as_micros());
        } else {
            text.bytes(self.hash.as_bytes());
        }
        text.bytes(account.as_str().as_bytes());
        text.bytes(&seq.to_be_bytes());
        text.transfer(transfer);
        Self {
            seq,
            hash: Hash::of(&text.0),
        }
    }
}

/// What is hashed. Each text comes after its length, so that no two contents are one sequence of bytes.
struct Canonical(Vec<u8>);

impl Canonical {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
    }

    fn number(&mut self, n: i64) {
        self.0.extend(n.to_be_bytes());
    }

    /// Whether the rest is there.
    fn there<T>(&mut self, value: &Option<T>) {
        self.0.push(u8::from(value.is_some()));
    }

    fn transfer(&mut self, t: &Transfer) {
        for text in [&t.id, t.debit.as_str(), t.credit.as_str(), &t.memo] {
            self.bytes(text.as_bytes());
        }
        self.number(t.amount.as_micros());
        self.number(t.at.as_micros());
        self.there(&t.actor);
        if let Some(actor) = t.actor {
            self.bytes(actor.to_string().as_bytes());
        }
        self.there(&t.charge);
        if let Some(Charge { meter, used }) = &t.charge {
            self.bytes(meter.to_string().as_bytes());
            self.bytes(used.product.as_bytes());
            self.number(i64::from(used.quantity));
            self.number(used.rate.as_micros());
            self.number(used.from.as_micros());
            self.number(used.to.as_micros());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PodId, UserId};
    use crate::store::{Meter, Used};
    use crate::time::Time;

    fn transfer() -> Transfer {
        Transfer {
            id: "t".to_owned(),
            debit: AccountId::from("user:a"),
            credit: AccountId::from("revenue"),
            amount: Money::from_micros(5),
            memo: "memo".to_owned(),
            actor: Some(UserId::from_bytes([1; 12])),
            at: Time::from_micros(7),
            charge: Some(Charge {
                meter: Meter::Run(PodId::from_bytes([2; 8]), 3),
                used: Used {
                    product: "gpu".to_owned(),
                    quantity: 1,
                    rate: Money::from_micros(11),
                    from: Time::from_micros(1),
                    to: Time::from_micros(2),
                },
            }),
        }
    }

    /// The hashes of released chains must stay what they are.
    #[test]
    fn a_hash_is_the_same_in_every_release() {
        let link = Link::default().next(&AccountId::from("user:a"), Money::ZERO, &transfer());
        assert_eq!(link.seq, 1);
        let expected = "2cc82993a6b34a03a9f6873c24a76851c29f6e08ec25876cf4d77f3d258bce06";
        assert_eq!(link.hash.to_string(), expected);
    }

    #[test]
    fn everything_is_in_the_hash() {
        let account = AccountId::from("user:a");
        let change = |f: &dyn Fn(&mut Transfer)| {
            let mut t = transfer();
            f(&mut t);
            Link::default().next(&account, Money::ZERO, &t).hash
        };
        let used = |f: &dyn Fn(&mut Used)| change(&|t| f(&mut t.charge.as_mut().unwrap().used));
        let one = Money::from_micros(1);
        let after = Link {
            seq: 1,
            ..Link::default()
        };
        let hashes = [
            change(&|_| {}),
            change(&|t| t.id = "u".to_owned()),
            change(&|t| (t.id, t.memo) = ("tm".to_owned(), "emo".to_owned())),
            change(&|t| t.debit = AccountId::from("user:b")),
            change(&|t| t.credit = AccountId::from("grants")),
            change(&|t| t.amount = one),
            change(&|t| t.memo = String::new()),
            change(&|t| t.actor = None),
            change(&|t| t.actor = Some(UserId::from_bytes([2; 12]))),
            change(&|t| t.at = Time::EPOCH),
            change(&|t| t.charge = None),
            change(&|t| {
                t.charge.as_mut().unwrap().meter = Meter::Volume(PodId::from_bytes([2; 8]))
            }),
            used(&|u| u.product = "other".to_owned()),
            used(&|u| u.quantity = 2),
            used(&|u| u.rate = one),
            used(&|u| u.from = Time::EPOCH),
            used(&|u| u.to = Time::EPOCH),
            Link::default().next(&account, one, &transfer()).hash,
            Link::default()
                .next(&AccountId::from("user:b"), Money::ZERO, &transfer())
                .hash,
            after.next(&account, Money::ZERO, &transfer()).hash,
            Link {
                hash: Hash::from_bytes([1; 32]),
                ..after
            }
            .next(&account, Money::ZERO, &transfer())
            .hash,
        ];
        let different: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
    }
}
