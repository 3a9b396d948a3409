//! Batches, written into one transaction.
//!
//! What several batches of a session say of its head, its state and its log is written once, at
//! the end.

mod session;

use std::collections::{HashMap, hash_map::Entry};

use rusqlite::{Connection, params};

use self::session::Row;
use super::value::{expiry, integer, number};
use crate::store::{
    StoreError,
    batch::{Batch, Key, Request, Write},
    check::{Standing, check},
    page::nanos,
    spent::Spent,
};

/// A transaction in which batches are written.
pub(super) struct Applying<'a> {
    connection: &'a Connection,
    max_sessions_per_tenant: u64,
    /// The sessions that it has met.
    sessions: HashMap<&'a Key, Option<Row>>,
}

impl<'a> Applying<'a> {
    pub(super) fn new(connection: &'a Connection, max_sessions_per_tenant: u64) -> Self {
        Self {
            connection,
            max_sessions_per_tenant,
            sessions: HashMap::new(),
        }
    }

    /// Writes a batch, or refuses it before any of it is written.
    ///
    /// # Errors
    ///
    /// Those of SQLite, after which the transaction must be rolled back.
    pub(super) fn apply(&mut self, batch: &'a Batch) -> rusqlite::Result<Result<(), StoreError>> {
        let connection = self.connection;
        let session = match self.sessions.entry(&batch.key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Row::find(connection, &batch.key)?),
        };
        let mut writes = batch.writes.iter();
        let standing = Standing {
            session: session.as_ref().map(|row| row.standing),
            tenant_sessions: match writes.any(|write| matches!(write, Write::Begin(_))) {
                true => count_sessions(connection, &batch.key.tenant)?,
                // Only those that begin are counted.
                false => 0,
            },
            max_sessions: self.max_sessions_per_tenant,
        };
        if let Err(refusal) = check(&batch.fence, &batch.writes, standing) {
            return Ok(Err(refusal));
        }
        if let Some(row) = session {
            row.set_fence(&batch.fence);
        }
        for write in &batch.writes {
            match write {
                Write::Begin(begin) => {
                    // One that is in the way has expired.
                    delete(connection, session.take())?;
                    let row = Row::begin(connection, &batch.key, begin, &batch.fence)?;
                    *session = Some(row);
                }
                Write::Delete => delete(connection, session.take())?,
                Write::Request(request) => remember(connection, &batch.key.tenant, request)?,
                Write::Spent(spent) => spend(connection, &batch.key.tenant, spent)?,
                Write::Head(_)
                | Write::State(_)
                | Write::Options(_)
                | Write::History { .. }
                | Write::Receipt { .. }
                | Write::ForgetReceipt(_)
                | Write::Turn(_)
                | Write::Call(_)
                | Write::Log(_)
                | Write::Trim { .. } => {
                    if let Some(row) = session {
                        row.write(connection, write)?;
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes what was left for the end.
    ///
    /// # Errors
    ///
    /// Those of SQLite, after which the transaction must be rolled back.
    pub(super) fn finish(self) -> rusqlite::Result<()> {
        let mut rows = self.sessions.into_values().flatten();
        rows.try_for_each(|row| row.finish(self.connection))
    }
}

fn count_sessions(connection: &Connection, tenant: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce((SELECT sessions FROM tenant WHERE name = ?1), 0)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row([tenant], |row| row.get(0)).map(number)
}

fn delete(connection: &Connection, session: Option<Row>) -> rusqlite::Result<()> {
    let Some(row) = session else { return Ok(()) };
    let sql = "DELETE FROM session WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([row.id])?;
    Ok(())
}

fn remember(connection: &Connection, tenant: &str, request: &Request) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO request (tenant, request_id, fingerprint, at, value)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        tenant,
        request.request_id,
        request.fingerprint,
        nanos(request.at),
        &request.value[..],
    ])?;
    Ok(())
}

fn spend(connection: &Connection, tenant: &str, spent: &Spent) -> rusqlite::Result<()> {
    // A sum beyond the largest integer would be no integer, and the table would refuse it.
    let sql = "INSERT INTO spent (tenant, period_ms, period, tokens, cost, expires)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET
                 tokens = min(tokens, 9223372036854775807 - excluded.tokens) + excluded.tokens,
                 cost = min(cost, 9223372036854775807 - excluded.cost) + excluded.cost";
    connection.prepare_cached(sql)?.execute(params![
        tenant,
        integer(spent.period.length_ms),
        integer(spent.period.number),
        integer(spent.tokens),
        integer(spent.cost),
        expiry(spent.period.expires()),
    ])?;
    Ok(())
}
