//! One run of a tool: from its start, once the store has what led to it, to what it came to.

use std::{
    future::{Future as _, poll_fn},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt as _;
use taiwa_core::{
    command::ToolRun,
    input::RunId,
    tool::{RunEnd, RunOutcome, ToolResultBlock},
};
use taiwa_tools::{Allowance, Call, Caller, Error, Output, Progress, Tool};
use tokio::{sync::mpsc, time::Instant};
use tracing::{error, info};

use crate::session::Commit;

/// Least time between two pieces of progress that are told; what comes between is left out.
///
/// Each is an event that every reader gets and the log keeps: ten a second are enough to watch.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What a run says.
#[derive(Debug)]
pub(crate) enum Said {
    /// How far it is.
    Progress(RunId, String),
    /// What it came to.
    Finished(RunId, RunOutcome),
}

/// Stands before each step of a tool: once it is closed, the tool does nothing more.
///
/// A task that is aborted may be in the middle of a step on another thread, and be about to begin.
/// Who closes the gate waits for that step, which blocks on nothing, and knows that it was the last.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_closed: Mutex<bool>,
}

impl Gate {
    /// Lets no further step be made.
    pub(crate) fn close(&self) {
        *self.lock() = true;
    }

    /// Makes a step, unless the gate is closed.
    fn pass<T>(&self, step: impl FnOnce() -> Poll<T>) -> Poll<Option<T>> {
        let is_closed = self.lock();
        if *is_closed {
            return Poll::Ready(None);
        }
        step().map(Some)
    }

    // A flag is whole after a panic.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a tool; dropping the future stops it.
pub(crate) async fn run(
    tool: Option<Arc<dyn Tool>>,
    run: ToolRun,
    caller: Caller,
    max_result_bytes: usize,
    kept: Commit,
    gate: Arc<Gate>,
    said: mpsc::Sender<Said>,
) {
    // The ledger knows of the call before the tool does.
    if kept.done().await.is_err() {
        // The session ends by the same failure.
        return;
    }
    let id = run.run;
    let name = run.call.name.clone();
    let began = Instant::now();
    let outcome = match (tool, serde_json::from_str(&run.call.input_json)) {
        (Some(tool), Ok(input)) => {
            let (progress, mut reader) = Progress::channel();
            let call = Call {
                id: run.call.id,
                input,
                idempotency_key: run.call.idempotency_key,
                deadline: run.deadline,
                caller: Arc::new(caller),
                progress,
                max_result_bytes,
                allowance: Allowance {
                    max_tokens: run.allowance.max_tokens,
                    max_cost: run.allowance.max_cost,
                },
            };
            let calling = AssertUnwindSafe(async { tool.call(call).await }).catch_unwind();
            let mut calling = std::pin::pin!(calling);
            let mut calling = poll_fn(move |context| gate.pass(|| calling.as_mut().poll(context)));
            let mut told = None::<Instant>;
            let ended = loop {
                tokio::select! {
                    ended = &mut calling => break ended,
                    Some(text) = reader.next() => {
                        if told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY) {
                            told = Some(Instant::now());
                            // A session that has ended has nobody to tell.
                            let _ = said.send(Said::Progress(id, text)).await;
                        }
                    }
                }
            };
            match ended {
                // It was stopped, and nobody waits for it.
                None => return,
                Some(Ok(ended)) => outcome(ended, max_result_bytes),
                Some(Err(_)) => {
                    error!(tool = name, "a tool panicked");
                    let text = "the tool failed by a fault of its own; whether it took effect is \
                                not known";
                    without(RunEnd::Unknown, text.to_owned())
                }
            }
        }
        (None, _) => without(
            RunEnd::Failed,
            "the tool is not there any more; it did not run".to_owned(),
        ),
        (Some(_), Err(_)) => without(
            RunEnd::Failed,
            "the input is not a JSON object; the tool did not run".to_owned(),
        ),
    };
    info!(tool = name, end = ?outcome.end, took = ?began.elapsed(), "tool ended");
    // As above.
    let _ = said.send(Said::Finished(id, outcome)).await;
}

fn outcome(ended: Result<Output, Error>, max_result_bytes: usize) -> RunOutcome {
    match ended {
        Ok(output) => RunOutcome {
            content: bounded(output.content, max_result_bytes),
            end: if output.is_error {
                RunEnd::Failed
            } else {
                RunEnd::Succeeded
            },
            usage: output.usage,
        },
        Err(Error::Failed(text)) => without(RunEnd::Failed, text),
        Err(Error::Unknown(text)) => without(RunEnd::Unknown, text),
    }
}

fn without(end: RunEnd, text: String) -> RunOutcome {
    RunOutcome {
        content: vec![ToolResultBlock::Text(text)],
        end,
        usage: None,
    }
}

/// Most blocks of a result; as many as a caller may send.
const MAX_BLOCKS: usize = 256;

/// Cuts a result to what a conversation takes, and says so in it.
fn bounded(content: Vec<ToolResultBlock>, most_bytes: usize) -> Vec<ToolResultBlock> {
    /// Room for the sentence that says what is missing.
    const NOTE_BYTES: usize = 200;
    let size = |block: &ToolResultBlock| block.size_bytes();
    let whole: usize = content.iter().map(size).sum();
    if whole <= most_bytes && content.len() <= MAX_BLOCKS {
        return content;
    }
    let pieces = content.len();
    let mut left = most_bytes.saturating_sub(NOTE_BYTES);
    let mut kept = Vec::new();
    for block in content.into_iter().take(MAX_BLOCKS - 1) {
        let bytes = size(&block);
        if bytes <= left {
            left -= bytes;
            kept.push(block);
            continue;
        }
        // JSON that is cut is JSON no more, and half a picture is none.
        if let ToolResultBlock::Text(mut text) | ToolResultBlock::Json(mut text) = block {
            text.truncate(text.floor_char_boundary(left));
            kept.push(ToolResultBlock::Text(text));
        }
        break;
    }
    let gave = if whole > most_bytes {
        format!("{whole} bytes, more than the {most_bytes} that fit")
    } else {
        format!("{pieces} pieces, more than the {MAX_BLOCKS} that fit")
    };
    kept.push(ToolResultBlock::Text(format!(
        "(The tool gave {gave}. The rest is left out: ask for less at a time.)"
    )));
    kept
}

#[cfg(test)]
mod tests;
