//! One session, as a transaction writes it.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::{
    MAX_RECEIPTS,
    batch::{Begin, Call, Fence, Head, Key, LogEntry, Turn, Write},
    check,
    page::{nanos, time_of},
    rows::expires,
    sqlite::value::{NEVER, call_state, duration, expiry, integer, join, number, span},
};

/// A session that exists, with what is written of it at the end.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) standing: check::Session,
    ttl: Duration,
    head: Option<Head>,
    state: Option<Bytes>,
    options: Option<Bytes>,
    log: Vec<LogEntry>,
    trimmed: u64,
    /// True when the row itself is to be written.
    is_changed: bool,
}

impl Row {
    /// Finds a session.
    pub(super) fn find(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT id, ttl, fence, expires, logged, trimmed,
                     (SELECT max(position) + 1 FROM message WHERE session = session.id)
                   FROM session WHERE tenant = ?1 AND name = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let name = params![&*key.tenant, &*key.session_id];
        let row = statement.query_row(name, |row| {
            let expires = row.get(3)?;
            let messages: Option<i64> = row.get(6)?;
            Ok(Self {
                id: row.get(0)?,
                standing: check::Session {
                    fence: number(row.get(2)?),
                    expires: (expires != NEVER).then(|| time_of(expires)),
                    logged: number(row.get(4)?),
                    messages: number(messages.unwrap_or(0)),
                },
                ttl: duration(row.get(1)?),
                head: None,
                state: None,
                options: None,
                log: Vec::new(),
                trimmed: number(row.get(5)?),
                is_changed: false,
            })
        });
        row.optional()
    }

