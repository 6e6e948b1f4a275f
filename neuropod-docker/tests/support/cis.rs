//! Section 5 of the CIS Docker Benchmark (1.6), container runtime: what can be seen of a container, and why the rest
//! is none of its.

use bollard::models::{ContainerInspectResponse, HostConfig, RestartPolicyNameEnum};

/// An item: its number, what it demands, whether a container keeps it, and how one would not.
pub struct Item {
    pub number: &'static str,
    pub demands: &'static str,
    pub kept: fn(&ContainerInspectResponse, &HostConfig) -> bool,
    pub broken: fn(&mut HostConfig),
}

/// Items that no container shows, or that are not for the platform to decide.
pub const OTHERS: [(&str, &str); 8] = [
    ("5.1", "swarm mode belongs to the engine"),
    (
        "5.3",
        "SELinux options are the engine's default where the host has SELinux",
    ),
    ("5.7", "which programs run is the user's choice"),
    (
        "5.13",
        "a workstation's user installs things: its root file system can be written to",
    ),
    ("5.23", "nothing runs commands in containers"),
    ("5.24", "nothing runs commands in containers"),
    ("5.27", "whether a pod answers is asked from outside"),
    ("5.28", "which image is the user's choice"),
];

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

fn option(host: &HostConfig, option: &str) -> bool {
    let mut options = host.security_opt.iter().flatten();
    options.any(|o| o.split(['=', ':']).eq(option.split('=')))
}

/// The ports of the host, and the addresses they are bound to.
fn bound(host: &HostConfig) -> impl Iterator<Item = (u16, &str)> {
    let bindings = host.port_bindings.iter().flatten();
    let bindings = bindings.filter_map(|(_, bound)| bound.as_ref()).flatten();
    bindings.map(|b| {
        (
            text(b.host_port.as_ref()).parse().unwrap_or(0),
            text(b.host_ip.as_ref()),
        )
    })
}

fn bind(host: &mut HostConfig, address: &str, port: &str) {
    let binding = bollard::models::PortBinding {
        host_ip: Some(address.to_owned()),
        host_port: Some(port.to_owned()),
    };
    let bindings = host.port_bindings.get_or_insert_default();
    bindings.insert("1/tcp".to_owned(), Some(vec![binding]));
}

/// What the platform gives a program that is root in its container.
const CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "KILL",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
];

