//! Whether the engine limits what a container writes to its own disk: its storage driver can, or can't.

use std::sync::{Arc, Mutex};

use bollard::errors::Error as DockerError;
use bollard::models::SystemInfo;

use crate::error::words;

/// What is known of one engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskLimit(Arc<Mutex<Known>>);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Known {
    /// The first container that is created with a limit tells.
    #[default]
    NotYet,
    Can,
    Cannot,
}

impl DiskLimit {
    /// Notes what the engine's storage driver can; what a container has shown stays.
    pub(crate) fn learn(&self, info: &SystemInfo) {
        if self.get() == Known::NotYet {
            self.set(Known::of(info));
        }
    }

    /// Whether a container is to be created with a limit.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.get() != Known::Cannot
    }

    /// Whether containers are limited for certain.
    pub(crate) fn is_kept(&self) -> bool {
        self.get() == Known::Can
    }

    /// A container was created with a limit.
    pub(crate) fn was_taken(&self) {
        self.set(Known::Can);
    }

    /// Whether it is the limit that `error` refuses; if so no other container is given one.
    pub(crate) fn is_refused(&self, error: &DockerError) -> bool {
        let refused = words(error).contains("storage-opt");
        if refused {
            self.set(Known::Cannot);
        }
        refused
    }

    /// What users should know of it.
    pub(crate) fn caveat(&self) -> &'static str {
        match self.get() {
            Known::Can => "Volume disk is not limited.",
            Known::NotYet => {
                "Volume disk is not limited; whether container disk is shows with the first pod."
            }
            Known::Cannot => {
                "Container and volume disk is not limited. Docker limits containers where its data is on xfs mounted with \
                 pquota, on btrfs or on zfs."
            }
        }
    }

    fn get(&self) -> Known {
        *self.0.lock().expect("no panic while held")
    }

    fn set(&self, known: Known) {
        *self.0.lock().expect("no panic while held") = known;
    }
}

impl Known {
    fn of(info: &SystemInfo) -> Self {
        let pairs = info.driver_status.iter().flatten();
        let on_xfs = || {
            pairs.map(Vec::as_slice).any(
                |pair| matches!(pair, [name, value] if name == "Backing Filesystem" && value == "xfs"),
            )
        };
        match info.driver.as_deref() {
            Some("btrfs" | "zfs") => Self::Can,
            // Only with `pquota`, which the engine does not tell.
            Some("overlay2") if on_xfs() => Self::NotYet,
            // With others it is refused, or ignored in silence.
            _ => Self::Cannot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(driver: &str, filesystem: &str) -> Known {
        let pair = ["Backing Filesystem", filesystem].map(str::to_owned);
        Known::of(&SystemInfo {
            driver: Some(driver.to_owned()),
            driver_status: Some(vec![pair.into()]),
            ..SystemInfo::default()
        })
    }

    #[test]
    fn a_storage_driver_can_or_cannot_or_has_to_be_tried() {
        assert_eq!(known("btrfs", ""), Known::Can);
        assert_eq!(known("overlay2", "xfs"), Known::NotYet);
        assert_eq!(known("overlay2", "extfs"), Known::Cannot);
        // Of containerd's image store.
        assert_eq!(known("overlayfs", "xfs"), Known::Cannot);
    }

    #[test]
    fn a_refused_limit_is_asked_for_no_more() {
        let limit = DiskLimit::default();
        let refusal = |message: &str| DockerError::DockerResponseServerError {
            status_code: 500,
            message: message.to_owned(),
        };
        assert!(!limit.is_refused(&refusal("no space left on device")));
        assert!(limit.is_asked_for() && !limit.is_kept());
        let words =
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        assert!(limit.is_refused(&refusal(words)));
        assert!(!limit.is_asked_for() && !limit.is_kept());
        assert!(
            limit
                .caveat()
                .starts_with("Container and volume disk is not limited.")
        );
    }
}
