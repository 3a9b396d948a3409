//! Which of the declared tools are called next, and with which input.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    fitting,
    habit::{self, Habit, NO_SUCH_TOOL},
    mention::{self, Mentions, same},
    prompt::Reading,
    report,
    round::{Called, Round},
};
use crate::{
    reply::{Block, Chunks},
    wire::{Request, array},
};

/// How often a tool is called again after errors that blame the input.
const MAX_TRIES: usize = 3;

/// The most tools that are called where nothing says which.
const MAX_UNASKED: usize = 8;

/// Words that many tools have in their names, and that choose none.
const GENERIC: &str = " add call create current data do fetch find get list look lookup name new \
    number query read run search send set system tool update use value write ";

/// Calls, and the words before them.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) lead: &'static str,
    pub(super) calls: Vec<Block>,
}

/// The calls that come next, if any do.
pub(super) fn next(request: &Request, round: &Round<'_>, habit: Habit) -> Option<Step> {
    let config = &request.conversation()["toolConfig"];
    let specs: Vec<&Value> = array(&config["tools"])
        .iter()
        .filter_map(|tool| tool.get("toolSpec"))
        .collect();
    if specs.is_empty() {
        return None;
    }
    let planner = Planner {
        round,
        habit,
        number: request.messages().len(),
    };
    let again = planner.corrected(request, &specs);
    if !again.is_empty() {
        let lead = "That did not fit. I try again.";
        return Some(Step { lead, calls: again });
    }
    let chosen = planner.choose(&specs, &config["toolChoice"]);
    let lead = match (chosen.len(), round.calls.is_empty()) {
        (0, _) => return None,
        (_, false) => "With that I look further.",
        (1, true) => "Let me look that up.",
        (_, true) => "Let me look these up.",
    };
    let calls = chosen.into_iter().enumerate();
    let calls = calls.map(|(at, spec)| planner.call(at, spec, ""));
    Some(Step {
        lead,
        calls: calls.collect(),
    })
}

struct Planner<'a> {
    round: &'a Round<'a>,
    habit: Habit,
    /// Of messages so far, which makes ids unique.
    number: usize,
}

