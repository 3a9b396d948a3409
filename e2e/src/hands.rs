//! Tools of tests, which keep their own record of what was done with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use taiwa_server::tools::{Mount, Origin};
use taiwa_tools::{Call, Error, Fixed, Function, Output, Tool};

/// What a tool saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// A call began.
    Began,
    /// It gave its result.
    Ended,
    /// It was dropped before.
    Stopped,
}

/// One line of the record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// The call's idempotency key.
    pub key: String,
    /// What.
    pub deed: Deed,
}

/// The record of all tools of a test.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<Entry>>>);

impl Record {
    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// What became of each call, by its key.
    pub fn by_key(&self) -> BTreeMap<String, Vec<Deed>> {
        let mut calls: BTreeMap<String, Vec<Deed>> = BTreeMap::new();
        for entry in self.entries() {
            calls.entry(entry.key).or_default().push(entry.deed);
        }
        calls
    }

    /// Number of calls that began.
    pub fn begun(&self) -> usize {
        self.count(&Deed::Began)
    }

    /// Number of entries of a kind.
    pub fn count(&self, deed: &Deed) -> usize {
        self.lock()
            .iter()
            .filter(|entry| entry.deed == *deed)
            .count()
    }

    fn note(&self, key: &str, deed: Deed) {
        self.lock().push(Entry {
            at: Instant::now(),
            key: key.to_owned(),
            deed,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that a call was dropped, unless it ended.
struct Watch {
    record: Record,
    key: String,
    ended: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ended {
            self.record.note(&self.key, Deed::Stopped);
        }
    }
}

/// A tool `name` that takes `{"ms": 50, "say": "text", "fail": false}`, waits so long, says how far
/// it is in between, and gives the text back.
///
/// # Panics
///
/// Never: its schema is one.
pub fn worker(name: &str, record: &Record) -> Arc<dyn Tool> {
    let record = record.clone();
    let schema = r#"{"type":"object","properties":{"ms":{"type":"integer","minimum":0},"say":{"type":"string"},"fail":{"type":"boolean"}},"additionalProperties":false}"#;
    let body = move |call: Call| {
        let record = record.clone();
        async move {
            record.note(&call.idempotency_key, Deed::Began);
            let mut watch = Watch {
                record: record.clone(),
                key: call.idempotency_key.clone(),
                ended: false,
            };
            let wait = call.input.get("ms").and_then(Value::as_u64).unwrap_or(0);
            call.progress.report("half way");
            tokio::time::sleep(Duration::from_millis(wait)).await;
            watch.ended = true;
            record.note(&call.idempotency_key, Deed::Ended);
            let say = call
                .input
                .get("say")
                .and_then(Value::as_str)
                .unwrap_or("done");
            if call.input.get("fail").and_then(Value::as_bool) == Some(true) {
                return Err(Error::Failed(format!("cannot: {say}")));
            }
            Ok(Output::text(say))
        }
    };
    Arc::new(Function::new(name, "Works for a while.", schema, body).expect("a schema"))
}

/// Gives an agent tools, with nothing before their names.
pub fn mount(tools: Vec<Arc<dyn Tool>>) -> Mount {
    Mount::new(Origin::Own(Arc::new(Fixed::new(tools))))
}
