//! What is asked of every session once the load is over.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use rusqlite::{Connection, OpenFlags};
use taiwa::v1 as pb;

use crate::{
    child::Setup,
    judge::{Judged, judge},
    kept,
    record::Record,
    world::{Link, World},
};

/// Sessions that are read at a time.
const AT_A_TIME: usize = 8;

/// Judges all sessions, and what the clients' tools have done; gives the sums.
pub(crate) async fn check_all(world: &World, link: &Link, records: Vec<Record>) -> Judged {
    let there = records.iter().filter(|record| !record.is_deleted).count();
    assert_eq!(kept::count_sessions(link).await, there, "sessions listed");
    let mut sum = Judged::default();
    let mut keys = BTreeSet::new();
    let mut has_deleted = false;
    let mut judged = stream::iter(records)
        .map(|record| check(link.clone(), record))
        .buffer_unordered(AT_A_TIME);
    while let Some((judged, known)) = judged.next().await {
        match judged {
            Some(judged) => {
                sum.turns += judged.turns;
                sum.tool_calls += judged.tool_calls;
                sum.lost_turns += judged.lost_turns;
                sum.refused += judged.refused;
            }
            None => has_deleted = true,
        }
        for key in known {
            assert!(keys.insert(key.clone()), "{key} is of two sessions");
        }
    }
    let mut done = BTreeSet::new();
    for (key, call_id) in world.tools.effects() {
        assert!(done.insert(key.clone()), "{key} of {call_id} ran twice");
        assert!(
            has_deleted || keys.contains(&key),
            "{key} ran, and nobody was told of it"
        );
    }
    sum
}

async fn check(link: Link, mut record: Record) -> (Option<Judged>, Vec<String>) {
    let kept = kept::read(&link, &mut record).await;
    assert_eq!(kept.is_none(), record.is_deleted, "{}", record.session_id);
    let Some(kept) = kept else {
        return (None, Vec::new());
    };
    assert_eq!(kept.session.active_turn_id, "");
    let judged = judge(&record, &kept);
    let mut keys = Vec::new();
    let mut results = Vec::new();
    for told in record.events.values() {
        match &told.event.payload {
            Some(pb::event::Payload::ToolCall(call)) => keys.push(call.idempotency_key.clone()),
            Some(pb::event::Payload::TurnEnded(result)) => results.push(result.clone()),
            _ => {}
        }
    }
    for result in results {
        if result.status() != pb::TurnStatus::Paused {
            let again = kept::turn(&link, &record.session_id, &result.turn_id).await;
            assert_eq!(again, *result);
        }
    }
    // The simulator's rules judge the history once more, with all that came of it.
    let request = pb::InvokeRequest {
        session_id: record.session_id.clone(),
        prompt: format!("say something [{}.last]", record.session_id),
        ..pb::InvokeRequest::default()
    };
    let answer = link.agents().invoke(request).await.unwrap().into_inner();
    // It waits for a tool where words asked for one that no model had answered.
    let status = answer.result.unwrap().status();
    let is_answered = matches!(status, pb::TurnStatus::Completed | pb::TurnStatus::Paused);
    assert!(is_answered, "{status:?}");
    (Some(judged), keys)
}

/// Asserts that the file is whole, by SQLite's own check; nobody may have it open.
pub(crate) fn check_file(setup: &Setup) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(&setup.store, flags).unwrap();
    for check in ["integrity_check", "foreign_key_check"] {
        let mut statement = connection.prepare(&format!("PRAGMA {check}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        let found: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
        let expected: &[&str] = if check == "integrity_check" {
            &["ok"]
        } else {
            &[]
        };
        assert_eq!(found, expected, "{check}");
    }
}

/// Asserts that no process said that something broke.
pub(crate) fn check_errors(setup: &Setup) {
    let said = setup.errors();
    assert!(said.is_empty(), "{said}");
}