pub const ITEMS: [Item; 24] = [
    Item {
        number: "5.2",
        demands: "its AppArmor profile is not taken away",
        kept: |seen, host| {
            text(seen.app_armor_profile.as_ref()) != "unconfined"
                && !option(host, "apparmor=unconfined")
        },
        broken: |host| host.security_opt = Some(vec!["apparmor=unconfined".to_owned()]),
    },
    Item {
        number: "5.4",
        demands: "all capabilities are dropped but a short list",
        kept: |_, host| {
            let added = host.cap_add.iter().flatten();
            host.cap_drop.iter().flatten().eq(["ALL"])
                && added
                    .map(|c| c.trim_start_matches("CAP_"))
                    .all(|c| CAPABILITIES.contains(&c))
        },
        broken: |host| host.cap_add = Some(vec!["SYS_ADMIN".to_owned()]),
    },
    Item {
        number: "5.5",
        demands: "it is not privileged",
        kept: |_, host| host.privileged != Some(true),
        broken: |host| host.privileged = Some(true),
    },
    Item {
        number: "5.6",
        demands: "nothing of the host is mounted",
        kept: |seen, host| {
            let mut mounts = seen.mounts.iter().flatten();
            host.binds.iter().flatten().next().is_none()
                && mounts.all(|m| text(m.typ.as_ref()) == "volume")
        },
        broken: |host| host.binds = Some(vec!["/etc:/etc".to_owned()]),
    },
    Item {
        number: "5.8",
        demands: "no privileged port of the host is published",
        kept: |_, host| bound(host).all(|(port, _)| port >= 1024),
        broken: |host| bind(host, "127.0.0.1", "80"),
    },
    Item {
        number: "5.9",
        demands: "not all of its ports are published",
        kept: |_, host| host.publish_all_ports != Some(true),
        broken: |host| host.publish_all_ports = Some(true),
    },
    Item {
        number: "5.10",
        demands: "the network of the host is not shared",
        kept: |_, host| text(host.network_mode.as_ref()) != "host",
        broken: |host| host.network_mode = Some("host".to_owned()),
    },
    Item {
        number: "5.11",
        demands: "memory is limited, swap too",
        kept: |_, host| host.memory.is_some_and(|m| m > 0) && host.memory_swap == host.memory,
        broken: |host| host.memory = Some(0),
    },
    Item {
        number: "5.12",
        demands: "CPU is limited",
        kept: |_, host| host.nano_cpus.is_some_and(|n| n > 0),
        broken: |host| host.nano_cpus = None,
    },
    Item {
        number: "5.14",
        demands: "ports are published on one address, loopback unless chosen otherwise",
        kept: |_, host| bound(host).all(|(_, address)| address == "127.0.0.1"),
        broken: |host| bind(host, "", "20000"),
    },
    Item {
        number: "5.15",
        demands: "it is not started again by the engine",
        kept: |_, host| {
            let policy = host.restart_policy.as_ref().and_then(|p| p.name);
            policy == Some(RestartPolicyNameEnum::NO)
        },
        broken: |host| host.restart_policy = None,
    },
    Item {
        number: "5.16",
        demands: "the processes of the host are not shared",
        kept: |_, host| text(host.pid_mode.as_ref()).is_empty(),
        broken: |host| host.pid_mode = Some("host".to_owned()),
    },
    Item {
        number: "5.17",
        demands: "the IPC of the host is not shared",
        kept: |_, host| matches!(text(host.ipc_mode.as_ref()), "private" | "none"),
        broken: |host| host.ipc_mode = Some("host".to_owned()),
    },
    Item {
        number: "5.18",
        demands: "no device of the host is given by its path",
        kept: |_, host| host.devices.iter().flatten().next().is_none(),
        broken: |host| host.devices = Some(vec![Default::default()]),
    },
    Item {
        number: "5.19",
        demands: "no limits of processes are overwritten",
        kept: |_, host| host.ulimits.iter().flatten().next().is_none(),
        broken: |host| host.ulimits = Some(vec![Default::default()]),
    },
    Item {
        number: "5.20",
        demands: "no mount is propagated",
        kept: |seen, host| {
            let mounted = seen
                .mounts
                .iter()
                .flatten()
                .map(|m| text(m.propagation.as_ref()));
            let bound = host.binds.iter().flatten().map(String::as_str);
            mounted.chain(bound).all(|how| !how.contains("shared"))
        },
        broken: |host| host.binds = Some(vec!["/x:/x:rshared".to_owned()]),
    },
    Item {
        number: "5.21",
        demands: "the name of the host is not shared",
        kept: |_, host| text(host.uts_mode.as_ref()).is_empty(),
        broken: |host| host.uts_mode = Some("host".to_owned()),
    },
    Item {
        number: "5.22",
        demands: "the engine's seccomp profile is not replaced",
        kept: |_, host| {
            let mut options = host.security_opt.iter().flatten();
            !options.any(|o| o.starts_with("seccomp"))
        },
        broken: |host| host.security_opt = Some(vec!["seccomp=unconfined".to_owned()]),
    },
    Item {
        number: "5.25",
        demands: "its control group is the engine's choice",
        kept: |_, host| text(host.cgroup_parent.as_ref()).is_empty(),
        broken: |host| host.cgroup_parent = Some("/elsewhere".to_owned()),
    },
    Item {
        number: "5.26",
        demands: "it can't acquire privileges",
        kept: |_, host| option(host, "no-new-privileges"),
        broken: |host| host.security_opt = None,
    },
    Item {
        number: "5.29",
        demands: "the number of processes is limited",
        kept: |_, host| host.pids_limit.is_some_and(|n| n > 0),
        broken: |host| host.pids_limit = None,
    },
    Item {
        number: "5.30",
        demands: "it is in a network of its owner's, not in the engine's own",
        kept: |_, host| text(host.network_mode.as_ref()).starts_with("np-"),
        broken: |host| host.network_mode = Some("default".to_owned()),
    },
    Item {
        number: "5.31",
        demands: "the users of the host are not shared where the engine keeps them apart",
        kept: |_, host| text(host.userns_mode.as_ref()).is_empty(),
        broken: |host| host.userns_mode = Some("host".to_owned()),
    },
    Item {
        number: "5.32",
        demands: "the engine's socket is not mounted",
        kept: |seen, host| {
            let mounted = seen
                .mounts
                .iter()
                .flatten()
                .map(|m| text(m.source.as_ref()));
            let bound = host.binds.iter().flatten().map(String::as_str);
            mounted
                .chain(bound)
                .all(|source| !source.contains("docker.sock"))
        },
        broken: |host| host.binds = Some(vec!["/run/docker.sock:/x".to_owned()]),
    },
];

/// The items that this container does not keep.
pub fn broken(seen: &ContainerInspectResponse) -> Vec<String> {
    let host = seen.host_config.clone().unwrap_or_default();
    let broken = ITEMS.iter().filter(|item| !(item.kept)(seen, &host));
    broken
        .map(|item| format!("{}: {}", item.number, item.demands))
        .collect()
}
