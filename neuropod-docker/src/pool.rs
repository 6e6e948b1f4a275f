//! The addresses that tenants' networks are cut from. Pure.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use neuropod_core::Error;

/// Of each tenant's network: room for the 100 pods that one owner may have.
const LENGTH: u8 = 25;
/// What is bigger than the biggest private range is a mistake.
const BIGGEST: u8 = 8;

/// A range of addresses, `10.213.0.0/16` unless chosen otherwise; each tenant with a pod takes a 128th of 16,384 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPool(Subnet);

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    first: u32,
    length: u8,
}

impl Subnet {
    fn size(self) -> u64 {
        1 << (32 - self.length)
    }

    fn last(self) -> u32 {
        u32::try_from(u64::from(self.first) + self.size() - 1)
            .expect("it ends in the address space")
    }

    /// `a.b.c.d/n`; `None` if it is nothing of the kind, or begins in the middle of a block.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, length) = text.split_once('/')?;
        let first = u32::from(first.parse::<Ipv4Addr>().ok()?);
        let length = length.parse().ok().filter(|length| *length <= 32)?;
        let subnet = Self { first, length };
        (u64::from(first) % subnet.size() == 0).then_some(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

impl NetworkPool {
    /// A block for one tenant that overlaps none of `taken`, looked for from the `start`th one on.
    pub(crate) fn free(self, start: u32, taken: &[Subnet]) -> Option<Subnet> {
        let step = 1 << (32 - LENGTH);
        let count = 1_u32 << (LENGTH - self.0.length);
        let mut used = vec![false; count as usize];
        let ours =
            |subnet: &&Subnet| subnet.first <= self.0.last() && subnet.last() >= self.0.first;
        for subnet in taken.iter().filter(ours) {
            let index = |address: u32| ((address - self.0.first) / step) as usize;
            let first = index(subnet.first.max(self.0.first));
            let last = index(subnet.last().min(self.0.last()));
            used[first..=last].fill(true);
        }
        let mut all = (0..count).map(|i| (start % count + i) % count);
        let free = all.find(|i| !used[*i as usize])?;
        Some(Subnet {
            first: self.0.first + free * step,
            length: LENGTH,
        })
    }
}

impl Default for NetworkPool {
    fn default() -> Self {
        Self(Subnet::parse("10.213.0.0/16").expect("a subnet"))
    }
}

impl fmt::Display for NetworkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NetworkPool {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let subnet = Subnet::parse(text).filter(|s| (BIGGEST..=LENGTH).contains(&s.length));
        subnet.map(Self).ok_or_else(|| {
            Error::invalid(
                "",
                format!(
                    "{text:?} is no pool of networks: it takes a block of IPv4 addresses like {}, of /{BIGGEST} to /{LENGTH}.",
                    Self::default()
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str) -> NetworkPool {
        text.parse().expect("a pool")
    }

    fn subnets(texts: &[&str]) -> Vec<Subnet> {
        let parse = |text: &&str| Subnet::parse(text).expect("a subnet");
        texts.iter().map(parse).collect()
    }

    fn free(pool: NetworkPool, start: u32, taken: &[&str]) -> Option<String> {
        let free = pool.free(start, &subnets(taken))?;
        Some(free.to_string())
    }

    #[test]
    fn what_others_have_is_passed_over() {
        let pool = pool("10.1.0.0/23");
        let free = |start, taken: &[&str]| free(pool, start, taken);
        assert_eq!(free(0, &[]).unwrap(), "10.1.0.0/25");
        assert_eq!(free(6, &["10.1.1.0/25"]).unwrap(), "10.1.1.128/25");
        assert_eq!(free(3, &["10.1.1.128/28"]).unwrap(), "10.1.0.0/25");
        assert_eq!(free(0, &["10.1.0.0/24"]).unwrap(), "10.1.1.0/25");
        assert_eq!(
            free(0, &["192.168.0.0/16", "10.0.0.0/16"]).unwrap(),
            "10.1.0.0/25"
        );
        assert_eq!(free(0, &["10.0.0.0/8"]), None);
        assert_eq!(free(0, &["0.0.0.0/0"]), None);
    }

    #[test]
    fn a_pool_has_as_many_networks_as_fit() {
        let (pool, mut taken) = (pool("10.1.255.0/24"), Vec::new());
        while let Some(free) = pool.free(9, &taken) {
            taken.push(free);
        }
        assert_eq!(taken, subnets(&["10.1.255.128/25", "10.1.255.0/25"]));
    }

    #[test]
    fn only_a_block_of_addresses_is_a_pool() {
        for bad in [
            "",
            "10.213.0.0",
            "10.213.0.0/26",
            "10.213.0.1/16",
            "10.0.0.0/7",
            "fd00::/8",
            "10.0.0.0/33",
        ] {
            let refused = bad.parse::<NetworkPool>().unwrap_err();
            assert!(refused.message().contains(bad), "{refused}");
        }
        assert_eq!(pool("172.16.0.0/12").to_string(), "172.16.0.0/12");
    }
}