impl Planner<'_> {
    /// Calls whose input was refused in the last step, with input that fits.
    fn corrected(&self, request: &Request, specs: &[&Value]) -> Vec<Block> {
        let latest = request.tool_results();
        let is_latest = |call: &&Called<'_>| {
            call.result
                .is_some_and(|result| latest.iter().any(|it| std::ptr::eq(*it, result)))
        };
        let refused = self.round.calls.iter().filter(is_latest);
        let refused = refused.filter(|call| call.has_failed());
        let mut again = Vec::new();
        for call in refused {
            let error = call.result.map(report::content).unwrap_or_default();
            let erred_on_purpose = match self.habit {
                Habit::Malformed | Habit::UnknownTool | Habit::Misfit => true,
                Habit::Plain
                | Habit::Parallel
                | Habit::Stepwise
                | Habit::Endless
                | Habit::Bytewise => false,
            };
            let spec = if call.name == NO_SUCH_TOOL {
                self.best(specs)
            } else {
                specs.iter().find(|spec| spec["name"] == call.name).copied()
            };
            let Some(spec) = spec.filter(|_| erred_on_purpose || blames_input(&error)) else {
                continue;
            };
            let is_new = self.input(spec, &error) != *call.input || call.name == NO_SUCH_TOOL;
            if is_new && self.round.failures(call.name) < MAX_TRIES {
                again.push(self.call(again.len(), spec, &error));
            }
        }
        again
    }

    fn choose<'s>(&self, specs: &[&'s Value], choice: &Value) -> Vec<&'s Value> {
        let begins = self.round.calls.is_empty();
        let mut wanted = self.wanted(specs);
        if let Some(name) = choice["tool"]["name"].as_str() {
            let endless = self.habit == Habit::Endless;
            let named = specs.iter().filter(|spec| spec["name"] == name).copied();
            return named
                .filter(|_| endless || !self.round.has_called(name))
                .collect();
        }
        match self.habit {
            Habit::Endless => self.best(specs).into_iter().collect(),
            Habit::Parallel if begins => specs.iter().copied().take(MAX_UNASKED).collect(),
            Habit::Stepwise => {
                if wanted.len() < 2 {
                    wanted = specs.iter().copied().take(MAX_UNASKED).collect();
                }
                self.first_uncalled(&wanted)
            }
            Habit::Plain if self.is_sequence() && wanted.len() > 1 => self.first_uncalled(&wanted),
            Habit::Plain if begins => {
                if wanted.is_empty() && !choice["any"].is_null() {
                    wanted.extend(self.best(specs));
                }
                wanted
            }
            Habit::Malformed | Habit::UnknownTool | Habit::Misfit | Habit::Bytewise if begins => {
                if wanted.is_empty() {
                    wanted.extend(self.best(specs));
                }
                wanted
            }
            Habit::Plain
            | Habit::Parallel
            | Habit::Malformed
            | Habit::UnknownTool
            | Habit::Misfit
            | Habit::Bytewise => Vec::new(),
        }
    }

    fn first_uncalled<'s>(&self, wanted: &[&'s Value]) -> Vec<&'s Value> {
        let uncalled = wanted.iter().filter(|spec| {
            !self
                .round
                .has_called(spec["name"].as_str().unwrap_or_default())
        });
        uncalled.copied().take(1).collect()
    }

    /// Whether the prompt wants one thing after the other.
    fn is_sequence(&self) -> bool {
        let lower = self.round.prompt.to_lowercase();
        [" then ", " after that", " afterwards", " with the result"]
            .iter()
            .any(|it| lower.contains(it))
    }

    /// The tools that the prompt asks for, in its order.
    fn wanted<'s>(&self, specs: &[&'s Value]) -> Vec<&'s Value> {
        let reading = Reading::of(&self.round.prompt);
        let mut fits: Vec<Fit<'s>> = specs.iter().map(|spec| Fit::of(spec, &reading)).collect();
        fits.sort_by_key(|fit| std::cmp::Reverse(fit.score()));
        let mut covered = BTreeSet::new();
        let mut wanted: Vec<Fit<'s>> = Vec::new();
        for fit in fits {
            let is_asked = fit.score() >= ASKED;
            if is_asked && (wanted.is_empty() || fit.adds(&covered, &reading)) {
                covered.extend(fit.in_name.iter().chain(&fit.described).copied());
                wanted.push(fit);
            }
        }
        wanted.sort_by_key(|fit| fit.in_name.first().or(fit.described.first()).copied());
        wanted.into_iter().map(|fit| fit.spec).collect()
    }

    /// The tool that the prompt comes nearest to.
    fn best<'s>(&self, specs: &[&'s Value]) -> Option<&'s Value> {
        let reading = Reading::of(&self.round.prompt);
        let fits = specs.iter().rev().map(|spec| Fit::of(spec, &reading));
        fits.max_by_key(Fit::score).map(|fit| fit.spec)
    }

    fn input(&self, spec: &Value, error: &str) -> Value {
        let found: Vec<Value> = self.round.results().flat_map(found_in).collect();
        let found: Vec<&Value> = found.iter().collect();
        let mentions = Mentions::of(&self.round.prompt, &found).hinted(error);
        fitting::value(&spec["inputSchema"]["json"], mentions)
    }

    fn call(&self, at: usize, spec: &Value, error: &str) -> Block {
        let mut name = spec["name"].as_str().unwrap_or("");
        let mut input = self.input(spec, error);
        let mut habit = self.habit;
        if self.round.calls.is_empty() {
            match habit {
                Habit::UnknownTool => name = NO_SUCH_TOOL,
                Habit::Misfit => input = habit::misfit(input),
                Habit::Plain
                | Habit::Parallel
                | Habit::Stepwise
                | Habit::Endless
                | Habit::Malformed
                | Habit::Bytewise => {}
            }
        } else if habit == Habit::Malformed {
            habit = Habit::Plain;
        }
        let seed = crc32fast::hash(self.round.prompt.as_bytes());
        Block::ToolUse {
            id: format!("tooluse_{seed:08x}{:03}{at}", self.number),
            name: name.to_owned(),
            input: Chunks {
                pieces: habit.pieces(&input),
                repeat: 1,
            },
            run_by_provider: false,
        }
    }
}

