//! The tool calls of a turn as they go, in lines.

use std::time::{Duration, Instant};

use taiwa_client::{Event, Payload, pb};

use crate::{
    output::Output,
    render::{dim, red},
};

mod text;

pub(crate) use text::{folded, pretty, safe};

/// Stands before a call that runs, where no spinner turns.
const MARK: &str = "⚙";

/// The calls of a turn whose end was not told yet.
#[derive(Debug)]
pub(crate) struct Calls {
    form: Form,
    look: Look,
    open: Vec<Open>,
}

/// How much of a call is shown, and in how many columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    width: usize,
    /// Arguments and results whole.
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Calls that run are drawn again and again; only ends are final.
    Drawn,
    /// Each word on a call is a line of its own.
    Plain,
}

#[derive(Debug)]
struct Open {
    call: pb::ToolCall,
    since: Instant,
    progress: String,
    approval_id: String,
    /// Nobody consented in time.
    expired: bool,
}

/// How a call ended, and what it gave.
#[derive(Debug)]
struct Ended<'a> {
    mark: &'static str,
    /// What is unusual about it.
    note: &'static str,
    took: Option<Duration>,
    result: Option<&'a pb::ToolResult>,
}

impl Look {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            width: output.width(),
            verbose: output.verbose,
        }
    }

    /// The line that a call begins with, and its arguments below it where they are shown whole.
    pub(crate) fn begun(self, call: &pb::ToolCall) -> Vec<String> {
        self.head(MARK, call, "")
    }

    /// The lines with which a call ends that this command ran.
    pub(crate) fn answered(
        self,
        tool_name: &str,
        result: &pb::ToolResult,
        took: Duration,
    ) -> Vec<String> {
        self.plain_end(tool_name, &Ended::answered(result, took))
    }

    /// The end of a call in one line, or more where results are shown whole.
    fn plain_end(self, tool_name: &str, ended: &Ended<'_>) -> Vec<String> {
        let mut head = format!("{} {}{}", ended.mark, safe(tool_name), ended.tail());
        let mut lines = self.result(ended);
        if let Some(first) = lines.first().filter(|_| !self.verbose) {
            head = format!("{head}: {}", first.trim_start());
            lines.clear();
        }
        lines.insert(0, head);
        lines
    }

    fn head(self, mark: &str, call: &pb::ToolCall, tail: &str) -> Vec<String> {
        let name = safe(&call.tool_name);
        if self.verbose {
            let mut lines = vec![format!("{mark} {name}{tail}")];
            let arguments = pretty(&call.input_json);
            lines.extend(arguments.iter().map(|line| format!("    {line}")));
            return lines;
        }
        let used = name.chars().count() + tail.chars().count() + 3;
        let arguments = folded(&call.input_json, self.width.saturating_sub(used));
        vec![format!("{mark} {name} {arguments}").trim_end().to_owned() + tail]
    }

    fn result(self, ended: &Ended<'_>) -> Vec<String> {
        let text = ended.result.map(text_of).unwrap_or_default();
        let mut said = text.lines().filter(|line| !line.trim().is_empty());
        if self.verbose {
            return said.map(|line| format!("  {}", safe(line))).collect();
        }
        let Some(first) = said.next() else {
            return Vec::new();
        };
        let room = self.width.saturating_sub(4);
        let mut line = text::clipped(&safe(first.trim()), room);
        if said.next().is_some() && !line.ends_with('…') {
            line.push_str(" …");
        }
        vec![format!("  {line}")]
    }
}

impl Calls {
    /// Calls on a terminal, where those that run are drawn by [`unfinished`](Self::unfinished).
    pub(crate) fn drawn(output: &Output) -> Self {
        Self::new(Form::Drawn, Look::new(output))
    }

    /// Calls where lines come one after another.
    pub(crate) fn plain(output: &Output) -> Self {
        Self::new(Form::Plain, Look::new(output))
    }

    fn new(form: Form, look: Look) -> Self {
        Self {
            form,
            look,
            open: Vec::new(),
        }
    }

