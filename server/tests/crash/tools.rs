//! The clients' tools, whose effects are lines of a real file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use taiwa::v1 as pb;

/// Names of the tools; a prompt that holds one has it called.
pub(crate) const NAMES: [&str; 2] = ["stamp_paper", "ring_bell"];

/// Runs calls, each once, however often it is handed out.
#[derive(Debug)]
pub(crate) struct Tools {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// What each key came to.
    done: BTreeMap<String, String>,
}

impl Tools {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("effects");
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path).unwrap();
        Self {
            path,
            state: Mutex::new(State {
                file,
                done: BTreeMap::new(),
            }),
        }
    }

    /// Runs a call, unless its key says that it has run; blocks for the disk.
    pub(crate) fn run(&self, call: &pb::ToolCall) -> String {
        let mut state = self.state.lock().unwrap();
        let key = &call.idempotency_key;
        if let Some(result) = state.done.get(key) {
            return result.clone();
        }
        writeln!(state.file, "{key} {}", call.tool_call_id).unwrap();
        state.file.sync_data().unwrap();
        let result = format!("effect {} of {key}", state.done.len() + 1);
        state.done.insert(key.clone(), result.clone());
        result
    }

    /// The lines of the file: the key and the id of each call that ran.
    pub(crate) fn effects(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.path).unwrap();
        let lines = text.lines().map(|line| {
            let (key, call_id) = line.split_once(' ').unwrap();
            (key.to_owned(), call_id.to_owned())
        });
        lines.collect()
    }
}

/// How the tools are declared.
pub(crate) fn declared() -> Vec<pb::ToolSpec> {
    let specs = NAMES.map(|name| pb::ToolSpec {
        name: name.to_owned(),
        description: "Has an effect.".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(
            r#"{"type":"object"}"#.to_owned(),
        )),
        ..pb::ToolSpec::default()
    });
    specs.into()
}
