//! Every member of the API, walked, so that none is forgotten in silence.
//!
//! `testdata/bedrock-surface.txt` lists the members with their types and states. The bodies and
//! streams walked here are those that other tests hold equal to what is really sent and told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use taiwa_core::Failure;

use crate::{
    frame::frames,
    peer::{Peer, Reply, hello, play},
    requests, streams,
};

#[test]
fn every_mapped_member_of_a_request_is_sent() {
    let surface = Surface::read();
    let mut request = requests::whole();
    // The model id is a part of the path, which another test compares.
    request["modelId"] = json!("model");
    // One body holds one choice; the others are held equal by a test of their own.
    let requests = requests::tool_choices().map(|(_, choice)| {
        let mut request = request.clone();
        request["toolConfig"]["toolChoice"] = choice;
        request
    });
    surface.check("ConverseStreamRequest", &requests);
}

#[test]
fn every_mapped_member_of_a_count_is_sent_and_told() {
    let surface = Surface::read();
    let mut request = requests::whole_count();
    request["modelId"] = json!("model");
    let requests = requests::tool_choices().map(|(_, choice)| {
        let mut request = request.clone();
        request["input"]["converse"]["toolConfig"]["toolChoice"] = choice;
        request
    });
    surface.check("CountTokensRequest", &requests);
    surface.check("CountTokensResponse", &[json!({"inputTokens": 42})]);
}

#[tokio::test]
async fn every_mapped_member_of_a_stream_is_told() {
    let surface = Surface::read();
    let mut events = streams::whole();
    // Members that are out are left out of what is walked, so that the list cannot claim both.
    events[0]["messageStart"]
        .as_object_mut()
        .unwrap()
        .remove("role");
    for member in surface.members("ConverseStreamOutput") {
        if member.name.ends_with("Exception") {
            let payload = surface.exception(&member.kind);
            let event = json!({ member.name.clone(): payload });
            let told = play(Reply::stream(&frames(std::slice::from_ref(&event)))).await;
            let failure = told.into_iter().next().unwrap().unwrap_err();
            events.push(json!({ member.name.clone(): surface.told(&member.kind, &failure) }));
        }
    }
    surface.check("ConverseStreamResponse", &[json!({ "stream": events })]);
}

#[tokio::test]
async fn every_mapped_member_of_an_exception_is_told() {
    let surface = Surface::read();
    let exceptions: BTreeSet<_> = surface
        .shapes
        .keys()
        .filter(|shape| shape.ends_with("Exception"))
        .collect();
    assert_eq!(exceptions.len(), 12);
    for shape in exceptions {
        let body = surface.exception(shape).to_string();
        let peer = Peer::start([Reply::body(424, shape, "", &body)]).await;
        let failure = peer.bedrock(1).await.open(hello()).await.unwrap_err();
        surface.check(shape, &[surface.told(shape, &failure)]);
    }
}

#[test]
fn every_member_has_a_state() {
    let surface = Surface::read();
    let members = surface.shapes.values().flatten();
    assert_eq!(members.clone().count(), 389);
    // What nothing reaches is either out itself or reached only by what is out.
    let roots = [
        "ConverseRequest",
        "ConverseStreamRequest",
        "ConverseResponse",
        "ConverseStreamResponse",
        "CountTokensRequest",
        "CountTokensResponse",
    ];
    let kinds: BTreeSet<_> = members.map(|member| innermost(&member.kind)).collect();
    for shape in surface.shapes.keys() {
        let is_reached = kinds.contains(shape.as_str()) || roots.contains(&shape.as_str());
        assert!(
            is_reached || shape.ends_with("Exception"),
            "{shape} is not reached"
        );
    }
}

/// The list.
struct Surface {
    shapes: BTreeMap<String, Vec<Member>>,
}

/// A member of a shape.
struct Member {
    name: String,
    kind: String,
    is_mapped: bool,
}

impl Surface {
    fn read() -> Self {
        let mut shapes = BTreeMap::<String, Vec<Member>>::new();
        let lines = include_str!("../../testdata/bedrock-surface.txt").lines();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (path, rest) = line.split_once(' ').unwrap();
            let (kind, state) = rest.split_once(' ').unwrap();
            let (shape, name) = path.split_once('.').unwrap();
            let reason = state.strip_prefix("out: ");
            assert!(
                state == "mapped" || reason.is_some_and(|reason| !reason.is_empty()),
                "{line}"
            );
            shapes.entry(shape.to_owned()).or_default().push(Member {
                name: name.to_owned(),
                kind: kind.to_owned(),
                is_mapped: state == "mapped",
            });
        }
        Self { shapes }
    }

    fn members(&self, shape: &str) -> &[Member] {
        self.shapes
            .get(shape)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Walks values of a shape: each must hold nothing but mapped members, and together they must
    /// hold every mapped member that can be reached.
    #[track_caller]
    fn check(&self, root: &str, values: &[Value]) {
        let mut held = BTreeSet::new();
        for value in values {
            self.walk(root, value, &mut held);
        }
        let mut reachable = BTreeSet::new();
        self.reach(root, &mut reachable);
        let missing: Vec<_> = reachable.difference(&held).collect();
        assert!(
            missing.is_empty(),
            "mapped, but not exercised: {missing:#?}"
        );
    }

    fn walk(&self, kind: &str, value: &Value, held: &mut BTreeSet<String>) {
        if let Some(item) = inside(kind, "list<") {
            value
                .as_array()
                .unwrap()
                .iter()
                .for_each(|value| self.walk(item, value, held));
        } else if let Some(item) = inside(kind, "map<") {
            value
                .as_object()
                .unwrap()
                .values()
                .for_each(|value| self.walk(item, value, held));
        } else if let Some(members) = self.shapes.get(kind) {
            for (name, value) in value.as_object().unwrap() {
                let path = format!("{kind}.{name}");
                let member = members.iter().find(|member| member.name == *name);
                let member = member.unwrap_or_else(|| panic!("{path} is not in the list"));
                assert!(member.is_mapped, "{path} is said to be out, and is not");
                held.insert(path);
                self.walk(&member.kind, value, held);
            }
        }
    }

    fn reach(&self, kind: &str, reached: &mut BTreeSet<String>) {
        let shape = innermost(kind);
        for member in self.members(shape).iter().filter(|member| member.is_mapped) {
            if reached.insert(format!("{shape}.{}", member.name)) {
                self.reach(&member.kind, reached);
            }
        }
    }

    /// An exception in which every member is set, each to a value of its own.
    fn exception(&self, shape: &str) -> Value {
        let members = self.members(shape).iter();
        let values = members.enumerate().map(|(number, member)| {
            let value = match &*member.kind {
                "string" => json!(format!("value of {}", member.name)),
                "int32" => json!(500 + number),
                other => panic!("{other}"),
            };
            (member.name.clone(), value)
        });
        Value::Object(values.collect())
    }

    /// The members of an exception that the caller is told.
    fn told(&self, shape: &str, failure: &Failure) -> Value {
        let told = format!("{} {:?}", failure.message, failure.metadata);
        let Value::Object(mut members) = self.exception(shape) else {
            unreachable!()
        };
        members.retain(|_, value| told.contains(value.to_string().trim_matches('"')));
        Value::Object(members)
    }
}

fn inside<'a>(kind: &'a str, prefix: &str) -> Option<&'a str> {
    kind.strip_prefix(prefix)?.strip_suffix('>')
}

fn innermost(kind: &str) -> &str {
    match inside(kind, "list<").or_else(|| inside(kind, "map<")) {
        Some(item) => innermost(item),
        None => kind,
    }
}
