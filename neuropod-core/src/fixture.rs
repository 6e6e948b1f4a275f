//! One pod at the stages of its life, for the tests of what is decided about it. It costs one unit a second while it
//! runs, and its volume a thousandth of that.

use std::time::Duration;

use crate::decide::Started;
use crate::id::{AccountId, DeviceId, Entropy, GpuId, PodId, UserId};
use crate::life;
use crate::money::Money;
use crate::pod::{Env, Hold, Pod, PodSpec, Resources, Terms};
use crate::time::Time;

pub(crate) const NOW: Time = Time::from_micros(1_000_000_000);

pub(crate) fn at(secs: u64) -> Time {
    NOW + Duration::from_secs(secs)
}

pub(crate) fn launched() -> Pod {
    let terms = Terms {
        payer: AccountId::from("user:x"),
        run_rate: Money::from_micros(3_600_000_000),
        volume_rate: Money::from_micros(3_600_000),
        price_version: 1,
    };
    let spec = PodSpec {
        name: "pod".to_owned(),
        template: None,
        image: "demo".to_owned(),
        args: Vec::new(),
        gpu: GpuId::from("rtx-4050"),
        devices: 1,
        ports: Vec::new(),
        env: Env::default(),
        container_disk_gb: 10,
        volume_disk_gb: 20,
        volume_path: "/workspace".to_owned(),
        jupyter: false,
        resources: Resources::default(),
    };
    let hold = Hold {
        payer: terms.payer.clone(),
        amount: Money::from_micros(5),
        generation: 1,
    };
    let id = PodId::from_bytes([1; 8]);
    Pod {
        hold: Some(hold),
        version: 1,
        ..Pod::new(id, UserId::from_bytes([2; 12]), spec, terms, NOW)
    }
}

pub(crate) fn opened() -> Pod {
    let mut pod = launched();
    life::open(
        &mut pod,
        NOW,
        vec![DeviceId::from("GPU-1")],
        Vec::new(),
        &Entropy::seeded(7),
    );
    pod
}

/// Started, by the backend's clock, at 100 s; recorded at 2 s of ours.
pub(crate) fn running() -> Pod {
    let mut pod = opened();
    let started = Started {
        started_at: Time::from_micros(100),
        charged_from: at(1),
        alive_at: at(2),
        endpoints: Vec::new(),
    };
    life::record(&mut pod, started, Some("v1".to_owned()), at(2));
    pod.run.as_mut().unwrap().ready_at = Some(at(2));
    pod
}
