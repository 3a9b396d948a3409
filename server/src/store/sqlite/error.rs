//! SQLite's failures in the store's words.

use rusqlite::ErrorCode;

use crate::store::{Source, StoreError};

/// The damage of a value that SQLite itself found whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a value is damaged")]
pub(super) struct DamagedValue;

impl From<DamagedValue> for rusqlite::Error {
    fn from(damage: DamagedValue) -> Self {
        let kind = rusqlite::types::Type::Blob;
        Self::FromSqlConversionFailure(0, kind, Box::new(damage))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                Self::Io(Source::new(error))
            }
            None if is_damage(&error) => Self::Corrupt,
            Some(_) | None => Self::Failed(Source::new(error)),
        }
    }
}

/// True for a column that is not what was written there.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
    )
}
