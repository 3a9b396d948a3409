//! Requests about kept sessions, and sessions as callers see them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use taiwa::v1 as pb;
use taiwa_core::{Agent, Failure, Message, TurnOptions};

use super::{
    conversation, identifier,
    options::{self, ToolScope},
    page, time,
    violations::Violations,
};
use crate::store::{Page, SessionFilter, SessionRow};

/// Most labels of a session, and the most characters of a label's name and value.
///
/// Guesses: those of labels in Kubernetes and of tags in AWS, rounded up.
const MAX_LABELS: usize = 64;
const MAX_LABEL_CHARS: (usize, usize) = (128, 256);

/// Longest time for which a session can be asked to be kept: beyond what anybody means.
const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A session to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Its id; `None` means that the server chooses.
    pub session_id: Option<String>,
    /// Settings that its turns start from, over the agent's.
    pub options: TurnOptions,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// How long it is kept after its last use; `None` means the server's default.
    pub ttl: Option<Duration>,
    /// Under which a repeat is recognised.
    pub request_id: Option<String>,
}

/// Reads a request of CreateSession.
///
/// # Errors
///
/// `InvalidRequest`, `UnsupportedContent` or `LimitExceeded`, with every field at fault.
pub fn create(wire: pb::CreateSessionRequest, agent: &Agent) -> Result<Creation, Failure> {
    let mut violations = Violations::default();
    let creation = Creation {
        session_id: identifier::session_id(wire.session_id, &mut violations),
        options: options::read(wire.options, ToolScope::Request, agent, &mut violations),
        messages: conversation::messages(wire.messages, &[], &agent.limits, &mut violations),
        labels: labels(wire.labels, &mut violations),
        ttl: wire.ttl.and_then(|wire| ttl(wire, &mut violations)),
        request_id: identifier::repeat_key("request_id", wire.request_id, &mut violations),
    };
    violations.finish(creation)
}

/// Reads the field `session_id` of a request for one session.
///
/// # Errors
///
/// `InvalidRequest` when it is unset, or no session can have it.
pub fn session_id(id: String) -> Result<String, Failure> {
    let mut violations = Violations::default();
    if id.is_empty() {
        violations.refuse_field("session_id", "must be set");
    }
    let id = identifier::session_id(id, &mut violations);
    violations.finish(id.unwrap_or_default())
}

/// Reads a request of ListSessions.
///
/// # Errors
///
/// `InvalidRequest`, with every field at fault.
pub fn list(wire: pb::ListSessionsRequest) -> Result<(SessionFilter, Page), Failure> {
    let mut violations = Violations::default();
    let filter = SessionFilter {
        agent_id: Some(wire.agent_id).filter(|id| !id.is_empty()),
        labels: labels(wire.labels, &mut violations),
    };
    let page = page(wire.page_size, wire.page_token, &mut violations);
    violations.finish((filter, page))
}

/// Reads a request of ListMessages: the session, and the page.
///
/// # Errors
///
/// `InvalidRequest`, with every field at fault.
pub fn messages(wire: pb::ListMessagesRequest) -> Result<(String, Page), Failure> {
    let session_id = session_id(wire.session_id)?;
    let mut violations = Violations::default();
    let page = page(wire.page_size, wire.page_token, &mut violations);
    violations.finish((session_id, page))
}

/// Writes a session; its settings where they were read with it.
pub fn session(row: &SessionRow, options: Option<TurnOptions>) -> pb::Session {
    let head = &row.head;
    let state = match (&head.active_turn_id, head.is_paused) {
        (None, _) => pb::SessionState::Idle,
        (Some(_), false) => pb::SessionState::Running,
        (Some(_), true) => pb::SessionState::Paused,
    };
    let total = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    pb::Session {
        session_id: row.key.session_id.to_string(),
        agent_id: row.begin.agent_id.clone(),
        state: state.into(),
        create_time: Some(time::timestamp(row.begin.created)),
        update_time: Some(time::timestamp(head.update_time)),
        expire_time: row.expires().and_then(expire_time),
        message_count: i32::try_from(head.message_count).unwrap_or(i32::MAX),
        last_sequence: total(head.last_sequence),
        active_turn_id: head.active_turn_id.clone().unwrap_or_default(),
        total_input_tokens: total(head.input_tokens),
        total_output_tokens: total(head.output_tokens),
        labels: row.begin.labels.clone(),
        options: options.map(options::write),
    }
}

/// A time that the wire can hold; one beyond the year 9999 is never.
fn expire_time(at: SystemTime) -> Option<prost_types::Timestamp> {
    // <https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp>
    const LAST_SECOND: i64 = 253_402_300_799;
    let at = time::timestamp(at);
    (at.seconds <= LAST_SECOND).then_some(at)
}

fn page(size: i32, token: String, violations: &mut Violations) -> Page {
    let size = page::size(size).map_err(|fault| violations.refuse_field("page_size", fault));
    Page {
        size: size.unwrap_or_default(),
        token: Some(token).filter(|token| !token.is_empty()),
    }
}