    /// Takes an event in; gives the lines that are final with it.
    pub(crate) fn follow(&mut self, event: &Event) -> Vec<String> {
        if let Payload::ToolCall(call) = &event.payload {
            return self.begin(call);
        }
        if let Some(update) = event.tool_call_update() {
            return self.update(update);
        }
        if let Some(asked) = event.approval_request() {
            let mut lines = Vec::new();
            if let Some(call) = &asked.tool_call {
                lines = self.begin(call);
                if let Some(open) = self.open(&call.tool_call_id) {
                    open.approval_id.clone_from(&asked.approval_id);
                    "waits for consent".clone_into(&mut open.progress);
                }
            }
            return lines;
        }
        if let Payload::ApprovalResolved(resolved) = &event.payload {
            let mut open = self.open.iter_mut();
            if let Some(open) = open.find(|open| open.approval_id == resolved.approval_id) {
                open.expired = resolved.expired;
                open.progress.clear();
                open.since = Instant::now();
            }
            return Vec::new();
        }
        if let Payload::ToolCallsCancelled(cancelled) = &event.payload {
            let ids = cancelled.tool_call_ids.iter();
            let ended = ids.flat_map(|id| self.end(id, &Ended::of("✗", "stopped")));
            return ended.collect();
        }
        match event.turn_ended() {
            Some(result) => self.turn_ended(result),
            None => Vec::new(),
        }
    }

    /// Takes in what this command, or the user's script, answered.
    pub(crate) fn answered(&mut self, result: &pb::ToolResult, took: Duration) -> Vec<String> {
        self.end(&result.tool_call_id, &Ended::answered(result, took))
    }

    /// The calls that run, each in a line; `mark` turns before them.
    pub(crate) fn unfinished(&self, mark: &str) -> Vec<String> {
        let lines = self.open.iter().filter(|_| self.form == Form::Drawn);
        let line = |open: &Open| {
            let mut tail = String::new();
            let seconds = open.since.elapsed().as_secs();
            if seconds > 0 {
                tail = format!(" · {seconds} s");
            }
            if !open.progress.is_empty() {
                let progress = text::clipped(&open.progress, self.look.width / 2);
                tail = format!("{tail} · {progress}");
            }
            let look = Look {
                verbose: false,
                ..self.look
            };
            look.head(mark, &open.call, &tail).concat()
        };
        lines.map(|open| dim(&line(open))).collect()
    }

    fn begin(&mut self, call: &pb::ToolCall) -> Vec<String> {
        if self.open(&call.tool_call_id).is_some() {
            return Vec::new();
        }
        let ends_here = match call.executor() {
            pb::ToolExecutor::Server | pb::ToolExecutor::Client => true,
            // How it ends is told by no event.
            pb::ToolExecutor::Provider | pb::ToolExecutor::Unspecified => false,
        };
        if ends_here {
            self.open.push(Open {
                call: call.clone(),
                since: Instant::now(),
                progress: String::new(),
                approval_id: String::new(),
                expired: false,
            });
        }
        if ends_here && self.form == Form::Drawn {
            return Vec::new();
        }
        self.painted(self.look.begun(call))
    }

    fn update(&mut self, update: &pb::ToolCallUpdate) -> Vec<String> {
        use pb::ToolCallStatus as Status;

        let status = update.status();
        let (mark, note) = match status {
            Status::Unspecified | Status::Waiting | Status::Running => {
                return self.progress(update);
            }
            Status::Succeeded => ("✓", ""),
            Status::Failed => ("✗", "failed"),
            Status::Rejected => {
                let open = self.open(&update.tool_call_id);
                if open.is_some_and(|open| open.expired) {
                    ("✗", "not run: nobody consented in time")
                } else {
                    ("✗", "not run: consent was refused")
                }
            }
            Status::Cancelled => ("✗", "stopped"),
            Status::Unknown => ("?", "was started, and whether it took effect is not known"),
        };
        if self.open(&update.tool_call_id).is_none() {
            // A reader that came later did not hear of its beginning.
            self.open.push(Open {
                call: pb::ToolCall {
                    tool_call_id: update.tool_call_id.clone(),
                    tool_name: update.tool_name.clone(),
                    ..Default::default()
                },
                since: Instant::now(),
                progress: String::new(),
                approval_id: String::new(),
                expired: false,
            });
        }
        let duration = update.duration.and_then(|time| time.try_into().ok());
        // The refusal that the model reads is what the user said.
        let result = update.result.as_ref();
        let ended = Ended {
            mark,
            note,
            took: duration,
            result: result.filter(|_| status != Status::Rejected),
        };
        self.end(&update.tool_call_id, &ended)
    }

