//! Why a store cannot be opened.

use std::{io, path::PathBuf};

use super::Source;

/// The store cannot be opened; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep sessions in {}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is the matter with it.
    #[source]
    pub fault: Fault,
}

/// What is the matter with a file that is to be a store.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Another process, or another part of this one, has it open as its store.
    #[error(
        "it is in use by another process, perhaps another taiwa-server: stop that, or give this \
         one --store sqlite:FILE with a file of its own, or --store memory"
    )]
    InUse,
    /// Its tables are of a later version.
    #[error(
        "it was written by a newer version of Taiwa (schema {found}, this version knows {known}): \
         upgrade, or use another file"
    )]
    Newer {
        /// Version of its tables.
        found: usize,
        /// Newest version that is known.
        known: usize,
    },
    /// It is something else.
    #[error("it is not a store of Taiwa, and is left as it is")]
    Foreign,
    /// It is damaged.
    #[error(
        "it is damaged and is left as it is ({finding}): restore it from a copy, or use another file"
    )]
    Damaged {
        /// What was found first.
        finding: String,
    },
    /// It, its directory or its file system cannot be written.
    #[error("it cannot be written: the file, its directory or its file system is read-only")]
    ReadOnly,
    /// Its disk is full.
    #[error("its disk is full")]
    Full,
    /// Another program has held its lock for too long.
    #[error("it is locked by another program")]
    Busy,
    /// It or its directory cannot be made, read or locked.
    #[error("the file or its directory cannot be used")]
    Io(#[source] io::Error),
    /// The database failed in a way that is not expected of it.
    #[error("the database failed")]
    Failed(#[source] Source),
}
