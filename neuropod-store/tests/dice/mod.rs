//! Random commits and questions over a few rows, so that they meet often.

use std::cell::RefCell;
use std::time::Duration;

use neuropod_core::Time;
use neuropod_core::conformance::store::samples::*;
use neuropod_core::id::{AccountId, GpuId};
use neuropod_core::memory::MemoryStore;
use neuropod_core::pod::{Desired, Pod};
use neuropod_core::store::*;

/// How many pods there may be.
pub(crate) const PODS: u64 = 8;
/// How many users there may be.
pub(crate) const USERS: u64 = 3;

pub(crate) fn accounts() -> Vec<AccountId> {
    let customers = (0..USERS).map(account);
    let ours = ["funding", "revenue", "grants"].map(AccountId::from);
    customers.chain(ours).collect()
}

pub(crate) fn meters() -> Vec<Meter> {
    let runs = (0..PODS).map(|n| Meter::Run(pod_id(n), 1));
    runs.chain((0..PODS).map(|n| Meter::Volume(pod_id(n))))
        .collect()
}

fn product() -> GpuId {
    pod(0, 0).spec.gpu
}

pub(crate) fn filters() -> Vec<PodFilter> {
    let of_users = (0..USERS).flat_map(|n| {
        [
            PodFilter::OwnedBy(user_id(n)),
            PodFilter::LeftOf(user_id(n)),
            PodFilter::PaidBy(account(n)),
        ]
    });
    let all = [
        PodFilter::Alive,
        PodFilter::Open,
        PodFilter::Tombstones,
        PodFilter::QueuedFor(product()),
    ];
    of_users.chain(all).collect()
}

