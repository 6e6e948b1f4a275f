//! What a vendor calls a GPU, as the catalogue has it.

use super::{GpuEntry, GpuMatch, GpuSpecs, PriceList};
use crate::id::GpuId;
use crate::money::Money;
use crate::orchestrator::Device;

/// What stands before the name of every product of theirs.
const VENDOR: [&str; 2] = ["nvidia", "geforce"];
const ID_MAX: usize = 40;

/// The words of a product's name, without the vendor's.
fn words(product: &str) -> impl Iterator<Item = &str> {
    let words = product.split_whitespace();
    words.filter(|word| !VENDOR.iter().any(|v| v.eq_ignore_ascii_case(word)))
}

/// The product's name in lower case, with a dash for whatever is neither letter nor digit: `rtx-4050` of
/// `NVIDIA GeForce RTX 4050`. Names that differ otherwise are the same product.
pub(super) fn slug(product: &str) -> String {
    let name = words(product)
        .collect::<Vec<_>>()
        .join("-")
        .to_ascii_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

impl PriceList {
    /// Adds an entry at `price` for each product that none stands for. Answers the new ids.
    pub fn add_products(&mut self, devices: &[Device], price: Money) -> Vec<GpuId> {
        let mut added = Vec::new();
        for device in devices {
            let fits = |entry: &GpuEntry| entry.matches.fits(&device.product, device.memory_mib);
            if self.gpus.values().any(fits) {
                continue;
            }
            let id = self.free_id(&slug(&device.product));
            self.gpus.insert(id.clone(), entry(device, price));
            added.push(id);
        }
        added
    }

    /// An id that nothing has yet, as near to `name` as can be.
    fn free_id(&self, name: &str) -> GpuId {
        let name = if name.len() < 2 { "gpu" } else { name };
        let numbered = |n: u32| {
            let number = if n > 1 {
                format!("-{n}")
            } else {
                String::new()
            };
            let room = name.len().min(ID_MAX - number.len());
            GpuId::new(name[..room].trim_end_matches('-').to_owned() + &number)
        };
        let mut ids = (1..).map(numbered);
        ids.find(|id| !self.gpus.contains_key(id))
            .expect("there are more numbers than entries")
    }
}

fn entry(device: &Device, price: Money) -> GpuEntry {
    GpuEntry {
        name: words(&device.product).collect::<Vec<_>>().join(" "),
        price,
        available: true,
        specs: GpuSpecs {
            memory: format!("{}GB", (device.memory_mib + 512) / 1024),
            cores: 0,
            performance: "-".to_owned(),
        },
        matches: GpuMatch {
            products: vec![device.product.clone()],
            memory_mib: 0,
        },
        devices: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(product: &str, memory_mib: u64) -> Device {
        Device {
            id: "GPU-1".into(),
            product: product.to_owned(),
            memory_mib,
            healthy: true,
        }
    }

    #[test]
    fn a_product_has_one_name_however_it_is_written() {
        for (product, name) in [
            ("NVIDIA GeForce RTX 4050 Laptop GPU", "rtx-4050-laptop-gpu"),
            ("nvidia RTX 4050", "rtx-4050"),
            ("rtx-4050", "rtx-4050"),
            (
                "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
                "a100-sxm4-40gb-mig-1g-5gb",
            ),
            ("NVIDIA", ""),
        ] {
            assert_eq!(slug(product), name);
        }
        let list = PriceList::seed();
        let seeded = &list.gpus[&GpuId::from("rtx-4050")].matches;
        assert!(seeded.fits("RTX 4050", 6141) && !seeded.fits("RTX 4050 Ti", 6141));
    }

    #[test]
    fn a_product_without_an_entry_gets_one_that_stands_for_it() {
        let mut list = PriceList::seed();
        let price = Money::from_micros(7);
        let long = format!("NVIDIA {} MIG", "x".repeat(50));
        let devices = [
            device("RTX 4090", 24_564),
            device("NVIDIA H100 80GB HBM3", 81_559),
            device("h100-80gb-hbm3", 81_559),
            device(&long, 1),
            device(&format!("{long} 2"), 1),
            device("NVIDIA", 1),
        ];
        let added = list.add_products(&devices, price);
        let x = |n: usize| "x".repeat(n);
        let expected = [
            "h100-80gb-hbm3".to_owned(),
            x(40),
            x(38) + "-2",
            "gpu".to_owned(),
        ];
        assert_eq!(added, expected.map(GpuId::new));
        let entry = &list.gpus[&added[0]];
        assert_eq!(
            (entry.name.as_str(), entry.price),
            ("H100 80GB HBM3", price)
        );
        assert_eq!((entry.specs.memory.as_str(), entry.devices), ("80GB", 1));
        assert_eq!(list.add_products(&devices, price), []);
    }

    #[test]
    fn an_entry_that_asks_for_more_memory_keeps_its_id() {
        let mut list = PriceList::seed();
        let id = GpuId::from("rtx-4090");
        list.gpus.get_mut(&id).unwrap().matches.memory_mib = 48_000;
        let added = list.add_products(&[device("RTX 4090", 24_564)], Money::ZERO);
        assert_eq!(added, [GpuId::from("rtx-4090-2")]);
    }
}
