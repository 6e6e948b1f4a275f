//! Identifiers. Random ones come from the operating system's generator, or from a seed in tests.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// An id of these bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8] {
                &self.0
            }
            /// A new random id.
            pub fn random(entropy: &Entropy) -> Self {
                Self(entropy.bytes())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut text = [0; $bytes * 2];
                for (two, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    two[0] = DIGITS[usize::from(byte >> 4)];
                    two[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).expect("digits are text"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(s: String) -> Result<Self> {
                s.parse()
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                parse_hex(s).map(Self).ok_or_else(|| {
                    Error::invalid("", format!("A {} is {} hexadecimal digits.", $what, $bytes * 2))
                })
            }
        }
    };
}

fn parse_hex<const N: usize>(s: &str) -> Option<[u8; N]> {
    let digits = s.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = nibble(digits[2 * i])? << 4 | nibble(digits[2 * i + 1])?;
    }
    Some(out)
}

hex_id!(
    /// A pod: 16 hexadecimal digits.
    PodId, 8, "pod id"
);
hex_id!(
    /// A user: 24 hexadecimal digits.
    UserId, 12, "user id"
);
hex_id!(
    /// A template: 24 hexadecimal digits.
    TemplateId, 12, "template id"
);
hex_id!(
    /// The random key of a run, so that a database restored from yesterday can't adopt today's containers.
    RunKey, 8, "run key"
);
hex_id!(
    /// Proof of a lease on a piece of work.
    Token, 8, "work token"
);
hex_id!(
    /// A SHA-256 in the chain of an account: 64 hexadecimal digits.
    #[derive(Default)]
    Hash, 32, "hash"
);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut hash = Self::default();
        hash.0.copy_from_slice(digest.as_ref());
        hash
    }
}

/// One start of a pod: its number, never reused, and its random key. Displayed as `<pod>-<n>-<key>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId {
    /// The pod.
    pub pod: PodId,
    /// The number of the run, from 1.
    pub n: u32,
    /// The random key.
    pub key: RunKey,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pod, self.n, self.key)
    }
}

impl FromStr for RunId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let mut parts = s.split('-');
        let (Some(pod), Some(n), Some(key), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::invalid("", "A run id is <pod>-<number>-<key>."));
        };
        let n = n
            .parse()
            .map_err(|_| Error::invalid("", "The number of a run is a decimal number."))?;
        Ok(Self {
            pod: pod.parse()?,
            n,
            key: key.parse()?,
        })
    }
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);
        impl $name {
            /// The name as it is.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }
            /// The name as it is.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(s: &str) -> Self {
                Self(s.to_owned())
            }
        }
    };
}

name_id!(
    /// A device by its UUID, `GPU-…` or `MIG-…`.
    DeviceId
);
name_id!(
    /// An entry of the price list, `rtx-4090` or `cpu`: `[a-z0-9-]{2,40}`.
    GpuId
);
name_id!(
    /// An opaque key: workloads that share it may talk to each other.
    Tenant
);
name_id!(
    /// An account of the ledger: `user:<id>`, `revenue`, `funding`, `grants` or `forfeited`.
    AccountId
);

impl AccountId {
    /// The account of a user.
    pub fn of(user: UserId) -> Self {
        Self(format!("user:{user}"))
    }
    /// Whose account it is, if it is a user's.
    pub fn user(&self) -> Option<UserId> {
        self.0.strip_prefix("user:")?.parse().ok()
    }
    /// Whether this is a customer's account, which is cached and locked.
    pub fn is_customer(&self) -> bool {
        self.0.starts_with("user:")
    }
}

/// Where random bytes come from.
#[derive(Debug, Default)]
pub struct Entropy(Option<Mutex<u64>>);

impl Entropy {
    /// The operating system's generator.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A repeatable sequence, for tests that replay.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Mutex::new(seed)))
    }

    /// `N` random bytes.
    ///
    /// # Panics
    /// If the operating system has no randomness: nothing safe can be done then.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        match &self.0 {
            None => getrandom::fill(&mut out).expect("the operating system gives random bytes"),
            Some(state) => {
                let mut state = state.lock().expect("no panic while held");
                for chunk in out.chunks_mut(8) {
                    // SplitMix64 (Steele, Lea, Flood 2014).
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut z = *state;
                    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip_and_refuse_other_text() {
        let entropy = Entropy::seeded(1);
        let run = RunId {
            pod: PodId::random(&entropy),
            n: 7,
            key: RunKey::random(&entropy),
        };
        assert_eq!(run.to_string().parse::<RunId>().unwrap(), run);
        for bad in [
            "",
            "0123",
            "0123456789abcdeF",
            "0123456789abcdeg",
            "0123456789abcdef0",
            "é123456789abcde",
        ] {
            assert!(bad.parse::<PodId>().is_err(), "{bad}");
        }
    }
}
