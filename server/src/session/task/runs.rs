//! The tools that run for a session, and on whose behalf.

use std::{collections::BTreeMap, sync::Arc};

use taiwa_core::{
    Input,
    command::ToolRun,
    input::{RunId, StreamId},
};
use taiwa_tools::Caller;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Task;
use crate::{
    session::CallFacts,
    tools::run::{self, Gate, Said},
};

/// What tools may say before the session hears it; they wait beyond.
const MAX_WAITING: usize = 16;

/// The tools that run; dropping it stops them.
#[derive(Default)]
pub(super) struct Runs {
    running: BTreeMap<RunId, Running>,
    /// Made with the first run: most sessions have none.
    channel: Option<(mpsc::Sender<Said>, mpsc::Receiver<Said>)>,
}

impl Runs {
    fn sender(&mut self) -> mpsc::Sender<Said> {
        let (tx, _) = self
            .channel
            .get_or_insert_with(|| mpsc::channel(MAX_WAITING));
        tx.clone()
    }

    /// Waits for what a tool says next; for ever when none runs.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Said {
        match &mut self.channel {
            Some((_, rx)) => match rx.recv().await {
                Some(said) => said,
                // Never: a sender is beside it.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Stops a tool: it does nothing more when this returns.
    pub(super) fn cancel(&mut self, run: RunId) {
        if let Some(running) = self.running.remove(&run) {
            running.gate.close();
        }
    }
}

/// A tool that runs; dropping it stops the tool.
struct Running {
    gate: Arc<Gate>,
    _task: AbortOnDropHandle<()>,
}

/// What is known of the calls behind a session.
#[derive(Default)]
pub(super) struct Facts {
    /// Of the call that asked for the newest turn, or brought it forward.
    call: Option<(Arc<str>, Arc<CallFacts>)>,
    streams: BTreeMap<StreamId, Arc<CallFacts>>,
}

impl Facts {
    pub(super) fn note_call(&mut self, turn_id: &Arc<str>, facts: Arc<CallFacts>) {
        self.call = Some((Arc::clone(turn_id), facts));
    }

    pub(super) fn note_stream(&mut self, stream: StreamId, facts: Arc<CallFacts>) {
        self.streams.insert(stream, facts);
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// What is known of whoever a turn is for: its stream, or else the call that asked for it.
    fn of(&self, turn_id: &str, stream: Option<StreamId>) -> CallFacts {
        let of_stream = stream.and_then(|stream| self.streams.get(&stream));
        let of_call = self.call.as_ref().filter(|(asked, _)| **asked == *turn_id);
        let facts = of_stream.or(of_call.map(|(_, facts)| facts));
        facts
            .map(|facts| CallFacts::clone(facts))
            .unwrap_or_default()
    }
}

impl Task {
    /// Tells the session when its agent has other tools.
    pub(super) fn follow_offers(&mut self) {
        let Some(offers) = &mut self.offers else {
            return;
        };
        // Once its source is gone it stays as it is.
        if offers.has_changed().unwrap_or(false) {
            let set = Arc::clone(&offers.borrow_and_update().set);
            self.session.handle(Input::Tools(set), super::now());
        }
    }

    pub(super) fn run_tool(&mut self, run: ToolRun) {
        let offer = self.offers.as_ref().map(|offers| offers.borrow());
        let tool = offer.and_then(|offer| offer.find(&run.call.name).cloned());
        let facts = self.facts.of(&run.turn_id, run.stream);
        let key = self.place.key();
        let caller = Caller {
            tenant: key.tenant.to_string(),
            session_id: key.session_id.to_string(),
            turn_id: run.turn_id.to_string(),
            agent_id: self.agent.id.clone(),
            depth: facts.depth,
            metadata: facts.metadata,
        };
        let id = run.run;
        let most_bytes = self.agent.limits.max_tool_result_bytes;
        let kept = self.next_commit();
        let said = self.runs.sender();
        let gate = Arc::new(Gate::default());
        let running = run::run(tool, run, caller, most_bytes, kept, Arc::clone(&gate), said);
        let running = Running {
            gate,
            _task: AbortOnDropHandle::new(tokio::spawn(running)),
        };
        self.runs.running.insert(id, running);
    }

    pub(super) fn take_said(&mut self, said: Said) {
        match said {
            // What a tool said before it was stopped comes too late.
            Said::Progress(run, text) if self.runs.running.contains_key(&run) => {
                self.handle(Input::ToolProgress { run, text });
            }
            Said::Progress(..) => {}
            Said::Finished(run, outcome) => {
                self.runs.running.remove(&run);
                let outcome = Box::new(outcome);
                self.handle(Input::ToolFinished { run, outcome });
            }
        }
    }
}
