//! Numbers, times and log entries as SQLite keeps them.

use std::time::{Duration, SystemTime};

use bytes::{Buf as _, BufMut as _, Bytes};

use crate::store::{
    batch::{CallState, LogEntry},
    page::nanos,
};

/// Time at which a session expires that does not.
pub(super) const NEVER: i64 = i64::MAX;

/// Sequence numbers and counts stay far below the limit.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}

pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn duration(span: i64) -> Duration {
    Duration::from_nanos(number(span))
}

pub(super) fn expiry(expires: Option<SystemTime>) -> i64 {
    expires.map_or(NEVER, nanos)
}

pub(super) fn call_state(state: CallState) -> &'static str {
    match state {
        CallState::Started => "started",
        CallState::Finished => "finished",
        CallState::Unknown => "unknown",
    }
}

pub(super) fn call_state_of(text: &str) -> Option<CallState> {
    let mut states = [CallState::Started, CallState::Finished, CallState::Unknown].into_iter();
    states.find(|state| call_state(*state) == text)
}

/// Sequence number, class and length.
const ENTRY_HEAD_BYTES: usize = 8 + 1 + 4;

/// Joins log entries to one value.
pub(super) fn join(entries: &[LogEntry]) -> Vec<u8> {
    let bytes = entries.iter().map(|entry| entry.bytes.len());
    let mut joined = Vec::with_capacity(bytes.map(|bytes| bytes + ENTRY_HEAD_BYTES).sum());
    for entry in entries {
        joined.put_u64(entry.sequence);
        joined.put_u8(entry.class);
        // A value has at most 1 GB in SQLite, which refuses the row if this is cut off.
        joined.put_u32(u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX));
        joined.extend_from_slice(&entry.bytes);
    }
    joined
}

/// Takes log entries apart; `None` when the value is damaged.
pub(super) fn split(mut joined: Bytes) -> Option<Vec<LogEntry>> {
    let mut entries = Vec::new();
    while !joined.is_empty() {
        let sequence = joined.try_get_u64().ok()?;
        let class = joined.try_get_u8().ok()?;
        let length = joined.try_get_u32().ok()? as usize;
        if length > joined.len() {
            return None;
        }
        entries.push(LogEntry {
            sequence,
            class,
            bytes: joined.split_to(length),
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_entries_are_split_again_and_cut_ones_are_noticed() {
        let entry = |sequence, text: &'static str| LogEntry {
            sequence,
            class: 3,
            bytes: Bytes::from_static(text.as_bytes()),
        };
        let entries = [entry(1, "one"), entry(7, ""), entry(u64::MAX, "three")];
        let joined = Bytes::from(join(&entries));
        assert_eq!(split(joined.clone()).as_deref(), Some(&entries[..]));
        let first = ENTRY_HEAD_BYTES + 3;
        let second = first + ENTRY_HEAD_BYTES;
        for length in 0..joined.len() {
            let whole = match length {
                0 => Some(0),
                _ if length == first => Some(1),
                _ if length == second => Some(2),
                _ => None,
            };
            let expected = whole.map(|count: usize| entries[..count].to_vec());
            assert_eq!(split(joined.slice(..length)), expected, "{length} bytes");
        }
    }
}
