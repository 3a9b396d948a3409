//! The tables, and how files of earlier versions come to have them.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as ours: "Taiw" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5461_6977;

/// Each brings a file one version further; they are added to, and never changed.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
];

/// What a file says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Nothing is in it.
    Empty,
    /// A store of this version of the tables.
    Ours(usize),
    /// Another program's.
    Foreign,
}

/// Looks what a file is, without writing to it.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let application_id: i32 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let things: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application_id, usize::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => Identity::Ours(version),
        // Made, but not yet filled: the process that made it was killed.
        (0, Ok(0)) if things == 0 => Identity::Empty,
        _ => Identity::Foreign,
    })
}

/// Brings the tables from a version to the newest, one version a transaction.
pub(super) fn migrate(
    connection: &mut Connection,
    migrations: &[&str],
    from: usize,
) -> rusqlite::Result<()> {
    for (version, migration) in migrations.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::store::{Config, Durability, Key, Period, Place, Spent, SpentRow, Store, Write};

    /// A file of the first version, with a request in it.
    fn first_version() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut connection = Connection::open(file.path()).unwrap();
        migrate(&mut connection, &MIGRATIONS[..1], 0).unwrap();
        let request = "INSERT INTO request VALUES ('acme', 'r-1', zeroblob(32), 5, x'01')";
        connection.execute(request, []).unwrap();
        file
    }

    #[tokio::test]
    async fn a_store_of_the_first_version_keeps_what_it_has_and_takes_what_tenants_spend() {
        let file = first_version();
        let store = || {
            let place = Place::Sqlite {
                path: file.path().to_owned(),
                durability: Durability::Normal,
            };
            Store::open(Config {
                place,
                max_sessions_per_tenant: 1,
            })
        };
        let opened = store().await.unwrap();
        let requests = opened.requests(SystemTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(requests[0].request_id, "r-1");
        let now = SystemTime::now();
        assert_eq!(opened.spent(now).await.unwrap(), []);

        let spent = Spent {
            period: Period::at(Duration::from_secs(60 * 60), now),
            tokens: 3,
            cost: 4,
        };
        let tenant = "acme".into();
        let writing = opened.commit(
            Key::new(&tenant, "s"),
            opened.fence(),
            vec![Write::Spent(spent)],
        );
        writing.await.unwrap();
        opened.close().await;
        let opened = store().await.unwrap();
        let expected = [SpentRow { tenant, spent }];
        assert_eq!(opened.spent(now).await.unwrap(), expected);
        opened.close().await;
    }

    const STEPS: [&str; 3] = [
        "CREATE TABLE word (text TEXT); INSERT INTO word VALUES ('old');",
        "ALTER TABLE word ADD COLUMN length INTEGER; UPDATE word SET length = length(text);",
        "INSERT INTO word VALUES ('half', 4); INSERT INTO nowhere VALUES (1);",
    ];

    fn words(connection: &Connection) -> Vec<(String, i64)> {
        let mut words = connection.prepare("SELECT text, length FROM word").unwrap();
        let rows = words.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_of_an_earlier_version_gets_the_later_steps_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(identity(&connection).unwrap(), Identity::Empty);
        migrate(&mut connection, &STEPS[..1], 0).unwrap();
        assert_eq!(identity(&connection).unwrap(), Identity::Ours(1));
        migrate(&mut connection, &STEPS[..2], 1).unwrap();
        assert_eq!(identity(&connection).unwrap(), Identity::Ours(2));
        assert_eq!(words(&connection), [("old".to_owned(), 3)]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &STEPS, 0).unwrap_err();
        assert_eq!(identity(&connection).unwrap(), Identity::Ours(2));
        assert_eq!(words(&connection), [("old".to_owned(), 3)]);
    }
}
