//! What the simulator answers, by the first word of the prompt.

use std::fmt;

use crate::args::Plan;

/// The model that every call asks for.
pub(crate) const MODEL: &str = "simulator.persona-v1:0";

/// The tool that the model calls.
pub(crate) const TOOL: &str = "noop";

/// Pieces of a short answer, which costs as much to open as to stream.
pub(crate) const SHORT_PIECES: u32 = 50;

/// Pieces of an answer at a real cadence.
pub(crate) const PACED_PIECES: u32 = 40;

/// A way in which the simulator answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Many pieces at full speed.
    Long,
    /// [`SHORT_PIECES`] at full speed.
    Short,
    /// One piece.
    One,
    /// A call of [`TOOL`], and one piece when its result is there.
    Tool,
    /// [`PACED_PIECES`], stamped, at the cadence of the plan.
    Paced,
    /// No response headers, for longer than anybody waits.
    Opening,
    /// One piece, then nothing more.
    Silent,
    /// A piece every 20 ms, without end.
    Speaking,
    /// 20 KB every 2 ms, without end.
    ///
    /// At full speed the simulator fills the system's buffers in one go, 10 MB at a time, and sees
    /// closed connections only after it: its lateness would be measured.
    Flood,
}

impl Answer {
    fn word(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
            Self::One => "one",
            Self::Tool => "tool",
            Self::Paced => "paced",
            Self::Opening => "opening",
            Self::Silent => "silent",
            Self::Speaking => "speaking",
            Self::Flood => "flood",
        }
    }

    /// The prompt of a call, told apart from others by a number.
    pub(crate) fn prompt(self, number: usize) -> String {
        format!("{} {number}", self.word())
    }

    /// The number of a prompt.
    pub(crate) fn number(self, prompt: &str) -> Option<usize> {
        prompt.strip_prefix(self.word())?.trim().parse().ok()
    }
}

/// The scenario file of a plan.
pub(crate) fn scenario(plan: &Plan) -> String {
    let mut file = Scenario("otherwise = \"fail\"\n".to_owned());
    // As long as a model's pieces are: two or three tokens.
    let piece = "text = [\" some tokens\"]";
    file.reply(
        Answer::Long,
        format_args!("{piece}\nrepeat = {}", plan.pieces),
    );
    file.reply(
        Answer::Short,
        format_args!("{piece}\nrepeat = {SHORT_PIECES}"),
    );
    file.reply(Answer::One, format_args!("{piece}"));
    file.reply(
        Answer::Tool,
        format_args!("content = [{{ tool_use = {{ name = \"{TOOL}\", input = '{{}}' }} }}]"),
    );
    file.0 += &format!("\n[[reply]]\nwhen = {{ has_tool_result = true }}\n{piece}\n");
    file.reply(
        Answer::Paced,
        format_args!(
            "{piece}\nrepeat = {PACED_PIECES}\nstamped = true\n\
             pace = {{ first_token_delay = \"{}\", chunk_delay = \"{}\" }}",
            humantime::format_duration(plan.first_delay),
            humantime::format_duration(plan.piece_delay),
        ),
    );
    file.reply(
        Answer::Opening,
        format_args!("{piece}\npace = {{ headers_delay = \"1h\" }}"),
    );
    file.reply(
        Answer::Silent,
        format_args!("{piece}\nrepeat = 2\nfault = {{ silence = {{ after_chunk = 1 }} }}"),
    );
    file.reply(
        Answer::Speaking,
        format_args!("{piece}\nrepeat = 1000000\npace = {{ chunk_delay = \"20ms\" }}"),
    );
    let large = "x".repeat(20_000);
    file.reply(
        Answer::Flood,
        format_args!("text = [\"{large}\"]\nrepeat = 1000000\npace = {{ chunk_delay = \"2ms\" }}"),
    );
    file.0
}

struct Scenario(String);

impl Scenario {
    fn reply(&mut self, answer: Answer, says: fmt::Arguments<'_>) {
        let word = answer.word();
        self.0 += &format!(
            "\n[[reply]]\nname = \"{word}\"\nwhen = {{ prompt_contains = \"{word} \" }}\n{says}\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_tells_its_number() {
        assert_eq!(Answer::Paced.number(&Answer::Paced.prompt(17)), Some(17));
        assert_eq!(Answer::Long.number(&Answer::Short.prompt(17)), None);
    }
}
