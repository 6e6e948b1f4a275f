//! NVIDIA's management library, loaded while the program runs. Its calls block, and one about a broken GPU may never
//! return, so they are made one at a time on a thread beside, and not waited for very long.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use neuropod_core::id::DeviceId;
use neuropod_core::orchestrator::{Device, GpuUsage};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use tracing::{debug, info, warn};

/// The driver may have to wake the GPUs first, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Nvml {
    library: Arc<tokio::sync::Mutex<Library>>,
    known: Mutex<Known>,
}

/// The library, once it is loaded.
#[derive(Debug)]
struct Library {
    path: Option<OsString>,
    loaded: Option<nvml_wrapper::Nvml>,
}

/// Every device that was ever there, and whether it is now.
#[derive(Debug, Default)]
struct Known(BTreeMap<DeviceId, Device>);

impl Nvml {
    pub(super) fn new(path: Option<OsString>) -> Self {
        let library = Library { path, loaded: None };
        Self {
            library: Arc::new(tokio::sync::Mutex::new(library)),
            known: Mutex::default(),
        }
    }

    pub(super) async fn devices(&self) -> Vec<Device> {
        let there = self.ask(devices).await.unwrap_or_default();
        let mut known = self.known.lock().expect("no panic while held");
        known.note(there);
        known.0.values().cloned().collect()
    }

    pub(super) async fn usage(&self, ids: Vec<DeviceId>) -> Vec<GpuUsage> {
        let unknown = ids.iter().cloned().map(GpuUsage::unknown).collect();
        let measure = move |library: &_| Ok(ids.iter().map(|id| usage(library, id)).collect());
        self.ask(measure).await.unwrap_or(unknown)
    }

    /// What the library answers; `None` if there is none, or it fails, or does not answer.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&nvml_wrapper::Nvml) -> Result<T, NvmlError> + Send + 'static,
    ) -> Option<T> {
        let asked = async {
            let mut library = self.library.clone().lock_owned().await;
            let answer = tokio::task::spawn_blocking(move || library.ask(question));
            answer.await.ok()?
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        answer.unwrap_or_else(|_| {
            warn!("NVIDIA's library does not answer");
            None
        })
    }
}

impl Library {
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&nvml_wrapper::Nvml) -> Result<T, NvmlError>,
    ) -> Option<T> {
        let loaded = match self.loaded.take() {
            Some(loaded) => Ok(loaded),
            None => load(self.path.as_ref()),
        };
        let asked = loaded.and_then(|loaded| Ok((question(&loaded)?, loaded)));
        match asked {
            Ok((answer, loaded)) => {
                self.loaded = Some(loaded);
                Some(answer)
            }
            Err(NvmlError::LibloadingError(error)) => {
                debug!(%error, "no library of NVIDIA's");
                None
            }
            // It is loaded anew for the next question: its driver may have been exchanged.
            Err(error) => {
                warn!(%error, "NVIDIA's library can't tell the GPUs");
                None
            }
        }
    }
}

fn load(path: Option<&OsString>) -> Result<nvml_wrapper::Nvml, NvmlError> {
    match path {
        Some(path) => nvml_wrapper::Nvml::builder().lib_path(path).init(),
        None => nvml_wrapper::Nvml::init(),
    }
}

/// The devices that answer now.
fn devices(library: &nvml_wrapper::Nvml) -> Result<Vec<Device>, NvmlError> {
    let mut found = Vec::new();
    for index in 0..library.device_count()? {
        // One that has fallen off the bus is missed by what was known before.
        let Ok(gpu) = library.device_by_index(index) else {
            continue;
        };
        let divided = gpu.mig_mode().is_ok_and(|mode| mode.current == DIVIDED);
        if divided {
            let parts = 0..gpu.mig_device_count().unwrap_or_default();
            let parts = parts.filter_map(|part| gpu.mig_device_by_index(part).ok());
            found.extend(parts.filter_map(|part| device(&part)));
        } else {
            found.extend(device(&gpu));
        }
    }
    Ok(found)
}

/// The mode of a GPU whose parts are devices.
const DIVIDED: u32 = 1;

/// A device, if it answers.
fn device(gpu: &nvml_wrapper::Device<'_>) -> Option<Device> {
    let memory = match gpu.memory_info() {
        Ok(memory) => memory.total,
        // It shares the machine's.
        Err(NvmlError::NotSupported) => 0,
        Err(_) => return None,
    };
    Some(Device {
        id: DeviceId::new(gpu.uuid().ok()?),
        product: gpu.name().ok()?,
        memory_mib: memory >> 20,
        healthy: true,
    })
}

/// What one does; a part of a GPU does not tell all of it.
fn usage(library: &nvml_wrapper::Nvml, id: &DeviceId) -> GpuUsage {
    let unknown = GpuUsage::unknown(id.clone());
    let Ok(gpu) = library.device_by_uuid(id.as_str()) else {
        return unknown;
    };
    let memory = gpu.memory_info().ok();
    GpuUsage {
        percent: gpu.utilization_rates().ok().map(|rates| rates.gpu),
        memory_bytes: memory.as_ref().map(|memory| memory.used),
        memory_total_bytes: memory.map(|memory| memory.total),
        celsius: gpu.temperature(TemperatureSensor::Gpu).ok(),
        milliwatts: gpu.power_usage().ok(),
        ..unknown
    }
}

impl Known {
    /// Notes what answers now; what does not is there no more.
    fn note(&mut self, there: Vec<Device>) {
        let now: BTreeMap<_, _> = there.into_iter().map(|d| (d.id.clone(), d)).collect();
        for (id, device) in &mut self.0 {
            if device.healthy && !now.contains_key(id) {
                warn!(%id, product = device.product, "a GPU is gone, or does not answer");
                device.healthy = false;
            }
        }
        for (id, device) in now {
            if !self.0.get(&id).is_some_and(|known| known.healthy) {
                let (product, mib) = (&device.product, device.memory_mib);
                info!(%id, product, mib, "a GPU is there");
            }
            self.0.insert(id, device);
        }
    }
}
