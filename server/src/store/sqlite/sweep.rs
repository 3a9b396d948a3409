//! What has had its time is deleted, a piece at a time, so that no commit waits for long.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::queue::Piece;
use crate::store::{REMEMBERED, Sweep, Swept, batch::Key, page::nanos};

/// How long a piece may hold up commits, short of one session that takes longer to delete.
const PIECE: Duration = Duration::from_millis(10);

/// Requests, and periods of tenants, that are deleted at once; small rows.
const ROWS: i64 = 256;

/// Free pages are given back once there are so many, and those beyond; 4 MiB.
const SPARE_PAGES: i64 = 1024;

/// Pages that are given back in a piece.
const PAGES: i64 = 256;

/// Deletes for a short while.
pub(super) fn piece(connection: &mut Connection, sweep: Sweep) -> rusqlite::Result<Piece> {
    let began = Instant::now();
    let is_over = || began.elapsed() >= PIECE;
    let mut swept = Swept::default();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut has_more = true;
    while has_more && !is_over() {
        let session = delete_session(&transaction, sweep.now)?;
        let requests = delete_requests(&transaction, sweep.now)?;
        let logs = drop_log(&transaction, sweep)?;
        let periods = delete_periods(&transaction, sweep.now)?;
        has_more = session.is_some() || requests + logs + periods > 0;
        swept.sessions.extend(session);
        swept.requests += requests;
        swept.logs += logs;
        swept.periods += periods;
    }
    transaction.commit()?;
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    let spare = (free - SPARE_PAGES).clamp(0, PAGES);
    if spare > 0 {
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({spare})"))?;
    }
    Ok(Piece {
        swept,
        has_more: has_more || spare == PAGES,
    })
}

fn delete_session(connection: &Connection, now: SystemTime) -> rusqlite::Result<Option<Key>> {
    let sql = "DELETE FROM session WHERE id = (
                 SELECT id FROM session WHERE expires <= ?1 ORDER BY expires LIMIT 1)
               RETURNING tenant, name";
    let mut statement = connection.prepare_cached(sql)?;
    let key = statement.query_row([nanos(now)], |row| {
        Ok(Key {
            tenant: row.get(0)?,
            session_id: row.get(1)?,
        })
    });
    key.optional()
}

fn delete_requests(connection: &Connection, now: SystemTime) -> rusqlite::Result<usize> {
    let Some(before) = now.checked_sub(REMEMBERED) else {
        return Ok(0);
    };
    let sql = "DELETE FROM request WHERE rowid IN (
                 SELECT rowid FROM request WHERE at < ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![nanos(before), ROWS])
}

fn delete_periods(connection: &Connection, now: SystemTime) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM spent WHERE (tenant, period_ms, period) IN (
                 SELECT tenant, period_ms, period FROM spent WHERE expires <= ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![nanos(now), ROWS])
}

fn drop_log(connection: &Connection, sweep: Sweep) -> rusqlite::Result<usize> {
    let Some(before) = sweep.now.checked_sub(sweep.replay_window) else {
        return Ok(0);
    };
    let sql = "UPDATE session SET has_log = 0, trimmed = logged WHERE id = (
                 SELECT id FROM session INDEXED BY session_with_log
                 WHERE has_log = 1 AND has_work = 0 AND updated < ?1 LIMIT 1)
               RETURNING id";
    let mut statement = connection.prepare_cached(sql)?;
    let id: Option<i64> = statement
        .query_row([nanos(before)], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(0) };
    let sql = "DELETE FROM log WHERE session = ?1";
    connection.prepare_cached(sql)?.execute([id])?;
    Ok(1)
}
