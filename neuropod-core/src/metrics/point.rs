//! One point of a pod's usage, made of what a backend has counted. Pure. What can't be told stays `None`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::DeviceId;
use crate::orchestrator::{GpuUsage, Usage};
use crate::pod::PodSpec;
use crate::time::Time;

/// What a pod may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a CPU.
    pub cpu_milli: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of container disk.
    pub disk_bytes: u64,
    /// Bytes of its volume.
    pub volume_bytes: u64,
}

impl Limits {
    /// Of a pod that was asked for like this.
    pub fn of(spec: &PodSpec) -> Self {
        const GB: u64 = 1_000_000_000;
        Self {
            cpu_milli: spec.resources.cpu_milli,
            memory_bytes: spec.resources.memory_bytes,
            disk_bytes: u64::from(spec.container_disk_gb) * GB,
            volume_bytes: u64::from(spec.volume_disk_gb) * GB,
        }
    }
}

/// What a pod uses at an instant, or on average over a span that begins then. `null` is what can't be measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = UsagePoint))]
#[serde(rename_all = "camelCase", default)]
pub struct Point {
    /// When, in our time.
    pub at: Time,
    /// How many cores it keeps busy.
    pub cpu_cores: Option<f64>,
    /// The same in per cent of its limit.
    pub cpu_percent: Option<f64>,
    /// Working set.
    pub memory_bytes: Option<u64>,
    /// What it may have.
    pub memory_limit_bytes: Option<u64>,
    /// On its own disk, beside what its image has.
    pub disk_bytes: Option<u64>,
    /// What was asked for.
    pub disk_size_bytes: Option<u64>,
    /// On its volume.
    pub volume_bytes: Option<u64>,
    /// What was asked for.
    pub volume_size_bytes: Option<u64>,
    /// Received, in bytes.
    pub rx_per_second: Option<f64>,
    /// Sent, in bytes.
    pub tx_per_second: Option<f64>,
    /// Read from block devices, in bytes.
    pub read_per_second: Option<f64>,
    /// Written to block devices, in bytes.
    pub written_per_second: Option<f64>,
    /// Each of its devices.
    pub gpus: Vec<GpuUsage>,
}

impl Point {
    /// How busy its devices are, 0 to 100: their mean, if each of them tells.
    pub fn gpu_percent(&self) -> Option<u32> {
        let percents = self.gpus.iter().map(|gpu| gpu.percent);
        let count = u32::try_from(self.gpus.len()).ok()?;
        percents.sum::<Option<u32>>()?.checked_div(count)
    }

    /// Its memory in per cent of its limit.
    pub fn memory_percent(&self) -> Option<f64> {
        let limit = self.memory_limit_bytes.filter(|limit| *limit > 0)?;
        Some(self.memory_bytes? as f64 * 100.0 / limit as f64)
    }
}

/// What `now` says of a pod that may use that much; rates are since `before`. `None` if it does not run. `at` is our time.
pub fn point(before: Option<&Usage>, now: &Usage, limits: &Limits, at: Time) -> Option<Point> {
    now.at?;
    let rate = |of: fn(&Usage) -> Option<u64>| per_second(before?, now, of);
    let told = now.cpu_milli.map(|milli| milli as f64 / 1000.0);
    let cpu_cores = told.or_else(|| Some(rate(|usage| usage.cpu_micros)? / 1_000_000.0));
    let allowed = f64::from(limits.cpu_milli) / 1000.0;
    Some(Point {
        at,
        cpu_cores,
        cpu_percent: cpu_cores
            .filter(|_| allowed > 0.0)
            .map(|cores| cores * 100.0 / allowed),
        memory_bytes: now.memory_bytes,
        memory_limit_bytes: now.memory_limit_bytes.or(Some(limits.memory_bytes)),
        disk_bytes: now.disk_bytes,
        disk_size_bytes: Some(limits.disk_bytes),
        volume_bytes: now.volume_bytes,
        volume_size_bytes: Some(limits.volume_bytes),
        rx_per_second: rate(|usage| usage.rx_bytes),
        tx_per_second: rate(|usage| usage.tx_bytes),
        read_per_second: rate(|usage| usage.read_bytes),
        written_per_second: rate(|usage| usage.written_bytes),
        gpus: now.gpus.clone(),
    })
}

