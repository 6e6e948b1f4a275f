//! Plays `libnvidia-ml.so.1` where there is no GPU: two of them, the second one divided into two parts.
//!
//! A test that links this and the backend that loads it have a copy each, so they talk by a file of their process.

#![allow(non_snake_case)] // the names are NVIDIA's
#![allow(clippy::missing_safety_doc)] // as NVIDIA documents them

use std::ffi::{CStr, c_char, c_uint, c_ulonglong, c_void};
use std::path::PathBuf;

const SUCCESS: c_uint = 0;
const INVALID_ARGUMENT: c_uint = 2;
const NOT_SUPPORTED: c_uint = 3;
const NOT_FOUND: c_uint = 6;
const INSUFFICIENT_SIZE: c_uint = 7;
const GPU_IS_LOST: c_uint = 15;

/// A GPU, or a part of one.
#[derive(Debug)]
pub struct Device {
    /// Its UUID.
    pub uuid: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Its memory.
    pub mib: u64,
    /// Of which GPU it is a part.
    parent: Option<usize>,
}

/// How busy the first GPU is, in per cent.
pub const PERCENT: u32 = 37;
/// How much of each memory is used.
pub const USED_MIB: u64 = 1024;

/// How warm the first GPU is, in degrees Celsius.
pub const CELSIUS: u32 = 61;
/// The power it takes, in thousandths of a watt.
pub const MILLIWATTS: u32 = 34_500;

/// All there are.
pub const DEVICES: [Device; 4] = [
    Device {
        uuid: "GPU-11111111-1111-1111-1111-111111111111",
        name: "NVIDIA GeForce RTX 4050 Laptop GPU",
        mib: 6141,
        parent: None,
    },
    Device {
        uuid: "GPU-22222222-2222-2222-2222-222222222222",
        name: "NVIDIA A100-SXM4-40GB",
        mib: 40_960,
        parent: None,
    },
    Device {
        uuid: "MIG-33333333-3333-3333-3333-333333333333",
        name: "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        mib: 4864,
        parent: Some(1),
    },
    Device {
        uuid: "MIG-44444444-4444-4444-4444-444444444444",
        name: "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
        mib: 19_968,
        parent: Some(1),
    },
];

/// From now on the first GPU has fallen off the bus, or is back.
pub fn lose_the_first(lost: bool) {
    let done = if lost {
        std::fs::write(lost_file(), "")
    } else {
        std::fs::remove_file(lost_file())
    };
    done.expect("a file");
}

fn lost_file() -> PathBuf {
    std::env::temp_dir().join(format!("neuropod-nvml-{}", std::process::id()))
}

/// A handle is a place in the table, from one.
type Handle = *mut c_void;

fn handle(place: usize) -> Handle {
    std::ptr::without_provenance_mut(place + 1)
}

/// Answers what `tell` knows about a device.
fn about(handle: Handle, tell: impl FnOnce(usize, &Device) -> c_uint) -> c_uint {
    let place = handle.addr().wrapping_sub(1);
    match DEVICES.get(place) {
        None => INVALID_ARGUMENT,
        Some(_) if place == 0 && lost_file().exists() => GPU_IS_LOST,
        Some(device) => tell(place, device),
    }
}

/// Writes a value that the caller has room for.
unsafe fn give<T>(out: *mut T, value: T) -> c_uint {
    unsafe { out.write(value) };
    SUCCESS
}

/// Writes a text if it fits.
unsafe fn give_text(out: *mut c_char, room: c_uint, text: &str) -> c_uint {
    if text.len() >= room as usize {
        return INSUFFICIENT_SIZE;
    }
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), out, text.len());
        out.add(text.len()).write(0);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlInit_v2() -> c_uint {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlShutdown() -> c_uint {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_uint {
    unsafe { give(count, 2) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut Handle) -> c_uint {
    about(handle(index as usize), |place, _| unsafe {
        give(out, handle(place))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut Handle) -> c_uint {
    let uuid = unsafe { CStr::from_ptr(uuid) }.to_bytes();
    match DEVICES.iter().position(|d| d.uuid.as_bytes() == uuid) {
        Some(place) => unsafe { give(out, handle(place)) },
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(gpu: Handle, out: *mut c_char, room: c_uint) -> c_uint {
    about(gpu, |_, device| unsafe {
        give_text(out, room, device.uuid)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(gpu: Handle, out: *mut c_char, room: c_uint) -> c_uint {
    about(gpu, |_, device| unsafe {
        give_text(out, room, device.name)
    })
}

#[repr(C)]
struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(gpu: Handle, out: *mut Memory) -> c_uint {
    about(gpu, |_, device| {
        let memory = Memory {
            version: unsafe { (*out).version },
            total: device.mib << 20,
            reserved: 0,
            free: (device.mib - USED_MIB) << 20,
            used: USED_MIB << 20,
        };
        unsafe { give(out, memory) }
    })
}

#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUtilizationRates(gpu: Handle, out: *mut Utilization) -> c_uint {
    about(gpu, |place, _| {
        let rates = Utilization {
            gpu: PERCENT,
            memory: 0,
        };
        // A divided GPU is not measured, nor are its parts.
        if place == 0 {
            unsafe { give(out, rates) }
        } else {
            NOT_SUPPORTED
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperature(
    gpu: Handle,
    _sensor: c_uint,
    out: *mut c_uint,
) -> c_uint {
    of_a_whole_one(gpu, out, CELSIUS)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerUsage(gpu: Handle, out: *mut c_uint) -> c_uint {
    of_a_whole_one(gpu, out, MILLIWATTS)
}

/// A part of a GPU tells neither.
fn of_a_whole_one(gpu: Handle, out: *mut c_uint, value: c_uint) -> c_uint {
    about(gpu, |place, _| match place {
        0 => unsafe { give(out, value) },
        _ => NOT_SUPPORTED,
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigMode(
    gpu: Handle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_uint {
    about(gpu, |place, _| match place {
        0 => NOT_SUPPORTED,
        _ => unsafe {
            give(pending, 1);
            give(current, 1)
        },
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(gpu: Handle, count: *mut c_uint) -> c_uint {
    about(gpu, |_, _| unsafe { give(count, 7) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    gpu: Handle,
    index: c_uint,
    out: *mut Handle,
) -> c_uint {
    about(gpu, |of, _| {
        let mut parts = (0..DEVICES.len()).filter(|&place| DEVICES[place].parent == Some(of));
        match parts.nth(index as usize) {
            Some(place) => unsafe { give(out, handle(place)) },
            None => NOT_FOUND,
        }
    })
}
