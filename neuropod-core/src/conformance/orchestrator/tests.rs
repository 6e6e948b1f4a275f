//! The suite itself: a backend that breaks one promise fails the cases that rest on it, and no other.

mod promises;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};

use super::{cases, memory};
use crate::Orchestrator;
use crate::error::Result;
use crate::id::{PodId, RunId};
use crate::memory::MemoryOrchestrator;
use crate::orchestrator::{
    Capacity, Ensured, Fence, Found, GpuUsage, LogLine, LogQuery, Seen, State, Usage, Workload,
};
use promises::{CASES, Promise};

#[derive(Debug)]
struct Broken {
    inner: MemoryOrchestrator,
    promise: Promise,
}

impl Broken {
    fn breaks(&self, promise: Promise) -> bool {
        self.promise == promise
    }

    async fn runs(&self, pod: PodId) -> Vec<RunId> {
        let seen = self.inner.observe(pod).await;
        let instances = seen.map_or_else(|_| Vec::new(), |seen| seen.instances);
        instances.iter().map(|i| i.run).collect()
    }
}

#[async_trait]
impl Orchestrator for Broken {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        let mut workload = workload.clone();
        let run = workload.run;
        if self.breaks(Promise::EndedStaysEnded) {
            let seen = self.inner.observe(run.pod).await?;
            let ended = |s: &State| matches!(s, State::Exited { .. });
            if seen
                .instances
                .iter()
                .any(|i| i.run == run && ended(&i.state))
            {
                self.inner.remove(run).await?;
            }
        }
        if self.breaks(Promise::HashOfTheSpecification) {
            workload.spec_hash = "the same".to_owned();
        }
        if self.breaks(Promise::LostVolumeIsTold)
            && let Some(volume) = &mut workload.volume
        {
            volume.id = None;
        }
        if self.breaks(Promise::DevicesAreGiven) {
            workload.devices.truncate(1);
        }
        let open = Fence::open();
        let asks = !self.breaks(Promise::AskTheFence);
        let fence = if asks { fence } else { &open };
        self.inner.ensure(&workload, fence).await
    }

    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        if self.breaks(Promise::StopKeepsEvidence) {
            return self.inner.remove(run).await;
        }
        if self.breaks(Promise::StopRemovesTheUnstarted) {
            let seen = self.inner.observe(run.pod).await?;
            let unstarted = |s: &State| matches!(s, State::Pending { .. });
            if seen
                .instances
                .iter()
                .any(|i| i.run == run && unstarted(&i.state))
            {
                return Ok(());
            }
        }
        let stopped = self.inner.stop(run, grace).await;
        stopped.or_else(|e| self.breaks(Promise::FailedCallsFail).then_some(()).ok_or(e))
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        for other in self.runs(run.pod).await {
            if self.breaks(Promise::RemoveByRun)
                || (self.breaks(Promise::RemoveByKey) && other.n == run.n)
            {
                self.inner.remove(other).await?;
            }
        }
        self.inner.remove(run).await
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        if self.breaks(Promise::PurgeTakesTheVolume) {
            for run in self.runs(pod).await {
                self.inner.remove(run).await?;
            }
            return Ok(());
        }
        self.inner.purge(pod).await
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let mut seen = match self.inner.observe(pod).await {
            Err(_) if self.breaks(Promise::UnknownIsNotAbsent) => Seen {
                at: crate::time::Time::EPOCH,
                instances: Vec::new(),
                volume: None,
            },
            other => other?,
        };
        for instance in &mut seen.instances {
            if let State::Exited {
                finished_at, code, ..
            } = &mut instance.state
            {
                if self.breaks(Promise::TimesAreKept) {
                    *finished_at = None;
                }
                if self.breaks(Promise::CodesAreTold) {
                    *code = Some(0);
                }
            }
        }
        Ok(seen)
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let list = self.inner.list().await?;
        let most = if self.breaks(Promise::ListIsWhole) {
            100
        } else {
            usize::MAX
        };
        Ok(list.take(most).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        self.inner.watch().await
    }

    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let mut query = query.clone();
        if self.breaks(Promise::TailIsTheEnd)
            && let Some(tail) = query.tail.take()
        {
            let lines = self.inner.logs(run, &query).await?;
            return Ok(lines.take(tail as usize).boxed());
        }
        let lines = self.inner.logs(run, &query).await?;
        if !self.breaks(Promise::PlacesInTheLog) {
            return Ok(lines);
        }
        let unplaced = lines.map(|line| {
            let mut line = line?;
            line.cursor.k = 0;
            Ok(line)
        });
        Ok(unplaced.boxed())
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        let mut usage = self.inner.usage(run).await?;
        if self.breaks(Promise::UnknownIsNotZero) {
            usage.gpus.push(GpuUsage {
                percent: Some(0),
                ..GpuUsage::unknown("GPU-0".into())
            });
        }
        Ok(usage)
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.inner.capacity().await
    }
}

/// Runs every case over what `wrap` makes of an engine; answers the names of those that fail.
fn failing(wrap: impl Fn(MemoryOrchestrator) -> Arc<dyn Orchestrator>) -> Vec<&'static str> {
    let passes = |case: &crate::conformance::Case<_, _>| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let run = async { (case.run)(memory::subject_of(&wrap)).await };
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(run))).is_ok()
    };
    let failing = cases().into_iter().filter(|case| !passes(case));
    failing.map(|case| case.name).collect()
}

#[test]
fn a_backend_that_breaks_a_promise_fails_the_cases_that_rest_on_it_and_no_other() {
    assert_eq!(failing(|engine| Arc::new(engine)), [""; 0]);
    for (promise, cases) in CASES {
        let promise = *promise;
        let failing = failing(|inner| Arc::new(Broken { inner, promise }));
        assert_eq!(failing, *cases, "{promise:?}");
    }
}
