//! A place with little room, which can be made wider while a server runs there.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::child::Server;

/// Room that the store gets; enough for some dozens of turns.
const KIB: u32 = 2000;

/// Where there is little room.
#[derive(Debug)]
pub(crate) struct Room {
    folder: TempDir,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// No file of the process may grow further: its limit of the system's, which anybody may set.
    Limit,
    /// A file system in memory, which root alone may mount.
    Disk { ballast: PathBuf },
}

impl Room {
    pub(crate) fn limit() -> Option<Self> {
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            kind: Kind::Limit,
        })
    }

    /// `None` where it cannot be mounted; the limit stands for it there.
    pub(crate) async fn disk() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={}k", 4 * KIB);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        let status = mount.arg(folder.path()).status().await;
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("no file system can be mounted here: the limit of a file stands for it");
            return None;
        }
        let ballast = folder.path().join("ballast");
        std::fs::write(&ballast, vec![0; 3 * KIB as usize * 1024]).unwrap();
        Some(Self {
            folder,
            kind: Kind::Disk { ballast },
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps a command within the room.
    pub(crate) fn confine(&self, command: Command) -> Command {
        match self.kind {
            Kind::Disk { .. } => command,
            Kind::Limit => {
                let mut shell = Command::new("sh");
                // Without the trap the system ends a process that goes beyond.
                let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", 2 * KIB);
                let command = command.as_std();
                shell.args(["-c", &script, "sh"]).arg(command.get_program());
                shell.args(command.get_args()).kill_on_drop(true);
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => shell.env(name, value),
                        None => shell.env_remove(name),
                    };
                }
                shell
            }
        }
    }

    /// Makes the room wide.
    pub(crate) async fn widen(&mut self, server: &Server) {
        match &self.kind {
            Kind::Disk { ballast } => std::fs::remove_file(ballast).unwrap(),
            Kind::Limit => {
                let process = format!("--pid={}", server.id());
                let mut prlimit = Command::new("prlimit");
                prlimit.args([&process, "--fsize=unlimited:unlimited"]);
                assert!(prlimit.status().await.unwrap().success());
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Kind::Disk { .. } = self.kind {
            let mut umount = std::process::Command::new("umount");
            // Lazily: a server that a failed test leaves behind may have it open.
            let umounted = umount.arg("-l").arg(self.folder.path()).status();
            assert!(umounted.is_ok_and(|status| status.success()));
        }
    }
}

/// True for a user to whom nothing is read-only.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
