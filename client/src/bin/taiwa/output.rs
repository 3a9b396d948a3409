//! Where words go: the answer to standard output, all else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use taiwa_client::pb;

use crate::{
    args::{Color, Display},
    failure::Failure,
    render::{Renderer, dim, red},
};

/// Lines longer than this are hard to read.
const WIDEST: usize = 100;

/// How this run speaks, settled once from flags and terminals.
#[derive(Debug)]
pub(crate) struct Output {
    /// Protobuf's JSON instead of words.
    pub(crate) json: bool,
    /// The answer is rendered, not passed on as it is.
    pub(crate) rendered: bool,
    /// Colours and other looks are wanted on standard output.
    pub(crate) painted: bool,
    /// Standard output is a terminal, on which lines can be drawn again.
    pub(crate) terminal: bool,
    /// The model's reasoning is shown.
    pub(crate) reasoning: bool,
    /// Tool calls are shown whole.
    pub(crate) verbose: bool,
    usage: bool,
    colored_errors: bool,
}

impl Output {
    pub(crate) fn new(display: &Display) -> Self {
        let no_color = display
            .no_color
            .as_deref()
            .is_some_and(|value| !value.is_empty());
        let colored = |terminal: bool| match display.color {
            Color::Auto => terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        let terminal = io::stdout().is_terminal();
        let painted = colored(terminal);
        Self {
            json: display.json,
            rendered: painted && !display.json,
            painted,
            terminal,
            reasoning: display.show_reasoning,
            verbose: display.verbose,
            usage: display.usage,
            colored_errors: colored(io::stderr().is_terminal()),
        }
    }

    /// Columns to render for.
    pub(crate) fn width(&self) -> usize {
        let (columns, _) = crossterm::terminal::size().unwrap_or((80, 24));
        usize::from(columns).clamp(20, WIDEST)
    }

    /// Prints a piece of the answer as it is, at once.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Prints a whole answer, or any text in Markdown.
    pub(crate) fn answer(&self, text: &str) -> Result<(), Failure> {
        if !self.rendered {
            let end = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            return self.write(&format!("{text}{end}"));
        }
        let mut renderer = Renderer::new(self.width());
        renderer.push(text);
        renderer.end();
        let lines = renderer.take_finished();
        self.write(
            &lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        )
    }

    /// Says something beside the answer.
    pub(crate) fn remark(&self, text: &str) {
        let text = if self.colored_errors {
            dim(text)
        } else {
            text.to_owned()
        };
        self.tell(&text);
    }

    /// Says what the turn used and how it stopped, where that is of interest.
    pub(crate) fn remark_on(&self, result: &pb::TurnResult) {
        for remark in self.remarks(result) {
            self.remark(&remark);
        }
    }

    /// The remarks after a turn.
    pub(crate) fn remarks(&self, result: &pb::TurnResult) -> Vec<String> {
        let stop = match result.stop_reason() {
            pb::StopReason::MaxTokens => Some("the answer reached its token limit"),
            pb::StopReason::ContextWindowExceeded => Some("the model's context window is full"),
            pb::StopReason::GuardrailIntervened => Some("a guardrail intervened"),
            pb::StopReason::ContentFiltered => Some("the provider filtered the answer"),
            // What is left is no matter of interest, or a failure, which says so itself.
            pb::StopReason::Unspecified
            | pb::StopReason::EndTurn
            | pb::StopReason::ToolUse
            | pb::StopReason::ApprovalRequired
            | pb::StopReason::StopSequence
            | pb::StopReason::MaxSteps
            | pb::StopReason::BudgetExceeded
            | pb::StopReason::MalformedModelOutput
            | pb::StopReason::MalformedToolUse
            | pb::StopReason::Interrupted
            | pb::StopReason::Cancelled
            | pb::StopReason::Error
            | pb::StopReason::Incomplete => None,
        };
        let usage = self.usage.then(|| usage_line(result));
        stop.map(str::to_owned).into_iter().chain(usage).collect()
    }

    /// Says what failed, and below it what to do.
    pub(crate) fn complain(&self, what: &str, notes: &[String]) {
        let what: String = what.chars().filter(|c| !c.is_control()).collect();
        let name = if self.colored_errors {
            red("taiwa:")
        } else {
            "taiwa:".to_owned()
        };
        self.tell(&format!("{name} {what}"));
        for note in notes {
            self.remark(&format!("  {note}"));
        }
    }

    fn tell(&self, line: &str) {
        // A standard error that is closed leaves nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

fn usage_line(result: &pb::TurnResult) -> String {
    let usage = result.usage.clone().unwrap_or_default();
    let mut parts = vec![format!(
        "{} in, {} out{}",
        usage.input_tokens,
        usage.output_tokens,
        if usage.estimated { " (estimated)" } else { "" }
    )];
    if usage.cache_read_tokens > 0 {
        parts.push(format!("{} from the cache", usage.cache_read_tokens));
    }
    if usage.model_calls > 1 {
        parts.push(format!("{} model calls", usage.model_calls));
    }
    if let Some(cost) = usage.cost_usd {
        parts.push(dollars(cost));
    }
    let metrics = result.metrics.unwrap_or_default();
    for (time, what) in [
        (metrics.time_to_first_output, "to first output"),
        (metrics.total, "in all"),
    ] {
        if let Some(time) = time.and_then(|time| std::time::Duration::try_from(time).ok()) {
            parts.push(format!("{:.2} s {what}", time.as_secs_f64()));
        }
    }
    if !result.model_id.is_empty() {
        parts.push(result.model_id.clone());
    }
    format!(
        "tokens: {} · session {}",
        parts.join(" · "),
        result.session_id
    )
}

/// An amount to the hundredth of a cent, or finer where that would be nothing.
fn dollars(amount: f64) -> String {
    if amount > 0.0 && amount < 0.0001 {
        return format!("${amount:.8}").trim_end_matches('0').to_owned();
    }
    format!("${amount:.4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_costs_are_not_nothing() {
        for (amount, shown) in [
            (0.0, "$0.0000"),
            (0.01234, "$0.0123"),
            (0.0000123, "$0.0000123"),
            (12.5, "$12.5000"),
        ] {
            assert_eq!(dollars(amount), shown);
        }
    }
}