    fn progress(&mut self, update: &pb::ToolCallUpdate) -> Vec<String> {
        let form = self.form;
        let look = self.look;
        let Some(open) = self.open(&update.tool_call_id) else {
            return Vec::new();
        };
        let progress = safe(update.progress.trim());
        if progress.is_empty() || progress == open.progress {
            return Vec::new();
        }
        open.progress = progress;
        if form == Form::Drawn {
            return Vec::new();
        }
        let name = safe(&open.call.tool_name);
        let room = look.width.saturating_sub(name.chars().count() + 4);
        let progress = text::clipped(&open.progress, room);
        vec![format!("{MARK} {name}: {progress}")]
    }

    fn turn_ended(&mut self, result: &pb::TurnResult) -> Vec<String> {
        let open = std::mem::take(&mut self.open);
        let (form, look) = (self.form, self.look);
        let lines = open.iter().flat_map(|open| {
            if result.status() == pb::TurnStatus::Paused {
                // It goes on with the next call, which tells of it.
                let is_new = form == Form::Drawn;
                return if is_new {
                    look.begun(&open.call)
                } else {
                    Vec::new()
                };
            }
            look.head("✗", &open.call, " · the turn ended before it")
        });
        let lines = lines.collect();
        self.painted(lines)
    }

    fn end(&mut self, tool_call_id: &str, ended: &Ended<'_>) -> Vec<String> {
        let mut open = self.open.iter();
        let at = open.position(|open| open.call.tool_call_id == tool_call_id);
        let Some(open) = at.map(|at| self.open.remove(at)) else {
            return Vec::new();
        };
        let lines = match self.form {
            Form::Drawn => {
                let mut lines = self.look.head(ended.mark, &open.call, &ended.tail());
                lines.extend(self.look.result(ended));
                lines
            }
            Form::Plain => self.look.plain_end(&open.call.tool_name, ended),
        };
        if ended.mark == "✓" || self.form == Form::Plain {
            return self.painted(lines);
        }
        lines.iter().map(|line| red(line)).collect()
    }

    fn painted(&self, lines: Vec<String>) -> Vec<String> {
        match self.form {
            Form::Drawn => lines.iter().map(|line| dim(line)).collect(),
            Form::Plain => lines,
        }
    }

    fn open(&mut self, tool_call_id: &str) -> Option<&mut Open> {
        let mut open = self.open.iter_mut();
        open.find(|open| open.call.tool_call_id == tool_call_id)
    }
}

impl<'a> Ended<'a> {
    fn of(mark: &'static str, note: &'static str) -> Self {
        Self {
            mark,
            note,
            took: None,
            result: None,
        }
    }

    fn answered(result: &'a pb::ToolResult, took: Duration) -> Self {
        let (mark, note) = if result.is_error {
            ("✗", "failed")
        } else {
            ("✓", "")
        };
        Self {
            mark,
            note,
            took: Some(took),
            result: Some(result),
        }
    }

    fn tail(&self) -> String {
        let took = self.took.map(|took| {
            let seconds = took.as_secs_f64();
            format!(" · {seconds:.1} s")
        });
        let note = Some(self.note).filter(|note| !note.is_empty());
        let note = note.map(|note| format!(" · {note}"));
        [note, took].into_iter().flatten().collect()
    }
}

/// What a result says, its files left out.
fn text_of(result: &pb::ToolResult) -> String {
    use pb::tool_result_block::Block;

    let mut text = result.text.clone();
    for block in result.content.iter().filter_map(|part| part.block.as_ref()) {
        let said = match block {
            Block::Text(text) | Block::Json(text) => text.as_str(),
            Block::Image(_) => "[an image]",
            Block::Document(_) => "[a document]",
            Block::Video(_) => "[a video]",
            Block::SearchResult(found) => &found.title,
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(said);
    }
    text
}

#[cfg(test)]
mod tests;
