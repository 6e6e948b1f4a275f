//! Rows to try stores with: the same number gives the same row.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{EventKind, NewEvent};
use crate::id::{AccountId, DeviceId, Entropy, GpuId, PodId, RunId, RunKey, TemplateId, UserId};
use crate::idle::{Activity, Signal};
use crate::money::Money;
use crate::pod::{
    Desired, Endpoint, Env, Hold, Pod, PodSpec, PortLease, PortSpec, Proto, Reason, Resources, Run,
    Secret, Terms, Volume,
};
use crate::store::{Document, Transfer, Used};
use crate::time::Time;
use crate::user::{Role, Standing, User};

/// `seconds` after the samples' beginning.
pub fn at(seconds: u64) -> Time {
    Time::from_micros(1_767_225_600_000_000) + Duration::from_secs(seconds)
}

/// Whole units of money.
pub fn money(units: i64) -> Money {
    Money::from_micros(units * 1_000_000)
}

/// The id of user number `n`.
pub fn user_id(n: u64) -> UserId {
    UserId::random(&Entropy::seeded(n.wrapping_mul(3)))
}

/// The account of user number `n`.
pub fn account(n: u64) -> AccountId {
    AccountId::of(user_id(n))
}

/// The id of pod number `n`.
pub fn pod_id(n: u64) -> PodId {
    PodId::random(&Entropy::seeded(n.wrapping_mul(5)))
}

/// A user that is to be created.
pub fn user(n: u64) -> User {
    User {
        id: user_id(n),
        identity: format!("https://id.example#{n}"),
        email: format!("user{n}@example.org"),
        name: format!("User {n}"),
        avatar: None,
        role: Role::Client,
        standing: Standing::Active,
        plan: "free".to_owned(),
        created_at: at(n),
        version: 0,
    }
}

/// A pod of user number `owner`, just launched `n` seconds after the beginning, that is to be created: no hold, no
/// run, no volume.
pub fn pod(n: u64, owner: u64) -> Pod {
    Pod::new(pod_id(n), user_id(owner), spec(n), terms(owner), at(n))
}

fn spec(n: u64) -> PodSpec {
    let port = |container, proto, name: &str| PortSpec {
        container,
        proto,
        name: name.to_owned(),
        custom: false,
    };
    PodSpec {
        name: format!("pod {n}"),
        template: Some(TemplateId::random(&Entropy::seeded(n))),
        image: "registry.example/team/notebook:1.2".to_owned(),
        args: vec!["--listen".to_owned()],
        gpu: GpuId::from("rtx-4050"),
        devices: 1,
        ports: vec![
            port(8888, Proto::Http, "Jupyter Lab"),
            port(22, Proto::Tcp, "SSH"),
        ],
        env: Env(BTreeMap::from([("MODE".to_owned(), "fast".to_owned())])),
        container_disk_gb: 20,
        volume_disk_gb: 10,
        volume_path: "/workspace".to_owned(),
        jupyter: true,
        resources: Resources::default(),
    }
}

/// Terms that user number `payer` pays: 3600 units an hour while running, so one a second; no price for the volume.
pub fn terms(payer: u64) -> Terms {
    Terms {
        payer: account(payer),
        run_rate: money(3600),
        volume_rate: Money::ZERO,
        price_version: 1,
    }
}

/// Run `n` of `pod`, charged from `from`, with everything in it.
pub fn run(pod: &Pod, n: u32, from: Time) -> Run {
    Run {
        n,
        key: RunKey::random(&Entropy::seeded(u64::from(n))),
        generation: pod.generation,
        terms: pod.terms.clone(),
        opened_at: from,
        start_by: from + Duration::from_secs(600),
        start_limit: from + Duration::from_secs(1200),
        pulled: 1 << 30,
        given_up: false,
        started_at: Some(from),
        charged_from: Some(from),
        recorded_at: Some(from),
        seen_first: Some(from),
        last_seen: None,
        cutoff: None,
        ready_at: Some(from),
        endpoints: vec![Endpoint {
            container: 8888,
            proto: Proto::Http,
            host: "127.0.0.1".to_owned(),
            port: 20_000,
            tls: false,
            ready: true,
            failed: Some(Reason::JupyterUnavailable),
        }],
        jupyter_token: Some(Secret::new("a secret of the pod's owner")),
    }
}

