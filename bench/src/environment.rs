//! Where and how a run took place, in one line.

use std::{fmt, fs, process::Command, time::SystemTime};

use crate::args::Plan;

/// What figures depend on.
#[derive(Debug)]
pub(crate) struct Environment {
    commit: String,
    cpu: String,
    cores: usize,
    kernel: String,
    load: String,
    plan: Plan,
    date: SystemTime,
}

impl Environment {
    /// Looks around; what cannot be found out is called unknown.
    pub(crate) fn look(plan: &Plan) -> Self {
        Self {
            commit: commit().unwrap_or_else(unknown),
            cpu: cpu().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: first_line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            load: load().unwrap_or_else(unknown),
            plan: plan.clone(),
            date: SystemTime::now(),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "commit={} cpu=\"{}\" cores={} kernel={} load_before={} toolchain=\"{}\" profile={} \
             pace=\"first after {}, then every {}\" rounds={} date={}",
            self.commit,
            self.cpu,
            self.cores,
            self.kernel,
            self.load,
            env!("BENCH_TOOLCHAIN"),
            env!("BENCH_PROFILE"),
            humantime::format_duration(self.plan.first_delay),
            humantime::format_duration(self.plan.piece_delay),
            self.plan.rounds,
            humantime::format_rfc3339_seconds(self.date),
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let suffix = if changed.is_empty() { "" } else { "+changes" };
    Some(commit + suffix)
}

fn cpu() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The load of the last minute: above zero, something else was running.
fn load() -> Option<String> {
    let line = first_line("/proc/loadavg")?;
    Some(line.split_whitespace().next()?.to_owned())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}
