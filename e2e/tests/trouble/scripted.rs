//! The MCP server of `tools/tests/mcp`, which dies when it is told to.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::Value;
use taiwa_tools::mcp;
use tempfile::TempDir;

/// The program's set-up, and its journal.
pub(crate) struct Program {
    folder: TempDir,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is room"),
        }
    }

    /// Started again soon after each death.
    pub(crate) fn config(&self) -> mcp::Config {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/tests/mcp/server.py");
        let journal = self.folder.path().join("journal").display().to_string();
        let transport = mcp::Transport::Stdio {
            command: "python3".to_owned(),
            args: vec![script.display().to_string()],
            env: BTreeMap::from([("JOURNAL".to_owned(), journal)]),
            cwd: None,
        };
        let mut config = mcp::Config::new("scripted", transport);
        config.shortest_pause = Duration::from_millis(10);
        config.longest_pause = Duration::from_millis(20);
        config
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        self.entries(|entry| entry.get("started").is_some())
    }

    /// How often a tool was called.
    pub(crate) fn calls(&self, tool: &str) -> usize {
        self.entries(|entry| entry["params"]["name"] == tool)
    }

    fn entries(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let journal = fs::read_to_string(self.folder.path().join("journal"));
        let journal = journal.unwrap_or_default();
        // The last line may be half written.
        let entries = journal
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        entries.filter(fits).count()
    }
}
