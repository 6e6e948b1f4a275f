//! Whether a price list makes sense.

use super::{GpuEntry, PriceList};
use crate::error::{Error, FieldError, Result};
use crate::id::GpuId;
use crate::money::{MOST, Money};

impl PriceList {
    /// Judges the whole list at once.
    ///
    /// # Errors
    /// `Invalid` with every wrong field by its JSON pointer in a body of the API.
    pub fn check(&self) -> Result<()> {
        let mut wrong = Vec::new();
        let mut note = |pointer: String, message: &str| {
            let message = message.to_owned();
            wrong.push(FieldError { pointer, message });
        };
        for (id, entry) in &self.gpus {
            for (field, message) in wrong_in(id, entry) {
                note(format!("/gpus/{id}{field}"), message);
            }
        }
        let amounts = [
            ("/storage/containerDisk/price", self.container_disk.price),
            ("/storage/volumeDisk/price", self.volume_disk.price),
            ("/freeTier/initialBalance", self.free_tier.initial_balance),
        ];
        for (pointer, amount) in amounts {
            if !is_price(amount) {
                note(
                    pointer.to_owned(),
                    "It is 0 to 1000000, with at most six decimals.",
                );
            }
        }
        for (pointer, storage) in [
            ("/storage/containerDisk", &self.container_disk),
            ("/storage/volumeDisk", &self.volume_disk),
        ] {
            if storage.unit.len() > 100 {
                note(format!("{pointer}/unit"), "A unit has at most 100 bytes.");
            }
            if storage.description.len() > 500 {
                note(
                    format!("{pointer}/description"),
                    "A description has at most 500 bytes.",
                );
            }
        }
        let limits = &self.limits;
        let numbers = [
            (
                "/limits/containerDiskMax",
                limits.container_disk_max,
                100_000,
            ),
            ("/limits/volumeDiskMax", limits.volume_disk_max, 100_000),
            ("/limits/portsMax", limits.ports_max, 100),
            ("/limits/podsPerUser", limits.pods_per_user, 100_000),
        ];
        for (pointer, number, most) in numbers {
            if !(1..=most).contains(&number) {
                note(
                    pointer.to_owned(),
                    &format!("It is a whole number, 1 to {most}."),
                );
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid_fields(wrong)),
        }
    }
}

fn is_price(amount: Money) -> bool {
    (Money::ZERO..=MOST).contains(&amount)
}

fn wrong_in(id: &GpuId, entry: &GpuEntry) -> Vec<(&'static str, &'static str)> {
    let is_id = (2..=40).contains(&id.as_str().len())
        && id
            .as_str()
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let rules = [
        (
            is_id,
            "",
            "A GPU's id has 2 to 40 of the characters a-z, 0-9 and -.",
        ),
        (
            is_price(entry.price),
            "/price",
            "It is 0 to 1000000, with at most six decimals.",
        ),
        (
            !entry.name.trim().is_empty() && entry.name.len() <= 100,
            "/name",
            "A name has 1 to 100 bytes.",
        ),
        (
            entry.specs.memory.len() <= 100,
            "/specs/memory",
            "It has at most 100 bytes.",
        ),
        (
            entry.specs.performance.len() <= 100,
            "/specs/performance",
            "It has at most 100 bytes.",
        ),
        (
            entry.specs.cores <= 1_000_000,
            "/specs/cores",
            "It is a whole number, 0 to 1000000.",
        ),
        (
            entry.matches.products.len() <= 20
                && entry.matches.products.iter().all(|name| name.len() <= 100),
            "/match/products",
            "At most 20 products, each of at most 100 bytes.",
        ),
        (
            entry.matches.memory_mib <= 100_000_000,
            "/match/memoryMiB",
            "It is a whole number, 0 to 100000000.",
        ),
        (
            entry.devices <= 64,
            "/devices",
            "It is a whole number, 0 to 64.",
        ),
        (
            entry.devices == 0 || !entry.matches.products.is_empty(),
            "/match",
            "What takes devices says which: \"match\" names at least one product.",
        ),
    ];
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    broken.map(|(_, field, message)| (field, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_all_at_once() {
        assert!(PriceList::seed().check().is_ok());
        let mut list = PriceList::seed();
        let mut entry = list.gpus[&GpuId::from("rtx-4050")].clone();
        entry.price = Money::from_micros(-1);
        entry.matches.products.clear();
        list.gpus.insert(GpuId::from("RTX"), entry);
        list.volume_disk.price = MOST + Money::from_micros(1);
        list.limits.ports_max = 0;
        let error = list.check().unwrap_err();
        let pointers: Vec<_> = error.fields().iter().map(|f| f.pointer.as_str()).collect();
        let expected = [
            "/gpus/RTX",
            "/gpus/RTX/price",
            "/gpus/RTX/match",
            "/storage/volumeDisk/price",
            "/limits/portsMax",
        ];
        assert_eq!(pointers, expected);
    }
}
