//! Whether a batch fits the session as it stands, asked before any of it is written.

use std::time::SystemTime;

use super::{
    StoreError,
    batch::{Fence, Write},
};

/// What a batch meets.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The session, if it exists.
    pub(super) session: Option<Session>,
    /// Sessions that its tenant has.
    pub(super) tenant_sessions: u64,
    /// Most sessions that a tenant may have.
    pub(super) max_sessions: u64,
}

/// A session, as far as batches must fit it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Session {
    /// The newest fence that wrote it.
    pub(super) fence: u64,
    /// When it expires, if it does.
    pub(super) expires: Option<SystemTime>,
    /// The newest entry that its log ever had.
    pub(super) logged: u64,
    /// Messages in its history.
    pub(super) messages: u64,
}

/// Refuses a batch that must not be written.
pub(super) fn check(fence: &Fence, writes: &[Write], standing: Standing) -> Result<(), StoreError> {
    let newest = standing.session.map_or(0, |session| session.fence);
    if fence.is_broken() || fence.number() < newest {
        return Err(StoreError::Fenced);
    }
    let Standing {
        mut session,
        mut tenant_sessions,
        max_sessions,
    } = standing;
    for write in writes {
        match write {
            Write::Begin(begin) => {
                match session {
                    Some(old) if old.expires.is_some_and(|at| at <= begin.created) => {}
                    Some(_) => return Err(StoreError::Exists),
                    None if tenant_sessions >= max_sessions => {
                        let limit = max_sessions;
                        return Err(StoreError::TooManySessions { limit });
                    }
                    None => tenant_sessions += 1,
                }
                session = Some(Session::default());
            }
            Write::Delete => {
                if session.take().is_some() {
                    tenant_sessions = tenant_sessions.saturating_sub(1);
                }
            }
            Write::Request(_) | Write::Spent(_) => {}
            Write::History { keep, added } => {
                let session = session.as_mut().ok_or(StoreError::NoSession)?;
                if *keep > session.messages {
                    let what = "more messages are kept than there are";
                    return Err(StoreError::Misfit { what });
                }
                session.messages = keep + added.len() as u64;
            }
            Write::Log(entries) => {
                let session = session.as_mut().ok_or(StoreError::NoSession)?;
                for entry in entries {
                    if entry.sequence <= session.logged {
                        let what = "the log's sequence numbers do not rise";
                        return Err(StoreError::Misfit { what });
                    }
                    session.logged = entry.sequence;
                }
            }
            Write::Head(_)
            | Write::State(_)
            | Write::Options(_)
            | Write::Receipt { .. }
            | Write::ForgetReceipt(_)
            | Write::Turn(_)
            | Write::Call(_)
            | Write::Trim { .. } => {
                session.ok_or(StoreError::NoSession)?;
            }
        }
    }
    Ok(())
}
