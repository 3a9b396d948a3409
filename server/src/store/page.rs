//! Pages of lists, and the tokens that lead from one to the next.
//!
//! A token is opaque to clients: a version, a digest of the list that it belongs to, and the
//! position of the last row given, in base64url. It is not signed: a forged position shows the
//! caller nothing but rows of the same list.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{Key, StoreError};

const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 8;
/// A session's id has at most 128 characters; beyond this no token is ours.
const MAX_TOKEN_BYTES: usize = 1024;

/// Which sessions are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those of this agent.
    pub agent_id: Option<String>,
    /// Those that have all these labels.
    pub labels: BTreeMap<String, String>,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most rows to give; at least one.
    pub size: usize,
    /// Token from the page before; `None` for the first page.
    pub token: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Token for the next page; `None` on the last.
    pub next: Option<String>,
}

/// Where the next page of sessions begins: after this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionPosition {
    pub(super) update_time: SystemTime,
    pub(super) session_id: String,
}

/// The list that a token belongs to.
#[derive(Clone, Copy)]
pub(super) struct List([u8; DIGEST_BYTES]);

impl List {
    /// Sessions of a tenant, filtered.
    pub(super) fn of_sessions(tenant: &str, filter: &SessionFilter) -> Self {
        let mut digest = Digest::new("sessions");
        digest.add(tenant);
        match &filter.agent_id {
            Some(agent_id) => digest.add(agent_id),
            None => digest.0.update([0xff; 8]),
        }
        for (name, value) in &filter.labels {
            digest.add(name);
            digest.add(value);
        }
        digest.finish()
    }

    /// Messages of a session.
    pub(super) fn of_messages(key: &Key) -> Self {
        let mut digest = Digest::new("messages");
        digest.add(&key.tenant);
        digest.add(&key.session_id);
        digest.finish()
    }

    pub(super) fn token_after_session(self, position: &SessionPosition) -> String {
        let mut bytes = nanos(position.update_time).to_be_bytes().to_vec();
        bytes.extend(position.session_id.as_bytes());
        self.token(&bytes)
    }

    pub(super) fn session_position(self, token: &str) -> Result<SessionPosition, StoreError> {
        let position = self.position(token)?;
        let (time, session_id) = position
            .split_first_chunk()
            .ok_or(StoreError::BadPageToken)?;
        let session_id = str::from_utf8(session_id).map_err(|_| StoreError::BadPageToken)?;
        Ok(SessionPosition {
            update_time: time_of(i64::from_be_bytes(*time)),
            session_id: session_id.to_owned(),
        })
    }

    /// Leads to the message of this index.
    pub(super) fn token_at_message(self, index: u64) -> String {
        self.token(&index.to_be_bytes())
    }

    pub(super) fn message_index(self, token: &str) -> Result<u64, StoreError> {
        let position = self.position(token)?;
        let index = position.try_into().map_err(|_| StoreError::BadPageToken)?;
        Ok(u64::from_be_bytes(index))
    }

    fn token(self, position: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.0);
        bytes.extend(position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn position(self, token: &str) -> Result<Vec<u8>, StoreError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(StoreError::BadPageToken);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| StoreError::BadPageToken)?;
        let rest = bytes.strip_prefix(&[VERSION]);
        let position = rest.and_then(|rest| rest.strip_prefix(&self.0));
        Ok(position.ok_or(StoreError::BadPageToken)?.to_vec())
    }
}

struct Digest(Sha256);

impl Digest {
    fn new(kind: &str) -> Self {
        let mut digest = Self(Sha256::new());
        digest.add(kind);
        digest
    }

    /// The length comes first, so that no two lists read the same.
    fn add(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn finish(self) -> List {
        let whole: [u8; 32] = self.0.finalize().into();
        let mut short = [0; DIGEST_BYTES];
        short.copy_from_slice(&whole[..DIGEST_BYTES]);
        List(short)
    }
}

/// Nanoseconds since 1970; the ends of the range are in 1677 and 2262.
pub(super) fn nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

pub(super) fn time_of(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}
