//! The engine's GPUs: as NVIDIA's library on this machine tells them, or as somebody has written them down.

mod nvml;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::str::FromStr;
use std::sync::Arc;

use neuropod_core::id::DeviceId;
use neuropod_core::orchestrator::{Device, GpuUsage};
use neuropod_core::{Error, Result};

use nvml::Nvml;

/// Where an engine's GPUs are known from.
///
/// Written down they are `uuid:product:MiB`, with commas between them:
///
/// ```
/// # use neuropod_docker::Gpus;
/// let gpus: Gpus = "GPU-4e6ad1f2-7a14-4b9c-8f0e-3d5b6c7a8e91:NVIDIA GeForce RTX 4050:6141".parse()?;
/// # Ok::<_, neuropod_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gpus(Source);

#[derive(Debug, Clone)]
enum Source {
    Nvml(Arc<Nvml>),
    Listed(Arc<[Device]>),
}

impl Gpus {
    /// This machine's, by NVIDIA's library, which is loaded when they are asked for first. Without it there are none.
    /// One that was there and is gone, or does not answer, is told as not healthy. Where a GPU is divided (MIG) its
    /// parts are the devices.
    pub fn of_this_machine() -> Self {
        Self(Source::Nvml(Arc::new(Nvml::new(None))))
    }

    /// The same, by the library at another path.
    pub fn by_library(path: impl Into<OsString>) -> Self {
        Self(Source::Nvml(Arc::new(Nvml::new(Some(path.into())))))
    }

    /// These, for an engine on another machine.
    pub fn listed(devices: impl IntoIterator<Item = Device>) -> Self {
        Self(Source::Listed(devices.into_iter().collect()))
    }

    pub(crate) async fn devices(&self) -> Vec<Device> {
        match &self.0 {
            Source::Nvml(nvml) => nvml.devices().await,
            Source::Listed(devices) => devices.to_vec(),
        }
    }

    /// What each of these devices does.
    pub(crate) async fn usage(&self, ids: &[DeviceId]) -> Vec<GpuUsage> {
        match &self.0 {
            Source::Nvml(nvml) if !ids.is_empty() => nvml.usage(ids.to_vec()).await,
            _ => ids.iter().cloned().map(GpuUsage::unknown).collect(),
        }
    }
}

impl Default for Gpus {
    fn default() -> Self {
        Self::of_this_machine()
    }
}

impl FromStr for Gpus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let items = text.split(',').map(str::trim);
        let devices: Vec<Device> = items.map(device).collect::<Result<_>>()?;
        let mut ids = BTreeSet::new();
        match devices.iter().find(|d| !ids.insert(&d.id)) {
            Some(twice) => Err(Error::invalid("", format!("{} is there twice.", twice.id))),
            None => Ok(Self::listed(devices)),
        }
    }
}

