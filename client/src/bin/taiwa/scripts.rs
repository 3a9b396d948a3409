//! Scripts that the model may call, run by this command.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use taiwa_client::pb;
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use crate::{
    args::Answers,
    failure::{Exit, Failure},
};

mod groups;
mod load;
mod process;

use groups::Groups;

/// Scripts that run at once; further calls wait. A guess at what a machine bears that works
/// beside it.
const AT_ONCE: usize = 8;

/// Scripts by the names of their tools. Dropping it stops those that run.
#[derive(Debug)]
pub(crate) struct Scripts {
    scripts: BTreeMap<String, Script>,
    running: JoinSet<pb::ToolResult>,
    /// The calls that run, and since when.
    calls: BTreeMap<String, (AbortHandle, Instant)>,
    places: Arc<Semaphore>,
    groups: Groups,
}

/// One script, and what the model knows of it.
#[derive(Debug, Clone)]
struct Script {
    spec: pb::ToolSpec,
    program: OsString,
    arguments: Vec<String>,
    timeout: Option<Duration>,
}

impl Scripts {
    /// The scripts that the flags name.
    pub(crate) fn load(answers: &Answers) -> Result<Self, Failure> {
        let mut scripts = BTreeMap::new();
        for script in load::all(answers)? {
            let name = script.spec.name.clone();
            if scripts.insert(name.clone(), script).is_some() {
                let what = format!("there are two tools of the name {name}");
                return Err(Failure::new(Exit::Usage, what));
            }
        }
        Ok(Self {
            scripts,
            running: JoinSet::new(),
            calls: BTreeMap::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            groups: Groups::default(),
        })
    }

    /// The tools as the model is told of them.
    pub(crate) fn specs(&self) -> Vec<pb::ToolSpec> {
        let scripts = self.scripts.values();
        scripts.map(|script| script.spec.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Whether the tool is one of these.
    pub(crate) fn has(&self, tool_name: &str) -> bool {
        self.scripts.contains_key(tool_name)
    }

    /// Whether a call runs, or its result was not fetched yet.
    pub(crate) fn is_running(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Runs a call; what comes of it is given by [`next`](Self::next). A call that runs already
    /// is not run twice.
    pub(crate) fn start(&mut self, call: &pb::ToolCall, session_id: &str) {
        if self.calls.contains_key(&call.tool_call_id) {
            return;
        }
        let Some(script) = self.scripts.get(&call.tool_name).cloned() else {
            let unknown = pb::ToolResult {
                tool_call_id: call.tool_call_id.clone(),
                text: "this client has no tool of this name".to_owned(),
                is_error: true,
                ..Default::default()
            };
            let abort = self.running.spawn(async { unknown });
            let at = Instant::now();
            self.calls.insert(call.tool_call_id.clone(), (abort, at));
            return;
        };
        let (call, session_id) = (call.clone(), session_id.to_owned());
        let (places, groups) = (self.places.clone(), self.groups.clone());
        let tool_call_id = call.tool_call_id.clone();
        let limit = limit(&call, script.timeout);
        let abort = self.running.spawn(async move {
            // Never closed: without a place it would wait, not go on.
            let _place = places.acquire().await;
            let running = process::run(&script, &call, &session_id, &groups);
            let outcome = match limit {
                None => running.await,
                Some(limit) => tokio::time::timeout(limit, running)
                    .await
                    .unwrap_or_else(|_elapsed| Err(process::too_long(limit))),
            };
            process::result(&call.tool_call_id, outcome)
        });
        self.calls.insert(tool_call_id, (abort, Instant::now()));
    }

    /// Stops calls whose results are not wanted.
    pub(crate) fn stop(&mut self, tool_call_ids: &[String]) {
        for id in tool_call_ids {
            if let Some((abort, _)) = self.calls.remove(id) {
                abort.abort();
            }
        }
    }

    /// Stops all that runs.
    pub(crate) fn stop_all(&mut self) {
        self.calls.clear();
        self.running.abort_all();
    }

    /// Waits for a call to end; gives its result and how long it took. Cancel-safe; none when
    /// nothing runs.
    pub(crate) async fn next(&mut self) -> Option<(pb::ToolResult, Duration)> {
        loop {
            let (result, id) = match self.running.join_next_with_id().await? {
                Ok((id, result)) => (Some(result), id),
                Err(stopped) => (None, stopped.id()),
            };
            let mut calls = self.calls.iter();
            let Some((call_id, (_, since))) = calls.find(|(_, (abort, _))| abort.id() == id) else {
                continue;
            };
            let (call_id, took) = (call_id.clone(), since.elapsed());
            self.calls.remove(&call_id);
            let broken = || process::result(&call_id, Err("the tool broke down".to_owned()));
            return Some((result.unwrap_or_else(broken), took));
        }
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        // The tasks would end only when the runtime comes to them, which may be never.
        self.groups.end();
    }
}

/// How long a call may run: as long as its tool may, and its result is waited for.
fn limit(call: &pb::ToolCall, timeout: Option<Duration>) -> Option<Duration> {
    let expires = call
        .expire_time
        .and_then(|time| SystemTime::try_from(time).ok());
    // A clock that is ahead of the server's must not stop what has only begun.
    let left = expires.and_then(|at| at.duration_since(SystemTime::now()).ok());
    [timeout, left].into_iter().flatten().min()
}
