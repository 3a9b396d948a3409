//! How a file is opened: what is ours and whole is used, all else is left as it is.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    schema::{Identity, MIGRATIONS, identity, migrate},
    value::number,
};
use crate::store::{Durability, Fault, Source};

/// How long another program, as a shell, may hold the file's lock before a write fails.
///
/// All writes wait for it: long enough for a statement by hand, short enough to be noticed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// At this length of the write-ahead log the writer itself moves what was written to the file.
///
/// Without writes to wait for, the other thread moves it sooner; under load it moves most of it,
/// and the log begins anew only by this. Measured: a commit then takes some milliseconds.
const MAX_WAL_PAGES: i64 = 8192;

/// The write-ahead log is cut to this length when it begins anew; 32 MiB, as many pages.
const MAX_WAL_BYTES: i64 = MAX_WAL_PAGES * 4096;

/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 64;

/// A file that is open and ours alone.
#[derive(Debug)]
pub(super) struct Opened {
    /// Reads and writes.
    pub(super) connection: Connection,
    /// Keeps other processes out while it is open.
    pub(super) lock: File,
    /// Where the file is, behind links.
    pub(super) path: PathBuf,
    /// How many times the file has been opened.
    pub(super) epoch: u64,
}

/// Opens a file, and makes it and its directories where there are none.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Opened, Fault> {
    make(path)?;
    let path = fs::canonicalize(path)?;
    let lock = lock(&path)?;
    let was_left_open = has_wal(&path)?;
    let mut connection = connect(&path, READ_WRITE)?;
    if connection.is_readonly("main")? {
        return Err(Fault::ReadOnly);
    }
    let version = match identity(&connection)? {
        Identity::Empty => {
            // It must stand before the first table: deleted pages are given back a few at a time.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            0
        }
        Identity::Ours(found) if found > MIGRATIONS.len() => {
            let known = MIGRATIONS.len();
            return Err(Fault::Newer { found, known });
        }
        Identity::Ours(version) => version,
        Identity::Foreign => return Err(Fault::Foreign),
    };
    if was_left_open {
        check(&connection)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let refusal = format!("its file system does not do for a write-ahead log ({mode})");
        return Err(Fault::Io(io::Error::new(ErrorKind::Unsupported, refusal)));
    }
    let synchronous = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", MAX_WAL_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", MAX_WAL_BYTES)?;
    // Zeroes what is deleted where that costs no further page; pages that are free keep old text
    // until they are used or given back. Who must do better encrypts the disk.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    migrate(&mut connection, MIGRATIONS, version)?;
    let sql = "UPDATE process SET epoch = epoch + 1 RETURNING epoch";
    let epoch = connection
        .query_row(sql, [], |row| row.get(0))
        .map(number)?;
    Ok(Opened {
        connection,
        lock,
        path,
        epoch,
    })
}

/// How a file is opened that is there.
pub(super) const READ_WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE;

/// Opens a connection, and sets what every one has.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // Each is used by one thread at a time.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    // A file that was tampered with runs no functions and is noticed early.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Makes an empty file that nobody else may read.
fn make(path: &Path) -> Result<(), Fault> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_file = fs::metadata(path)?.is_file();
            is_file.then_some(()).ok_or(Fault::Foreign)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes the file for this process.
///
/// The lock is on a file beside it, which stays. On the file itself it would be undone: SQLite's
/// own locks end when any handle of the file is closed in the process, and in some systems the
/// two kinds of locks exclude each other.
fn lock(path: &Path) -> Result<File, Fault> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, "-lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// True when whoever had the file last did not close it.
fn has_wal(path: &Path) -> io::Result<bool> {
    match fs::metadata(beside(path, "-wal")) {
        Ok(wal) => Ok(wal.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn check(connection: &Connection) -> Result<(), Fault> {
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match finding.as_str() {
        "ok" => Ok(()),
        _ => Err(Fault::Damaged { finding }),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::StorageFull {
            Self::Full
        } else if matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
        ) {
            Self::ReadOnly
        } else {
            Self::Io(error)
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged {
                finding: error.to_string(),
            },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(_) | None => Self::Failed(Source::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk_where_nothing_may_be_lost() {
        for (durability, level) in [(Durability::Normal, 1), (Durability::Full, 2)] {
            let folder = tempfile::tempdir().unwrap();
            let opened = open(&folder.path().join("store.db"), durability).unwrap();
            let synchronous = "PRAGMA synchronous";
            let found: i64 = opened
                .connection
                .query_row(synchronous, [], |row| row.get(0))
                .unwrap();
            assert_eq!(found, level, "{durability:?}");
            // What is moved to the file is synced before the log begins anew, either way.
            let moving = connect(&opened.path, READ_WRITE).unwrap();
            let found: i64 = moving.query_row(synchronous, [], |row| row.get(0)).unwrap();
            assert_eq!(found, 2, "{durability:?}");
        }
    }
}
