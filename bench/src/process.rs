//! What a process has used, as the kernel tells it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Ticks of processor time a second: USER_HZ, which is 100 on every architecture that matters
/// here, <https://man7.org/linux/man-pages/man7/time.7.html>.
const TICKS_PER_SECOND: u32 = 100;

/// Processor time that a process has used, in user and kernel mode, by all its threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("cannot understand {path}: {stat}"))?;
    Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
}

/// Memory of a process that is resident, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    resident(&status).with_context(|| format!("no VmRSS in {path}"))
}

/// The sum of `utime` and `stime`: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ticks(stat: &str) -> Option<u32> {
    // The second field is a name in brackets, which may itself hold brackets and spaces.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_kernel_are_found() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (x) S 1"), None);
        assert_eq!(resident("VmPeak: 9 kB\nVmRSS:\t  12 kB\n"), Some(12 * 1024));
    }

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        cpu_time(pid).unwrap();
    }
}
