//! The model calls that the simulator has seen, over all lives of the server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taiwa_simulator::{Journal, Outcome};

use crate::record::Record;

/// Model calls, each known by what the user said last.
#[derive(Debug, Default)]
pub(crate) struct Models {
    newest: u64,
    calls: BTreeMap<BTreeSet<String>, Value>,
}

impl Models {
    /// Takes what came since it was last asked; asserts that no call came twice.
    pub(crate) fn collect(&mut self, journal: &Journal) {
        for entry in journal.entries() {
            assert!(!matches!(entry.outcome, Outcome::Refused(_)), "{entry:#?}");
            if entry.number <= self.newest {
                continue;
            }
            assert_eq!(entry.number, self.newest + 1, "the journal is too small");
            self.newest = entry.number;
            let request = entry.request.as_ref().clone();
            let name = name(&request);
            assert!(!name.is_empty(), "{request:#}");
            if let Some(first) = self.calls.insert(name, request) {
                panic!("asked twice: {first:#} and {:#}", entry.request);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }
}

/// What the last message holds that no other call's last message does.
fn name(request: &Value) -> BTreeSet<String> {
    let last = request["messages"].as_array().and_then(|it| it.last());
    let mut name = BTreeSet::new();
    for block in last.and_then(|it| it["content"].as_array()).unwrap() {
        if let Some(text) = block["text"].as_str() {
            name.extend(Record::tokens(text));
        }
        if let Some(id) = block["toolResult"]["toolUseId"].as_str() {
            name.insert(id.to_owned());
        }
    }
    name
}
