//! The CPU share of a memory size: that size / 1769 of a core, as a cgroup's quota.
//!
//! Lambda gives a function a whole core at 1769 MB and proportionally less below (AWS's documentation, "Configure
//! Lambda function memory"), but a whole core during INIT. The period of 20 ms is what measurements of Lambda's
//! throttling found.

use std::{
    fs, io,
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The memory size that has a whole core, in MB.
const WHOLE_CORE: u32 = 1769;
const PERIOD_MICROS: u32 = 20_000;
/// The least quota that Linux takes.
const LEAST_QUOTA_MICROS: u32 = 1_000;

/// Where the CPU controllers of both versions are usually mounted.
const V1: &str = "/sys/fs/cgroup/cpu";
const V2: &str = "/sys/fs/cgroup";

/// The share of one memory size, if this machine lets us give it.
pub(crate) struct Share {
    memory: u32,
    group: Result<PathBuf, io::Error>,
}

impl Share {
    pub(crate) fn of(memory: u32) -> Self {
        let quota = (PERIOD_MICROS * memory / WHOLE_CORE).max(LEAST_QUOTA_MICROS);
        Self { memory, group: make_group(memory, quota) }
    }

    pub(crate) fn memory(&self) -> u32 {
        self.memory
    }

    /// Puts a process under the share, with all its threads.
    pub(crate) fn put(&self, pid: u32) -> io::Result<()> {
        match &self.group {
            Ok(group) => fs::write(group.join("cgroup.procs"), pid.to_string()),
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match &self.group {
            Ok(_) => format!("{:.1} % of a core", 100.0 * f64::from(self.memory) / f64::from(WHOLE_CORE)),
            Err(error) => format!("**whole cores, for no cgroup could be made here ({error})**"),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Ok(group) = &self.group {
            // A process takes a moment to leave the group after its end; what is left behind is an empty folder.
            fs::remove_dir(group).ok();
        }
    }
}

fn make_group(memory: u32, quota: u32) -> io::Result<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("tracebit-lake-{memory}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let group = PathBuf::from(V1).join(&name);
    if group.parent().is_some_and(|parent| parent.join("cpu.cfs_quota_us").exists()) {
        fs::create_dir_all(&group)?;
        fs::write(group.join("cpu.cfs_period_us"), PERIOD_MICROS.to_string())?;
        fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())?;
        return Ok(group);
    }
    let group = PathBuf::from(V2).join(&name);
    // Most systems have it on already.
    fs::write(PathBuf::from(V2).join("cgroup.subtree_control"), "+cpu").ok();
    fs::create_dir_all(&group)?;
    fs::write(group.join("cpu.max"), format!("{quota} {PERIOD_MICROS}"))?;
    Ok(group)
}