/// How fast a counter grew. A counter that fell began anew, and then nobody knows.
fn per_second(before: &Usage, now: &Usage, of: fn(&Usage) -> Option<u64>) -> Option<f64> {
    let elapsed = now.at?.since(before.at?).as_secs_f64();
    let grown = of(now)?.checked_sub(of(before)?)?;
    (elapsed > 0.0).then(|| grown as f64 / elapsed)
}

/// The average of what was measured, as of `at`; of no points nothing is known.
pub fn average(points: &[Point], at: Time) -> Point {
    let mean = |of: fn(&Point) -> Option<f64>| mean(points.iter().filter_map(of));
    let whole = |of: fn(&Point) -> Option<u64>| {
        let known = points.iter().filter_map(of);
        rounded(known.map(|value| value as f64))
    };
    Point {
        at,
        cpu_cores: mean(|p| p.cpu_cores),
        cpu_percent: mean(|p| p.cpu_percent),
        memory_bytes: whole(|p| p.memory_bytes),
        memory_limit_bytes: whole(|p| p.memory_limit_bytes),
        disk_bytes: whole(|p| p.disk_bytes),
        disk_size_bytes: whole(|p| p.disk_size_bytes),
        volume_bytes: whole(|p| p.volume_bytes),
        volume_size_bytes: whole(|p| p.volume_size_bytes),
        rx_per_second: mean(|p| p.rx_per_second),
        tx_per_second: mean(|p| p.tx_per_second),
        read_per_second: mean(|p| p.read_per_second),
        written_per_second: mean(|p| p.written_per_second),
        gpus: gpus(points),
    }
}

/// Each device that any of them has.
fn gpus(points: &[Point]) -> Vec<GpuUsage> {
    let mut by_uuid: BTreeMap<&DeviceId, Vec<&GpuUsage>> = BTreeMap::new();
    for gpu in points.iter().flat_map(|point| &point.gpus) {
        by_uuid.entry(&gpu.uuid).or_default().push(gpu);
    }
    let average = |(uuid, all): (&DeviceId, Vec<&GpuUsage>)| {
        let whole = |of: fn(&GpuUsage) -> Option<u64>| {
            let known = all.iter().filter_map(|gpu| of(gpu));
            rounded(known.map(|value| value as f64))
        };
        let small = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
        GpuUsage {
            uuid: uuid.clone(),
            percent: small(whole(|gpu| gpu.percent.map(u64::from))),
            memory_bytes: whole(|gpu| gpu.memory_bytes),
            memory_total_bytes: whole(|gpu| gpu.memory_total_bytes),
            celsius: small(whole(|gpu| gpu.celsius.map(u64::from))),
            milliwatts: small(whole(|gpu| gpu.milliwatts.map(u64::from))),
        }
    };
    by_uuid.into_iter().map(average).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn rounded(values: impl Iterator<Item = f64>) -> Option<u64> {
    mean(values).map(|mean| mean.round() as u64)
}

/// One average for each `step` between `from` and `to` in which something was measured.
pub fn buckets(points: &[Point], from: Time, to: Time, step: Duration) -> Vec<Point> {
    let number = |point: &Point| point.at.since(from).as_micros() / step.as_micros().max(1);
    let within: Vec<Point> = (points.iter())
        .filter(|point| from <= point.at && point.at < to)
        .cloned()
        .collect();
    let same = within.chunk_by(|a, b| number(a) == number(b));
    same.map(|points| {
        let number = u32::try_from(number(&points[0])).unwrap_or(u32::MAX);
        average(points, from + step * number)
    })
    .collect()
}
