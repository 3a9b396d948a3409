//! Why the store refuses a write or a read.

use std::sync::Arc;

/// Why a batch was not written, or something was not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A session that was to begin exists already.
    #[error("the session exists already")]
    Exists,
    /// The session does not exist, or was deleted.
    #[error("the session does not exist")]
    NoSession,
    /// The tenant has as many sessions as it may have.
    #[error("the tenant has its most of {limit} sessions")]
    TooManySessions {
        /// Most sessions of a tenant.
        limit: u64,
    },
    /// A newer fence writes the session, or an earlier batch with this fence has failed.
    #[error("the writer has lost the session")]
    Fenced,
    /// The batch does not continue what the session holds; a mistake of the caller.
    #[error("the batch does not fit the session: {what}")]
    Misfit {
        /// What does not fit.
        what: &'static str,
    },
    /// The page token is malformed, or was given for other conditions.
    #[error("the page token is not one of this list")]
    BadPageToken,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The disk, or the file's quota, is full.
    #[error("the store's disk is full")]
    Full,
    /// The file cannot be written.
    #[error("the store's file is read-only")]
    ReadOnly,
    /// Another program has held the file's lock for too long.
    #[error("the store's file is locked by another program")]
    Busy,
    /// The file is damaged.
    #[error("the store's file is damaged")]
    Corrupt,
    /// Reading or writing the file failed.
    #[error("the store's file cannot be read or written")]
    Io(#[source] Source),
    /// The database failed in a way that is not expected of it.
    #[error("the store failed")]
    Failed(#[source] Source),
}

/// The cause of a failure, shared by all who are told.
#[derive(Clone, Debug)]
pub struct Source(Arc<dyn std::error::Error + Send + Sync>);

impl Source {
    pub(super) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Source {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
