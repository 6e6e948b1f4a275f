//! Keeps pods from this host and from each other, where that is in our power: Docker lets a container reach the host's
//! own ports by its gateway, the server's and those published on other addresses than loopback among them.
//!
//! The rules hold for every bridge whose name begins as our networks' do. They are in the table `mangle`, before
//! anything that others allow, and they stay when this process ends: pods outlive it.

use std::io::ErrorKind;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// What reaches the host from a pod, but for answers.
const TO_HOST: [&str; 14] = [
    "INPUT",
    "-i",
    "np-+",
    "-m",
    "conntrack",
    "!",
    "--ctstate",
    "RELATED,ESTABLISHED",
    "-m",
    "comment",
    "--comment",
    "NeuroPod: pods do not reach this host",
    "-j",
    "DROP",
];

/// What goes from one tenant's bridge to another's, by whichever address; what stays within a bridge does not go
/// through this host.
const TO_OTHERS: [&str; 15] = [
    "FORWARD",
    "-i",
    "np-+",
    "-o",
    "np-+",
    "-m",
    "physdev",
    "!",
    "--physdev-is-bridged",
    "-m",
    "comment",
    "--comment",
    "NeuroPod: owners' pods do not reach each other",
    "-j",
    "DROP",
];

/// Where `iptables` is: not every PATH has the second folder.
const PLACES: [&str; 2] = ["iptables", "/usr/sbin/iptables"];

/// Whether the rules are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard(Arc<Mutex<Option<Result<(), String>>>>);

impl Guard {
    /// Sees to it that the rules are there, for networks of which one has this bridge.
    pub(crate) async fn place(&self, bridge: &str) {
        let bridge = bridge.to_owned();
        let placed = tokio::task::spawn_blocking(move || place(&bridge)).await;
        let placed = placed.unwrap_or_else(|e| Err(format!("The rules can't be set: {e}.")));
        let mut state = self.0.lock().expect("no panic while held");
        if state.as_ref() != Some(&placed) {
            match &placed {
                Ok(()) => {
                    tracing::info!("pods are kept from this host and from other owners' pods")
                }
                Err(why) => tracing::warn!(why, "pods reach this host by their gateway"),
            }
        }
        *state = Some(placed);
    }

    pub(crate) fn is_placed(&self) -> bool {
        matches!(*self.0.lock().expect("no panic while held"), Some(Ok(())))
    }

    /// What pods can reach although they should not; a sentence each.
    pub(crate) fn caveats(&self) -> Vec<String> {
        match &*self.0.lock().expect("no panic while held") {
            Some(Ok(())) => Vec::new(),
            None => vec![
                "Whether pods can be kept from the ports of the engine's host is known once the first one is launched."
                    .to_owned(),
            ],
            Some(Err(why)) => vec![format!(
                "Pods reach every port of the engine's host that listens on other addresses than loopback, by their \
                 gateway: this server's own, and ports that other owners' pods publish there. {why}"
            )],
        }
    }
}

fn place(bridge: &str) -> Result<(), String> {
    let devices = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    if !has_device(&devices, bridge) {
        let elsewhere = "The engine is on another machine or in another network than this server, which can set no rules there.";
        return Err(elsewhere.to_owned());
    }
    let rules: [&[&str]; 2] = [&TO_HOST, &TO_OTHERS];
    for rule in rules {
        if iptables("-C", rule).is_err() {
            iptables("-I", rule).map_err(|why| format!("iptables sets no rule: {why}."))?;
        }
    }
    Ok(())
}

/// Whether a network device of this name is in the table that the kernel shows.
fn has_device(devices: &str, name: &str) -> bool {
    let names = devices.lines().filter_map(|line| line.split(':').next());
    names.map(str::trim).any(|device| device == name)
}

fn iptables(verb: &str, rule: &[&str]) -> Result<(), String> {
    let run = |program| {
        let mut command = Command::new(program);
        // Others may hold its lock for a moment.
        command
            .args(["-w", "5", "-t", "mangle", verb])
            .args(rule)
            .output()
    };
    let found = PLACES.iter().map(run).find(|ran| {
        let missing = |e: &std::io::Error| e.kind() == ErrorKind::NotFound;
        !ran.as_ref().is_err_and(missing)
    });
    let output = found
        .ok_or("there is no such program")?
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let first = words.lines().next().unwrap_or("it says nothing");
    Err(first.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: &str = "Inter-|   Receive\n face |bytes\n    lo: 1 2\nnp-0123456789ab: 3 4\n";

    #[test]
    fn a_bridge_is_here_if_the_kernel_shows_it() {
        assert!(has_device(DEVICES, "np-0123456789ab"));
        assert!(!has_device(DEVICES, "np-0123456789"));
        assert!(!has_device("", "np-0123456789ab"));
    }

    #[tokio::test]
    async fn a_bridge_that_is_not_here_is_told() {
        let guard = Guard::default();
        assert!(guard.caveats()[0].contains("once the first one"));
        guard.place("np-not-here").await;
        assert!(!guard.is_placed());
        let [caveat] = &guard.caveats()[..] else {
            panic!("one caveat")
        };
        assert!(
            caveat.starts_with("Pods reach every port") && caveat.ends_with('.'),
            "{caveat}"
        );
    }
}
