//! The question whether a call may run, and what the answers to it mean.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use taiwa_client::{Decision, pb};

use crate::calls::{pretty, safe};

const CHOICES: &str =
    "[y] yes  [n] no  [a] always in this session  [d] never in this session  [e] edit";

/// One question, asked line by line until it is decided.
#[derive(Debug)]
pub(crate) struct Dialog {
    request: pb::ApprovalRequest,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Choosing,
    Commenting,
    Editing,
}

/// What an answer leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// The next line answers what [`Dialog::prompt`] asks.
    Ask,
    /// The next line is the arguments; it begins as this text.
    Edit(String),
    /// The answer was none: this says why.
    Again(String),
    /// The decision, and the words for what was decided.
    Decided(Decision, String),
}

impl Dialog {
    pub(crate) fn new(request: pb::ApprovalRequest) -> Self {
        Self {
            request,
            stage: Stage::Choosing,
        }
    }

    pub(crate) fn approval_id(&self) -> &str {
        &self.request.approval_id
    }

    /// When the request counts as refused.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        let time = self.request.expire_time?;
        SystemTime::try_from(time).ok()
    }

    /// What is asked: the tool, its whole arguments, and why.
    pub(crate) fn question(&self) -> Vec<String> {
        let mut lines = vec![format!("? may {} be called, with", self.name())];
        let arguments = pretty(self.input());
        lines.extend(arguments.iter().map(|line| format!("    {line}")));
        if !self.request.reason.is_empty() {
            lines.push(format!("  {}", safe(&self.request.reason)));
        }
        lines
    }

    /// What the next line answers.
    pub(crate) fn prompt(&self, now: SystemTime) -> String {
        match self.stage {
            Stage::Choosing => {
                let left = self.expires().map(|at| at.duration_since(now));
                let left = left.map(|left| {
                    let left = Duration::from_secs(left.unwrap_or_default().as_secs());
                    format!("  ({} left)", humantime::format_duration(left))
                });
                format!("{CHOICES}{}", left.unwrap_or_default())
            }
            Stage::Commenting => "why not? (for the model to read; may be empty)".to_owned(),
            Stage::Editing => "the arguments to call it with, as JSON".to_owned(),
        }
    }

    /// Takes an answer in.
    pub(crate) fn answer(&mut self, line: &str) -> Step {
        let line = line.trim();
        let name = self.name();
        match self.stage {
            Stage::Choosing => match line.to_lowercase().as_str() {
                "y" | "yes" => Step::Decided(
                    Decision::approve(&self.request),
                    format!("{name} may be called"),
                ),
                "a" | "always" => Step::Decided(
                    Decision::approve(&self.request).remember(),
                    format!("{name} may be called, from here on without asking"),
                ),
                "d" | "never" => Step::Decided(
                    Decision::refuse(&self.request).remember(),
                    format!("{name} is not called, from here on without asking"),
                ),
                "n" | "no" => {
                    self.stage = Stage::Commenting;
                    Step::Ask
                }
                "e" | "edit" => {
                    self.stage = Stage::Editing;
                    Step::Edit(pretty(self.input()).join("\n"))
                }
                _ => Step::Again("y, n, a, d or e".to_owned()),
            },
            Stage::Commenting => {
                let mut decision = Decision::refuse(&self.request);
                if !line.is_empty() {
                    decision = decision.comment(line);
                }
                Step::Decided(decision, format!("{name} is not called"))
            }
            Stage::Editing => self.edited(line),
        }
    }

    /// Goes back to the choices.
    pub(crate) fn back(&mut self) {
        self.stage = Stage::Choosing;
    }

    fn edited(&mut self, line: &str) -> Step {
        self.stage = Stage::Choosing;
        match serde_json::from_str(line) {
            Ok(input @ Value::Object(_)) => Step::Decided(
                Decision::edit(&self.request, &input),
                format!("{} may be called, with other arguments", self.name()),
            ),
            Ok(_) => Step::Again("the arguments must be a JSON object".to_owned()),
            Err(_) if line.is_empty() => Step::Again("nothing was changed".to_owned()),
            Err(error) => Step::Again(format!("that is not JSON: {error}")),
        }
    }

    fn name(&self) -> String {
        let call = self.request.tool_call.as_ref();
        safe(call.map_or("a tool", |call| &call.tool_name))
    }

    fn input(&self) -> &str {
        let call = self.request.tool_call.as_ref();
        call.map_or("{}", |call| &call.input_json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_question_shows_all_that_is_consented_to() {
        let asked = request();
        let dialog = Dialog::new(asked.clone());

        let question = [
            "? may pay be called, with",
            "    {",
            "      \"sum\": 9,",
            "      \"to\": \"\\u{202e}ada\"",
            "    }",
            "  it moves money",
        ];
        assert_eq!(dialog.question(), question);
        let now = dialog.expires().unwrap() - Duration::from_millis(90_500);
        assert_eq!(dialog.prompt(now), format!("{CHOICES}  (1m 30s left)"));
        let late = dialog.expires().unwrap() + Duration::from_secs(1);
        assert_eq!(dialog.prompt(late), format!("{CHOICES}  (0s left)"));
    }

    #[test]
    fn a_word_decides_at_once() {
        let asked = request();
        for (line, decision, words) in [
            (" Y ", Decision::approve(&asked), "pay may be called"),
            (
                "always",
                Decision::approve(&asked).remember(),
                "pay may be called, from here on without asking",
            ),
            (
                "d",
                Decision::refuse(&asked).remember(),
                "pay is not called, from here on without asking",
            ),
        ] {
            let step = Dialog::new(asked.clone()).answer(line);
            assert_eq!(step, Step::Decided(decision, words.to_owned()));
        }
    }

    #[test]
    fn what_is_no_answer_decides_nothing() {
        let mut dialog = Dialog::new(request());
        for line in ["", "yep", "that is funny"] {
            let again = Step::Again("y, n, a, d or e".to_owned());
            assert_eq!(dialog.answer(line), again, "{line}");
        }
    }

    #[test]
    fn a_refusal_may_say_why() {
        let asked = request();
        for (line, decision) in [
            ("", Decision::refuse(&asked)),
            ("too much", Decision::refuse(&asked).comment("too much")),
        ] {
            let mut dialog = Dialog::new(asked.clone());
            assert_eq!(dialog.answer("n"), Step::Ask);
            assert!(dialog.prompt(SystemTime::now()).starts_with("why not?"));
            let words = "pay is not called".to_owned();
            assert_eq!(dialog.answer(line), Step::Decided(decision, words));
        }
    }

    #[test]
    fn edited_arguments_must_be_an_object() {
        let asked = request();
        let mut dialog = Dialog::new(asked.clone());
        for (line, said) in [
            ("", "nothing was changed"),
            ("[1]", "the arguments must be a JSON object"),
            ("{", "that is not JSON: "),
        ] {
            assert!(matches!(dialog.answer("e"), Step::Edit(_)));
            let step = dialog.answer(line);
            assert!(
                matches!(&step, Step::Again(why) if why.starts_with(said)),
                "{step:?}"
            );
        }
        dialog.answer("e");
        dialog.back();
        assert!(
            matches!(dialog.answer("x"), Step::Again(_)),
            "at the choices again"
        );
        dialog.answer("e");
        let words = "pay may be called, with other arguments".to_owned();
        let decision = Decision::edit(&asked, &json!({"sum": 1}));
        assert_eq!(
            dialog.answer("{\"sum\":\n1}"),
            Step::Decided(decision, words)
        );
    }

    fn request() -> pb::ApprovalRequest {
        pb::ApprovalRequest {
            approval_id: "a1".to_owned(),
            tool_call: Some(pb::ToolCall {
                tool_name: "pay".to_owned(),
                input_json: "{\"sum\":9,\"to\":\"\u{202e}ada\"}".to_owned(),
                ..Default::default()
            }),
            reason: "it moves money".to_owned(),
            expire_time: Some(prost_types::Timestamp {
                seconds: 1_800_000_000,
                nanos: 0,
            }),
            digest: b"digest".as_slice().into(),
        }
    }
}