/// A tool is asked for from this score on: a word of its name, or two of its description.
const ASKED: usize = 2;

/// How plainly a prompt asks for a tool: by the places of its words in the prompt.
#[derive(Debug)]
struct Fit<'a> {
    spec: &'a Value,
    is_named: bool,
    in_name: BTreeSet<usize>,
    described: BTreeSet<usize>,
    /// Words that name fields of its input.
    fields: BTreeSet<usize>,
}

impl<'a> Fit<'a> {
    fn of(spec: &'a Value, reading: &Reading) -> Self {
        let name = spec["name"].as_str().unwrap_or("");
        let plain = Reading::of(&mention::parts(name).join(" "));
        let description = Reading::of(spec["description"].as_str().unwrap_or(""));
        let said = || reading.words.iter().enumerate();
        let whole = said().find(|(_, word)| word.eq_ignore_ascii_case(name));
        let is_named = whole.is_some()
            || plain.words.len() > 1 && reading.lower.contains(&plain.words.join(" "));
        let places = |words: Vec<&str>| -> BTreeSet<usize> {
            said()
                .filter(|(_, word)| words.iter().any(|it| same(word, it)))
                .map(|(at, _)| at)
                .collect()
        };
        let mut in_name = places(plain.topic_words());
        in_name.extend(whole.map(|(at, _)| at));
        let fields = spec["inputSchema"]["json"]["properties"].as_object();
        let fields: Vec<String> = fields
            .into_iter()
            .flat_map(|fields| fields.keys())
            .flat_map(|name| mention::parts(name))
            .filter(|part| !is_generic(part))
            .collect();
        Self {
            spec,
            is_named,
            in_name,
            described: places(description.topic_words()),
            fields: places(fields.iter().map(String::as_str).collect()),
        }
    }

    fn score(&self) -> usize {
        let words = self.in_name.len() * ASKED + self.described.len() + self.fields.len();
        words + if self.is_named { 100 } else { 0 }
    }

    /// Whether the prompt has words for this tool that no other one accounts for.
    fn adds(&self, covered: &BTreeSet<usize>, reading: &Reading) -> bool {
        let telling = |at: &&usize| {
            let word = reading.words.get(**at).map_or("", String::as_str);
            !covered.contains(*at) && (!is_generic(word) || self.is_named)
        };
        self.in_name.iter().filter(telling).count() * ASKED
            + self
                .described
                .difference(&self.in_name)
                .filter(telling)
                .count()
            >= ASKED
    }
}

fn is_generic(word: &str) -> bool {
    GENERIC.split_whitespace().any(|it| it == word)
}

/// Whether an error is about the input, so that other input may do.
fn blames_input(error: &str) -> bool {
    let lower = error.to_lowercase();
    [
        "schema",
        "invalid",
        "not valid",
        "required",
        "missing",
        "expected",
        "must be",
        "must have",
        "does not fit",
        "not json",
        "argument",
        "unknown field",
        "parse",
    ]
    .iter()
    .any(|it| lower.contains(it))
}

/// The JSON values of a result, text that is JSON among them.
fn found_in(result: &Value) -> Vec<Value> {
    if result["status"] == "error" {
        return Vec::new();
    }
    let parts = array(&result["content"]).iter();
    let found = parts.filter_map(|part| match part.get("json") {
        Some(json) => Some(json.clone()),
        None => serde_json::from_str(part["text"].as_str()?).ok(),
    });
    found.collect()
}

/// The JSON that the request wants instead of words, made from what was said and found.
pub(super) fn structured(request: &Request, round: &Round<'_>) -> Option<Value> {
    let format = &request.conversation()["outputConfig"]["textFormat"];
    let schema = format["structure"]["jsonSchema"]["schema"].as_str()?;
    let schema: Value = serde_json::from_str(schema).ok()?;
    let found: Vec<Value> = round.results().flat_map(found_in).collect();
    let found: Vec<&Value> = found.iter().collect();
    Some(fitting::value(&schema, Mentions::of(&round.prompt, &found)))
}
