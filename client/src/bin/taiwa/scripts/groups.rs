//! The process groups of the scripts that run, and their end.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::process::{Child, Command};

/// The groups under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    leaders: BTreeSet<u32>,
    has_ended: bool,
}

/// One group; dropping it kills what is left of it.
#[derive(Debug)]
pub(super) struct Group {
    groups: Groups,
    leader: u32,
}

impl Groups {
    /// Starts a process that leads a group of its own, unless all groups are ended.
    ///
    /// Under the lock: a process that another thread is about to start when the groups are ended
    /// would outlive this program.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<(Child, Option<Group>)> {
        let mut state = self.lock();
        if state.has_ended {
            return Err(io::Error::other("this client ends"));
        }
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn()?;
        let group = child.id().map(|leader| {
            state.leaders.insert(leader);
            Group {
                groups: self.clone(),
                leader,
            }
        });
        drop(state);
        Ok((child, group))
    }

    /// Kills all groups, and has no more started.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        for leader in std::mem::take(&mut state.leaders) {
            kill(leader);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Under the lock: whoever ends all groups, and then this program, must find it killed.
        let mut state = self.groups.lock();
        // A group that was ended is not looked for again: its number may be another's.
        if state.leaders.remove(&self.leader) {
            kill(self.leader);
        }
    }
}

#[cfg(unix)]
fn kill(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};

    let leader = i32::try_from(leader).ok().and_then(Pid::from_raw);
    if let Some(leader) = leader {
        // A group that has ended by itself needs no end.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

/// Without process groups the script alone is killed, when its handle is dropped.
#[cfg(not(unix))]
fn kill(_leader: u32) {}