fn device(item: &str) -> Result<Device> {
    let bad = |why: &str| {
        let message = format!("{item:?} is no GPU of the form uuid:product:MiB: {why}.");
        Error::invalid("", message)
    };
    let parts: Vec<&str> = item.split(':').map(str::trim).collect();
    let [uuid, product, memory] = parts[..] else {
        return Err(bad("it has not three parts"));
    };
    // Anything else would mean something to the container runtime that is not one device, as `all` does.
    let is_uuid = (uuid.starts_with("GPU-") || uuid.starts_with("MIG-"))
        && uuid.len() > 4
        && (uuid.bytes()).all(|b| b.is_ascii_alphanumeric() || b"-/".contains(&b));
    if !is_uuid {
        return Err(bad("a UUID begins with GPU- or MIG-"));
    }
    if product.is_empty() {
        return Err(bad("the product has no name"));
    }
    let memory_mib = memory.parse().ok().filter(|&mib| mib > 0);
    Ok(Device {
        id: DeviceId::from(uuid),
        product: product.to_owned(),
        memory_mib: memory_mib.ok_or_else(|| bad("its memory is a number of MiB"))?,
        healthy: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_is_read() {
        let gpus: Gpus = "GPU-1a:NVIDIA GeForce RTX 4050:6141, MIG-2b:A100 MIG 1g.5gb:4864"
            .parse()
            .unwrap();
        let read: Vec<_> = gpus.devices().await;
        let read: Vec<_> = read
            .iter()
            .map(|d| (d.id.as_str(), d.product.as_str(), d.memory_mib, d.healthy))
            .collect();
        let expected = [
            ("GPU-1a", "NVIDIA GeForce RTX 4050", 6141, true),
            ("MIG-2b", "A100 MIG 1g.5gb", 4864, true),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_gpu_is_named() {
        let good = "GPU-1:RTX 4050:6141";
        for bad in [
            "",
            "GPU-2:RTX 4050",
            "GPU-2:RTX 4050:6141:1",
            "all:RTX 4050:6141",
            "0:RTX 4050:6141",
            "GPU-:RTX 4050:6141",
            "GPU-2 3:RTX 4050:6141",
            "GPU-2::6141",
            "GPU-2:RTX 4050:0",
            "GPU-2:RTX 4050:6GB",
        ] {
            let error = format!("{good},{bad}").parse::<Gpus>().unwrap_err();
            assert!(error.message().contains(&format!("{bad:?}")), "{error}");
        }
        let twice = format!("{good},{good}").parse::<Gpus>().unwrap_err();
        assert_eq!(twice.message(), "GPU-1 is there twice.");
    }

    /// What NVIDIA's own program, which comes with its driver, says of each GPU that is whole: the columns asked for.
    /// `None` where it is not there.
    fn nvidia_smi(columns: &str) -> Option<Vec<Vec<String>>> {
        let mut smi = std::process::Command::new("nvidia-smi");
        smi.arg(format!("--query-gpu=mig.mode.current,{columns}"));
        let told = smi.arg("--format=csv,noheader,nounits").output().ok()?;
        let told = String::from_utf8(told.stdout).expect("a table");
        let rows = told
            .lines()
            .map(|row| row.split(", ").map(str::to_owned).collect());
        let whole = rows.filter(|row: &Vec<String>| row[0] != "Enabled");
        Some(whole.map(|row| row[1..].to_vec()).collect())
    }

    /// The real library where there is one: it needs no engine.
    #[tokio::test]
    async fn the_gpus_of_this_machine_are_those_that_nvidia_smi_tells() {
        let Some(expected) = nvidia_smi("uuid,name,memory.total") else {
            return println!("not run: this machine has no driver of NVIDIA's");
        };
        let devices = Gpus::of_this_machine().devices().await;
        println!("{devices:#?}");
        assert!(devices.iter().all(|device| device.healthy));
        let whole = devices.iter().filter(|d| d.id.as_str().starts_with("GPU-"));
        let told = |d: &Device| {
            vec![
                d.id.to_string(),
                d.product.clone(),
                d.memory_mib.to_string(),
            ]
        };
        // In the order of their UUIDs, and there in that of their places.
        let expected: BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(whole.map(told).collect::<BTreeSet<_>>(), expected);
    }

    /// Whatever its GPUs do meanwhile.
    #[tokio::test]
    async fn what_the_gpus_of_this_machine_do_is_what_nvidia_smi_tells() {
        let columns = "uuid,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw";
        let Some(expected) = nvidia_smi(columns) else {
            return println!("not run: this machine has no driver of NVIDIA's");
        };
        let gpus = Gpus::of_this_machine();
        let mib = |column: &str| column.parse::<u64>().expect("MiB");
        for gpu in expected {
            let used = gpus.usage(&[DeviceId::from(gpu[0].as_str())]).await;
            println!("{gpu:?}: {used:?}");
            let used = used.into_iter().next().expect("the one");
            assert_eq!(used.memory_total_bytes.map(|b| b >> 20), Some(mib(&gpu[3])));
            let celsius: Option<u32> = gpu[4].parse().ok();
            assert!(
                used.celsius
                    .zip(celsius)
                    .is_none_or(|(a, b)| a.abs_diff(b) <= 10)
            );
            assert_eq!(used.celsius.is_some(), celsius.is_some());
            assert_eq!(used.milliwatts.is_some(), gpu[5].parse::<f64>().is_ok());
            let percent: Option<u32> = gpu[1].parse().ok();
            assert_eq!(used.percent.map(|p| p > 0), percent.map(|p| p > 0));
            let told = used.memory_bytes.expect("its memory") >> 20;
            assert!(
                told.abs_diff(mib(&gpu[2])) <= mib(&gpu[3]) / 50,
                "{told} MiB"
            );
        }
    }
}
