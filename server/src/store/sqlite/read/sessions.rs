//! The list of a tenant's sessions.
//!
//! Without labels it is read from an index in its order. With labels there are two ways: to read
//! it in its order and leave out what has not the labels, or to read what has the rarest of the
//! labels and put it in order. The first is good for common labels, the second for rare ones.

use std::{sync::Arc, time::SystemTime};

use rusqlite::{Connection, ToSql, params};

use super::{COLUMNS, Found};
use crate::store::{
    batch::Key,
    page::{SessionFilter, SessionPosition, nanos},
    rows::SessionRow,
    sqlite::value::{integer, number},
};

/// Sorting so few is always cheap.
const FEW: u64 = 1000;

/// A tenant's sessions after a position, newest update first.
pub(in crate::store::sqlite) fn sessions(
    connection: &Connection,
    tenant: &str,
    filter: &SessionFilter,
    after: Option<&SessionPosition>,
    most: usize,
    now: SystemTime,
) -> rusqlite::Result<Vec<SessionRow>> {
    let mut query = Query::default();
    let rare = rare_label(connection, tenant, filter, most)?;
    let index = match &filter.agent_id {
        Some(_) => "session_by_agent",
        None => "session_by_update",
    };
    match rare {
        Some((name, value)) => {
            query.add(&format!(
                "SELECT {COLUMNS} FROM label AS rare CROSS JOIN session ON session.id = rare.session"
            ));
            query.add_with(" WHERE rare.tenant = ?", tenant.to_owned());
            query.add_with(" AND rare.name = ?", name.to_owned());
            query.add_with(" AND rare.value = ?", value.to_owned());
        }
        None => {
            query.add(&format!("SELECT {COLUMNS} FROM session INDEXED BY {index}"));
            query.add_with(" WHERE session.tenant = ?", tenant.to_owned());
        }
    }
    if let Some(agent_id) = &filter.agent_id {
        query.add_with(" AND agent = ?", agent_id.clone());
    }
    if let Some(after) = after {
        query.add_with(
            " AND (updated, session.name) < (?",
            nanos(after.update_time),
        );
        query.add_with(", ?)", after.session_id.clone());
    }
    query.add_with(" AND expires > ?", nanos(now));
    for (name, value) in &filter.labels {
        query.add(" AND EXISTS (SELECT 1 FROM label WHERE label.session = session.id");
        query.add_with(" AND label.name = ?", name.clone());
        query.add_with(" AND label.value = ?)", value.clone());
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    query.add_with(" ORDER BY updated DESC, session.name DESC LIMIT ?", most);

    let mut statement = connection.prepare_cached(&query.sql)?;
    let parameters = rusqlite::params_from_iter(&query.parameters);
    let found = statement.query_map(parameters, |row| Found::read(connection, row))?;
    let tenant: Arc<str> = tenant.into();
    let rows = found.map(|found| {
        let found = found?;
        Ok(SessionRow {
            key: Key {
                tenant: Arc::clone(&tenant),
                session_id: found.name,
            },
            begin: found.begin,
            head: found.head,
            options: None,
        })
    });
    rows.collect()
}

#[derive(Default)]
struct Query {
    sql: String,
    parameters: Vec<Box<dyn ToSql>>,
}

impl Query {
    fn add(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn add_with(&mut self, sql: &str, parameter: impl ToSql + 'static) {
        self.add(sql);
        self.parameters.push(Box::new(parameter));
    }
}

/// The rarest of the labels, if so few sessions have it that they are better put in order.
///
/// In order, a page of `most` rows is found after about `most * all / having` rows; sorted, after
/// `having` rows. Both are the same where `having` is the root of `most * all`.
fn rare_label<'a>(
    connection: &Connection,
    tenant: &str,
    filter: &'a SessionFilter,
    most: usize,
) -> rusqlite::Result<Option<(&'a str, &'a str)>> {
    if filter.labels.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT coalesce((SELECT sessions FROM tenant WHERE name = ?1), 0)";
    let all: i64 = connection
        .prepare_cached(sql)?
        .query_row([tenant], |row| row.get(0))?;
    let bound = number(all).saturating_mul(most as u64).isqrt().max(FEW);
    let sql = "SELECT count(*) FROM (
                 SELECT 1 FROM label WHERE tenant = ?1 AND name = ?2 AND value = ?3 LIMIT ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rarest = None;
    let mut fewest = bound;
    for (name, value) in &filter.labels {
        let limit = integer(fewest);
        let having = statement.query_row(params![tenant, name, value, limit], |row| row.get(0))?;
        if number(having) < fewest {
            fewest = number(having);
            rarest = Some((name.as_str(), value.as_str()));
        }
    }
    Ok(rarest)
}