    /// Begins a session.
    pub(super) fn begin(
        connection: &Connection,
        key: &Key,
        begin: &Begin,
        fence: &Fence,
    ) -> rusqlite::Result<Self> {
        let head = Head::new(begin.created);
        let expires = expires(begin.ttl, &head);
        let sql = "INSERT INTO session (
                     tenant, name, agent, created, ttl, updated, expires, fence, message_count,
                     is_paused, has_work, last_sequence, input_tokens, output_tokens, logged,
                     trimmed, has_log)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?6, ?7, 0, 0, 0, 0, 0, 0, 0, 0, 0)";
        connection.prepare_cached(sql)?.execute(params![
            &*key.tenant,
            &*key.session_id,
            begin.agent_id,
            nanos(begin.created),
            span(begin.ttl),
            expiry(expires),
            integer(fence.number()),
        ])?;
        let id = connection.last_insert_rowid();
        let sql = "INSERT INTO label (session, name, value, tenant) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = connection.prepare_cached(sql)?;
        for (name, value) in &begin.labels {
            statement.execute(params![id, name, value, &*key.tenant])?;
        }
        Ok(Self {
            id,
            standing: check::Session {
                fence: fence.number(),
                expires,
                logged: 0,
                messages: 0,
            },
            ttl: begin.ttl,
            head: None,
            state: None,
            options: None,
            log: Vec::new(),
            trimmed: 0,
            is_changed: false,
        })
    }

    pub(super) fn set_fence(&mut self, fence: &Fence) {
        self.is_changed |= self.standing.fence != fence.number();
        self.standing.fence = fence.number();
    }

    /// Writes a change, or keeps it for the end.
    pub(super) fn write(&mut self, connection: &Connection, write: &Write) -> rusqlite::Result<()> {
        match write {
            Write::Head(head) => {
                self.standing.expires = expires(self.ttl, head);
                self.head = Some(head.clone());
                self.is_changed = true;
            }
            Write::State(state) => self.state = Some(state.clone()),
            Write::Options(options) => self.options = Some(options.clone()),
            Write::History { keep, added } => self.write_history(connection, *keep, added)?,
            Write::Receipt { frame_id, value } => {
                self.write_receipt(connection, frame_id, value)?;
            }
            Write::ForgetReceipt(frame_id) => {
                let sql = "DELETE FROM receipt WHERE session = ?1 AND frame_id = ?2";
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute(params![self.id, frame_id])?;
            }
            Write::Turn(turn) => self.write_turn(connection, turn)?,
            Write::Call(call) => self.write_call(connection, call)?,
            Write::Log(entries) => {
                self.log.extend_from_slice(entries);
                let newest = entries.last().map(|entry| entry.sequence);
                self.standing.logged = newest.unwrap_or(self.standing.logged);
                self.is_changed = true;
            }
            Write::Trim { through } => self.trim(connection, *through)?,
            // The transaction's, not the row's.
            Write::Begin(_) | Write::Delete | Write::Request(_) | Write::Spent(_) => {}
        }
        Ok(())
    }

    /// Writes what was kept for the end.
    pub(super) fn finish(&self, connection: &Connection) -> rusqlite::Result<()> {
        if let (Some(first), Some(last)) = (self.log.first(), self.log.last()) {
            let sql = "INSERT INTO log (session, first, last, entries) VALUES (?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute(params![
                self.id,
                integer(first.sequence),
                integer(last.sequence),
                join(&self.log),
            ])?;
        }
        for (value, sql) in [
            (
                &self.state,
                "INSERT INTO state (session, value) VALUES (?1, ?2)
                 ON CONFLICT (session) DO UPDATE SET value = excluded.value",
            ),
            (
                &self.options,
                "INSERT INTO state (session, options) VALUES (?1, ?2)
                 ON CONFLICT (session) DO UPDATE SET options = excluded.options",
            ),
        ] {
            if let Some(value) = value {
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute(params![self.id, &value[..]])?;
            }
        }
        if let Some(head) = &self.head {
            self.write_head(connection, head)?;
        }
        if self.is_changed {
            let logged = integer(self.standing.logged);
            let sql = "UPDATE session SET fence = ?2, logged = ?3, trimmed = ?4, has_log = ?5,
                         last_sequence = max(last_sequence, ?3)
                       WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![
                self.id,
                integer(self.standing.fence),
                logged,
                integer(self.trimmed),
                self.trimmed < self.standing.logged,
            ])?;
        }
        Ok(())
    }

    fn write_head(&self, connection: &Connection, head: &Head) -> rusqlite::Result<()> {
        let sql = "UPDATE session SET updated = ?2, expires = ?3, message_count = ?4,
                     active_turn = ?5, is_paused = ?6, has_work = ?7,
                     last_sequence = max(last_sequence, ?8), input_tokens = ?9,
                     output_tokens = ?10
                   WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![
            self.id,
            nanos(head.update_time),
            expiry(self.standing.expires),
            integer(head.message_count),
            head.active_turn_id,
            head.is_paused,
            head.has_work,
            integer(head.last_sequence),
            integer(head.input_tokens),
            integer(head.output_tokens),
        ])?;
        Ok(())
    }

    fn write_history(
        &mut self,
        connection: &Connection,
        keep: u64,
        added: &[Bytes],
    ) -> rusqlite::Result<()> {
        if keep < self.standing.messages {
            let sql = "DELETE FROM message WHERE session = ?1 AND position >= ?2";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![self.id, integer(keep)])?;
        }
        let sql = "INSERT INTO message (session, position, value) VALUES (?1, ?2, ?3)";
        let mut statement = connection.prepare_cached(sql)?;
        for (position, value) in (keep..).zip(added) {
            statement.execute(params![self.id, integer(position), &value[..]])?;
        }
        self.standing.messages = keep + added.len() as u64;
        Ok(())
    }

    fn write_receipt(
        &self,
        connection: &Connection,
        frame_id: &str,
        value: &[u8],
    ) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO receipt (session, frame_id, value) VALUES (?1, ?2, ?3)";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![self.id, frame_id, value])?;
        let sql = "DELETE FROM receipt WHERE id IN (
                     SELECT id FROM receipt WHERE session = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![self.id, MAX_RECEIPTS as i64])?;
        Ok(())
    }

    fn write_turn(&self, connection: &Connection, turn: &Turn) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO turn (
                     session, turn_id, ended, last_sequence, model, status, stop_reason,
                     input_tokens, output_tokens, value)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        connection.prepare_cached(sql)?.execute(params![
            self.id,
            turn.turn_id,
            nanos(turn.ended),
            integer(turn.last_sequence),
            turn.model_id,
            turn.status,
            turn.stop_reason,
            integer(turn.input_tokens),
            integer(turn.output_tokens),
            &turn.value[..],
        ])?;
        Ok(())
    }

    fn write_call(&self, connection: &Connection, call: &Call) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO call (session, turn_id, call_id, name, state, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        connection.prepare_cached(sql)?.execute(params![
            self.id,
            call.turn_id,
            call.call_id,
            call.name,
            call_state(call.state),
            nanos(call.at),
        ])?;
        Ok(())
    }

    fn trim(&mut self, connection: &Connection, through: u64) -> rusqlite::Result<()> {
        // A row that goes on beyond stays whole; its entries up to here are left out by reads.
        let sql = "DELETE FROM log WHERE session = ?1 AND first <= ?2 AND last <= ?2";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![self.id, integer(through)])?;
        self.log.retain(|entry| entry.sequence > through);
        let through = through.min(self.standing.logged);
        self.is_changed |= through > self.trimmed;
        self.trimmed = self.trimmed.max(through);
        Ok(())
    }
}