/// Seeded dice.
pub(crate) struct Dice(RefCell<fastrand::Rng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(RefCell::new(fastrand::Rng::with_seed(seed)))
    }
    pub(crate) fn below(&self, n: u64) -> u64 {
        self.0.borrow_mut().u64(0..n)
    }
    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
    /// Some second of ten minutes.
    pub(crate) fn time(&self) -> Time {
        at(self.below(600))
    }
    fn account(&self) -> AccountId {
        account(self.below(USERS))
    }

    /// Mostly the version that is there.
    fn version(&self, there: u64) -> u64 {
        match self.below(10) {
            0 => there + 1,
            1 => there.saturating_sub(1),
            _ => there,
        }
    }

    /// One more thing to write.
    pub(crate) async fn add_change(&self, changes: &mut Changes, model: &MemoryStore, step: u64) {
        match self.below(11) {
            0..=2 => {
                let id = pod_id(self.below(PODS));
                let there = model.pod(id).await.unwrap();
                let pod = there.unwrap_or_else(|| self.new_pod(id));
                changes.pods.push(self.changed(pod));
            }
            3 => {
                let n = self.below(USERS);
                match model.user(user_id(n)).await.unwrap() {
                    Some(there) if self.one_in(6) => changes.forget_users.push(there.id),
                    there => {
                        let mut user = there.unwrap_or_else(|| user(n));
                        user.name = format!("User {step}");
                        user.version = self.version(user.version);
                        changes.users.push(user);
                    }
                }
            }
            4 => changes.touch.push(self.account()),
            5 if self.one_in(3) => changes.accounts.push(AccountChange {
                id: self.account(),
                unlimited: self.one_in(3),
            }),
            5 => {
                let amount = money(self.below(3) as i64 + 1);
                let id = format!("t{}", self.below(200));
                changes
                    .transfers
                    .push(funding(&id, self.below(USERS), amount));
            }
            6 => changes.documents.push(self.document(model).await),
            7 => changes.leases.push(self.lease()),
            8 => changes.events.push(event(step)),
            9 => {
                let total = self.below(20);
                changes.meters.push(MeterTotal {
                    meter: meters()[self.below(2 * PODS) as usize],
                    payer: self.account(),
                    total: money(total as i64),
                    last: self.one_in(8),
                    at: self.time(),
                    used: used(0, total),
                });
            }
            _ => changes.wakes.push(Wake {
                key: self.work(),
                at: self.time(),
            }),
        }
    }

    fn new_pod(&self, id: neuropod_core::id::PodId) -> Pod {
        Pod {
            id,
            ..pod(self.below(100), self.below(USERS))
        }
    }

    fn changed(&self, mut it: Pod) -> Pod {
        let payer = self.below(USERS);
        match self.below(8) {
            0 => it.queued_at = self.one_in(2).then(|| self.time()),
            1 => it.run = self.one_in(2).then(|| run(&it, 1, self.time())),
            2 => it.hold = self.one_in(2).then(|| hold(&it, payer, money(2))),
            3 => it.volume = Some(volume(payer, money(1), self.time())),
            4 => {
                let at = self.time();
                it.volume.iter_mut().for_each(|v| v.close(at));
            }
            5 => it.desired = [Desired::Running, Desired::Stopped][self.below(2) as usize],
            6 => it.generation += 1,
            _ if self.one_in(4) => {
                (it.desired, it.deleted_at) = (Desired::Deleted, Some(self.time()));
            }
            _ => it.desired = Desired::Deleted,
        }
        it.version = self.version(it.version);
        it
    }

    async fn document(&self, model: &MemoryStore) -> DocChange {
        let (kind, key) = ("note", format!("k{}", self.below(6)));
        let there = model.document(kind, &key, self.time()).await.unwrap();
        let version = self.version(there.map_or(0, |d| d.version));
        if version > 0 && self.one_in(4) {
            return DocChange::Remove {
                kind: kind.to_owned(),
                key,
                version,
            };
        }
        let value = || self.one_in(2).then(|| format!("v{}", self.below(2)));
        DocChange::Put(Document {
            index: [value(), value(), value()],
            expires_at: self.one_in(2).then(|| self.time()),
            version,
            ..document(kind, &key)
        })
    }

    fn lease(&self) -> LeaseChange {
        let resource = format!("port/{}", self.below(4));
        let pod = pod_id(self.below(PODS));
        match self.below(5) {
            0 | 1 => LeaseChange::Take {
                resource,
                pod,
                at: self.time(),
            },
            2 => LeaseChange::Free { resource, pod },
            3 => LeaseChange::SetAside {
                resource,
                pod,
                until: self.one_in(2).then(|| self.time()),
            },
            _ => LeaseChange::Clear { resource },
        }
    }

    fn work(&self) -> WorkKey {
        match self.below(4) {
            0 => WorkKey::Account(self.account()),
            1 => WorkKey::Queue(product()),
            2 => WorkKey::Sweep("default".to_owned()),
            _ => WorkKey::Pod(pod_id(self.below(PODS))),
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        let (payer, pod, at) = (self.account(), pod_id(self.below(PODS)), self.time());
        match self.below(7) {
            0 => Condition::Hold {
                payer,
                pod,
                amount: money(self.below(5) as i64),
                at,
            },
            1 => Condition::Funded { payer, at },
            2 => Condition::NobodyQueued {
                product: product(),
                except: pod,
            },
            3 => Condition::FewerPods {
                owner: user_id(self.below(USERS)),
                max: self.below(4) as u32 + 1,
            },
            4 => Condition::UserAt {
                user: user_id(self.below(USERS)),
                version: self.below(3) + 1,
            },
            5 => Condition::AccountAt {
                account: payer,
                version: self.below(4) + 1,
            },
            _ => Condition::LeaseFree {
                resource: format!("port/{}", self.below(4)),
            },
        }
    }

    /// Questions for documents.
    pub(crate) fn documents(&self) -> Vec<DocQuery> {
        let mut queries = Vec::new();
        for newest_first in [false, true] {
            for index in [None, Some((self.below(3) as u8, "v1".to_owned()))] {
                queries.push(DocQuery {
                    kind: "note".to_owned(),
                    prefix: ["", "k", "k3"][self.below(3) as usize].to_owned(),
                    index,
                    newest_first,
                    after: None,
                    limit: 2,
                    now: self.time() - Duration::from_secs(60),
                });
            }
        }
        queries
    }
}