/// `amount` held for the pod's generation, paid by user number `payer`.
pub fn hold(pod: &Pod, payer: u64, amount: Money) -> Hold {
    Hold {
        payer: account(payer),
        amount,
        generation: pod.generation,
    }
}

/// A volume that has counted since `since` at `rate` an hour, paid by user number `payer`.
pub fn volume(payer: u64, rate: Money, since: Time) -> Volume {
    Volume {
        id: Some("2026-01-01T00:00:00Z".to_owned()),
        payer: account(payer),
        rate,
        counting_since: Some(since),
        counted_micros: 0,
        kept_until: None,
        closed: false,
        opened_at: Some(since),
        closed_at: None,
    }
}

/// A pod with something in every field.
pub fn full_pod(n: u64, owner: u64) -> Pod {
    let mut pod = pod(n, owner);
    pod.generation = 3;
    pod.ended_generation = 2;
    pod.last_run = 4;
    pod.tries = 1;
    pod.retry_at = Some(at(5));
    pod.queued_at = Some(at(6));
    pod.hold = Some(hold(&pod, owner, money(7)));
    pod.devices = vec![DeviceId::from("GPU-7c0f")];
    pod.ports = vec![PortLease {
        container: 8888,
        host: 20_001,
    }];
    pod.volume = Some(volume(owner, money(1), at(1)));
    pod.accept_volume_loss = true;
    pod.deadlines.stop_after = Some(at(1000));
    pod.idle_stop = Some(Duration::from_secs(60));
    pod.last_activity = Some(Activity {
        signal: Signal::Cpu,
        at: at(900),
    });
    pod.reason = Some(Reason::NoCapacity);
    pod.message = Some("Waits for a device.".to_owned());
    pod.exit_code = Some(-1);
    pod.run = Some(run(&pod, 4, at(2)));
    pod.last_ended = Some(RunId {
        pod: pod.id,
        n: 3,
        key: RunKey::from_bytes([1; 8]),
    });
    pod
}

/// What is left of a deleted pod.
pub fn tombstone(n: u64, owner: u64) -> Pod {
    Pod {
        desired: Desired::Deleted,
        deleted_at: Some(at(n + 100)),
        ..pod(n, owner)
    }
}

/// A transfer from `funding` to user number `to`.
pub fn funding(id: &str, to: u64, amount: Money) -> Transfer {
    Transfer {
        id: id.to_owned(),
        debit: AccountId::from("funding"),
        credit: account(to),
        amount,
        memo: "Money for a test".to_owned(),
        actor: None,
        at: at(0),
        charge: None,
    }
}

/// Two devices, used from one second to another.
pub fn used(from: u64, to: u64) -> Used {
    Used {
        product: "rtx-4050".to_owned(),
        quantity: 2,
        rate: money(3600),
        from: at(from),
        to: at(to),
    }
}

/// A document that is to be created.
pub fn document(kind: &str, key: &str) -> Document {
    Document {
        kind: kind.to_owned(),
        key: key.to_owned(),
        body: serde_json::json!({ "key": key, "list": [1, 2.5, null, true] }),
        index: [None, None, None],
        expires_at: None,
        version: 0,
    }
}

/// An event about pod number `n`.
pub fn event(n: u64) -> NewEvent {
    NewEvent {
        kind: EventKind::PodUpdate,
        at: at(n),
        pod: Some(pod_id(n)),
        owner: Some(user_id(1)),
        body: serde_json::json!({ "n": n }),
    }
}
