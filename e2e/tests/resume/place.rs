//! Systems whose sessions are kept in memory, and in a file.

use std::{fs, ops::Deref};

use taiwa_e2e::{Settings, World};
use taiwa_server::store::{Durability, Place};
use tempfile::TempDir;

/// A system, and the directory of its file where it has one.
pub(crate) struct Placed {
    world: World,
    dir: TempDir,
    is_in_file: bool,
}

/// Starts one of each kind.
pub(crate) async fn each(scenario: &str, settings: &Settings) -> [Placed; 2] {
    [
        in_memory(scenario, settings.clone()).await,
        in_file(scenario, settings.clone()).await,
    ]
}

/// Starts a system that keeps its sessions in memory.
pub(crate) async fn in_memory(scenario: &str, settings: Settings) -> Placed {
    Placed {
        world: World::with(scenario, settings).await,
        dir: TempDir::new().unwrap(),
        is_in_file: false,
    }
}

/// Starts a system that keeps its sessions in an SQLite file.
pub(crate) async fn in_file(scenario: &str, settings: Settings) -> Placed {
    let dir = TempDir::new().unwrap();
    let store = file_in(&dir);
    let settings = Settings { store, ..settings };
    Placed {
        world: World::with(scenario, settings).await,
        dir,
        is_in_file: true,
    }
}

fn file_in(dir: &TempDir) -> Place {
    Place::Sqlite {
        path: dir.path().join("sessions.sqlite3"),
        durability: Durability::Normal,
    }
}

impl Placed {
    /// True when its sessions outlive it.
    pub(crate) fn is_in_file(&self) -> bool {
        self.is_in_file
    }

    /// Stops the server in order, and starts another on the same file.
    pub(crate) async fn restart(self) -> Self {
        Self {
            world: self.world.restart().await,
            ..self
        }
    }

    /// Starts another server on a copy of the file, as a killed one would leave it.
    ///
    /// Nothing may be written meanwhile. The first server runs on.
    pub(crate) async fn crash(self) -> Self {
        let dir = TempDir::new().unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        Self {
            world: self.world.turn_to(file_in(&dir)).await,
            dir,
            ..self
        }
    }
}

impl Deref for Placed {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}
