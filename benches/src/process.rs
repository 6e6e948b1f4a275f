//! What this process has used so far, as Linux counts it.

use std::time::Duration;

/// Linux counts CPU time for programs in hundredths of a second, whatever the kernel's own ticks are.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads of this process.
pub fn cpu() -> Duration {
    cpu_of("self")
}

/// CPU time of all threads of a process.
pub fn cpu_of(id: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    let stat = stat.expect("Linux tells what a process uses");
    // The name of the program, in brackets, may have spaces.
    let fields = stat.rsplit(") ").next().expect("a name, and then fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u32>().expect("a number of ticks");
    TICK * (ticks(11) + ticks(12))
}

/// Bytes of this process's memory that are resident now.
pub fn resident() -> u64 {
    resident_of("self")
}

/// Bytes of a process's memory that are resident now.
pub fn resident_of(id: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
    let status = status.expect("Linux tells what is resident");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number of KiB")
        * 1024
}
