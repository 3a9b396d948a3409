//! What is read from the tables.

mod sessions;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};

pub(super) use self::sessions::sessions;
use super::{
    error::DamagedValue,
    value::{call_state_of, duration, integer, number, split},
};
use crate::store::{
    LOADED_TURNS,
    batch::{Begin, Call, Head, Key, LogEntry, Turn},
    page::{nanos, time_of},
    rows::{Loaded, RequestRow, SessionRow},
    spent::{Period, Spent, SpentRow},
};

/// What [`Found`] is read from.
const COLUMNS: &str = "session.id, session.name, agent, created, ttl, updated, message_count,
    active_turn, is_paused, has_work, last_sequence, input_tokens, output_tokens, trimmed";

/// A session's row.
struct Found {
    id: i64,
    name: Arc<str>,
    begin: Begin,
    head: Head,
    trimmed: u64,
}

impl Found {
    fn read(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Self> {
        let id = row.get(0)?;
        let created = time_of(row.get(3)?);
        Ok(Self {
            id,
            name: row.get(1)?,
            begin: Begin {
                agent_id: row.get(2)?,
                labels: labels(connection, id)?,
                ttl: duration(row.get(4)?),
                created,
            },
            head: Head {
                update_time: time_of(row.get(5)?),
                message_count: number(row.get(6)?),
                active_turn_id: row.get(7)?,
                is_paused: row.get(8)?,
                has_work: row.get(9)?,
                last_sequence: number(row.get(10)?),
                input_tokens: number(row.get(11)?),
                output_tokens: number(row.get(12)?),
            },
            trimmed: number(row.get(13)?),
        })
    }

    fn find(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {COLUMNS} FROM session WHERE tenant = ?1 AND name = ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        let name = [&*key.tenant, &*key.session_id];
        let found = statement.query_row(name, |row| Self::read(connection, row));
        found.optional()
    }
}

pub(super) fn session(connection: &Connection, key: &Key) -> rusqlite::Result<Option<SessionRow>> {
    let Some(found) = Found::find(connection, key)? else {
        return Ok(None);
    };
    let sql = "SELECT options FROM state WHERE session = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let options = statement.query_row([found.id], |row| row.get::<_, Option<Vec<u8>>>(0));
    Ok(Some(SessionRow {
        key: key.clone(),
        begin: found.begin,
        head: found.head,
        options: options.optional()?.flatten().map(Bytes::from),
    }))
}

pub(super) fn load(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Loaded>> {
    let Some(found) = Found::find(connection, key)? else {
        return Ok(None);
    };
    let id = found.id;
    let sql = "SELECT value FROM state WHERE session = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let state = statement.query_row([id], |row| row.get::<_, Option<Vec<u8>>>(0));
    let sql = "SELECT value FROM turn WHERE session = ?1 ORDER BY id DESC LIMIT ?2";
    let mut turns = values(connection, sql, &[id, LOADED_TURNS as i64])?;
    turns.reverse();
    Ok(Some(Loaded {
        begin: found.begin,
        head: found.head,
        state: state.optional()?.flatten().unwrap_or_default().into(),
        messages: messages(connection, id, 0, usize::MAX)?,
        receipts: values(
            connection,
            "SELECT value FROM receipt WHERE session = ?1 ORDER BY id",
            &[id],
        )?,
        turns,
        log: log(connection, id, found.trimmed)?,
    }))
}

/// Messages of a session from a position on; `None` when there is no such session.
pub(super) fn messages_of(
    connection: &Connection,
    key: &Key,
    from: u64,
    most: usize,
) -> rusqlite::Result<Option<Vec<Bytes>>> {
    let sql = "SELECT id FROM session WHERE tenant = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let name = [&*key.tenant, &*key.session_id];
    let id = statement.query_row(name, |row| row.get(0)).optional()?;
    id.map(|id| messages(connection, id, from, most))
        .transpose()
}

pub(super) fn turn(
    connection: &Connection,
    key: &Key,
    turn_id: &str,
) -> rusqlite::Result<Option<Turn>> {
    let sql = "SELECT turn_id, turn.last_sequence, value, turn.input_tokens, turn.output_tokens,
                 model, status, stop_reason, ended
               FROM session JOIN turn ON turn.session = session.id
               WHERE tenant = ?1 AND name = ?2 AND turn_id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let name = [&*key.tenant, &*key.session_id, turn_id];
    let turn = statement.query_row(name, |row| {
        Ok(Turn {
            turn_id: row.get(0)?,
            last_sequence: number(row.get(1)?),
            value: row.get::<_, Vec<u8>>(2)?.into(),
            input_tokens: number(row.get(3)?),
            output_tokens: number(row.get(4)?),
            model_id: row.get(5)?,
            status: row.get(6)?,
            stop_reason: row.get(7)?,
            ended: time_of(row.get(8)?),
        })
    });
    turn.optional()
}

pub(super) fn calls(connection: &Connection, key: &Key) -> rusqlite::Result<Vec<Call>> {
    let sql = "SELECT turn_id, call_id, call.name, state, at
               FROM session JOIN call ON call.session = session.id
               WHERE tenant = ?1 AND session.name = ?2
               ORDER BY turn_id, call_id";
    let mut statement = connection.prepare_cached(sql)?;
    let calls = statement.query_map([&*key.tenant, &*key.session_id], |row| {
        let state: String = row.get(3)?;
        Ok(Call {
            turn_id: row.get(0)?,
            call_id: row.get(1)?,
            name: row.get(2)?,
            state: call_state_of(&state).ok_or(DamagedValue)?,
            at: time_of(row.get(4)?),
        })
    })?;
    calls.collect()
}

pub(super) fn requests(
    connection: &Connection,
    since: SystemTime,
) -> rusqlite::Result<Vec<RequestRow>> {
    let sql = "SELECT tenant, request_id, fingerprint, value, at
               FROM request WHERE at >= ?1 ORDER BY at";
    let mut statement = connection.prepare_cached(sql)?;
    let requests = statement.query_map([nanos(since)], |row| {
        Ok(RequestRow {
            tenant: row.get(0)?,
            request_id: row.get(1)?,
            fingerprint: row.get(2)?,
            value: row.get::<_, Vec<u8>>(3)?.into(),
            at: time_of(row.get(4)?),
        })
    })?;
    requests.collect()
}

pub(super) fn spent(connection: &Connection, now: SystemTime) -> rusqlite::Result<Vec<SpentRow>> {
    let sql = "SELECT tenant, period_ms, period, tokens, cost FROM spent WHERE expires > ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let spent = statement.query_map([nanos(now)], |row| {
        Ok(SpentRow {
            tenant: row.get(0)?,
            spent: Spent {
                period: Period {
                    length_ms: number(row.get(1)?),
                    number: number(row.get(2)?),
                },
                tokens: number(row.get(3)?),
                cost: number(row.get(4)?),
            },
        })
    })?;
    spent.collect()
}

pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<Key>> {
    let sql = "SELECT tenant, name FROM session WHERE has_work = 1";
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map([], |row| {
        Ok(Key {
            tenant: row.get(0)?,
            session_id: row.get(1)?,
        })
    })?;
    keys.collect()
}

fn labels(connection: &Connection, session: i64) -> rusqlite::Result<BTreeMap<String, String>> {
    let sql = "SELECT name, value FROM label WHERE session = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let labels = statement.query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?;
    labels.collect()
}

fn messages(
    connection: &Connection,
    session: i64,
    from: u64,
    most: usize,
) -> rusqlite::Result<Vec<Bytes>> {
    let sql = "SELECT value FROM message WHERE session = ?1 AND position >= ?2
               ORDER BY position LIMIT ?3";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    values(connection, sql, &[session, integer(from), most])
}

fn log(connection: &Connection, session: i64, trimmed: u64) -> rusqlite::Result<Vec<LogEntry>> {
    let sql = "SELECT entries FROM log WHERE session = ?1 ORDER BY first";
    let mut entries = Vec::new();
    for joined in values(connection, sql, &[session])? {
        entries.extend(split(joined).ok_or(DamagedValue)?);
    }
    entries.retain(|entry| entry.sequence > trimmed);
    Ok(entries)
}

fn values(connection: &Connection, sql: &str, parameters: &[i64]) -> rusqlite::Result<Vec<Bytes>> {
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = rusqlite::params_from_iter(parameters);
    let values = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0))?;
    values.map(|value| value.map(Bytes::from)).collect()
}