fn labels(wire: BTreeMap<String, String>, violations: &mut Violations) -> BTreeMap<String, String> {
    if wire.len() > MAX_LABELS {
        let description = format!("must have at most {MAX_LABELS} entries, not {}", wire.len());
        violations.refuse_field("labels", description);
    }
    let (name_chars, value_chars) = MAX_LABEL_CHARS;
    for (name, value) in &wire {
        let name_fits = (1..=name_chars).contains(&name.chars().count());
        let value_fits = value.chars().count() <= value_chars;
        if !name_fits || !value_fits {
            violations.within_entry("labels", name, |violations| {
                violations
                    .refuse("must have a name of 1 to 128 characters and a value of at most 256");
            });
        }
    }
    wire
}

fn ttl(wire: prost_types::Duration, violations: &mut Violations) -> Option<Duration> {
    violations.within("ttl", |violations| {
        let ttl = time::duration(wire, violations)?;
        if ttl.is_zero() || ttl > MAX_TTL {
            violations.refuse("must be longer than zero, and at most 100 years");
        }
        Some(ttl)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grpc::convert::fixture,
        store::{Begin, Head, Key},
    };

    fn span(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn every_field_of_a_creation_arrives() {
        let wire = pb::CreateSessionRequest {
            session_id: "s-1".to_owned(),
            agent_id: "assistant".to_owned(),
            options: Some(pb::TurnOptions {
                max_steps: 2,
                ..Default::default()
            }),
            messages: vec![fixture::message(pb::Role::User, vec![fixture::text("hi")])],
            labels: [("team".to_owned(), "a".to_owned())].into(),
            ttl: span(60),
            request_id: "r-1".to_owned(),
        };
        let creation = create(wire, &fixture::agent()).unwrap();
        assert_eq!(creation.session_id.as_deref(), Some("s-1"));
        assert_eq!(creation.options.max_steps.map(|most| most.get()), Some(2));
        assert_eq!(creation.messages.len(), 1);
        assert_eq!(creation.labels["team"], "a");
        assert_eq!(creation.ttl, Some(Duration::from_secs(60)));
        assert_eq!(creation.request_id.as_deref(), Some("r-1"));
    }

    #[test]
    fn each_field_at_fault_of_a_creation_is_named() {
        let wire = pb::CreateSessionRequest {
            session_id: "a b".to_owned(),
            options: Some(pb::TurnOptions {
                max_steps: -1,
                ..Default::default()
            }),
            messages: vec![fixture::message(pb::Role::Assistant, vec![])],
            labels: [(String::new(), "a".to_owned())].into(),
            ttl: span(0),
            request_id: "\n".to_owned(),
            ..Default::default()
        };
        let fields = fixture::fields(create(wire, &fixture::agent()));
        let named = [
            "session_id",
            "options.max_steps",
            "messages[0].role",
            "messages[0].content",
            "labels[\"\"]",
            "ttl",
            "request_id",
        ];
        for field in named {
            assert!(
                fields.iter().any(|found| found == field),
                "{field} of {fields:?}"
            );
        }
    }

    #[test]
    fn a_page_has_a_usual_and_a_largest_size() {
        for (given, size) in [(0, 50), (1, 1), (200, 200), (1_000, 200)] {
            let wire = pb::ListSessionsRequest {
                page_size: given,
                ..Default::default()
            };
            assert_eq!(list(wire).unwrap().1.size, size);
        }
        let wire = pb::ListMessagesRequest {
            session_id: "s".to_owned(),
            page_size: -1,
            ..Default::default()
        };
        assert_eq!(fixture::fields(messages(wire)), ["page_size"]);
    }

    #[test]
    fn a_session_is_told_as_it_stands() {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let mut row = SessionRow {
            key: Key::new(&"t".into(), "s-1"),
            begin: Begin {
                agent_id: "assistant".to_owned(),
                labels: [("team".to_owned(), "a".to_owned())].into(),
                ttl: Duration::from_secs(5),
                created,
            },
            head: Head {
                message_count: 3,
                last_sequence: 9,
                input_tokens: 7,
                output_tokens: 8,
                ..Head::new(created)
            },
            options: None,
        };
        let idle = session(&row, None);
        assert_eq!(idle.state(), pb::SessionState::Idle);
        assert_eq!(idle.expire_time.map(|at| at.seconds), Some(15));
        assert_eq!((idle.message_count, idle.last_sequence), (3, 9));
        assert_eq!((idle.total_input_tokens, idle.total_output_tokens), (7, 8));
        assert_eq!((idle.labels["team"].as_str(), idle.options), ("a", None));

        row.head.active_turn_id = Some("turn".to_owned());
        row.head.has_work = true;
        assert_eq!(session(&row, None).state(), pb::SessionState::Running);
        row.head.is_paused = true;
        let paused = session(&row, None);
        assert_eq!(paused.state(), pb::SessionState::Paused);
        assert_eq!(
            (paused.active_turn_id.as_str(), paused.expire_time),
            ("turn", None)
        );
    }

    #[test]
    fn a_time_beyond_what_the_wire_holds_is_never() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
        assert_eq!(expire_time(far), None);
    }
}
