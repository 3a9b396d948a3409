//! Which request gets which answer.

mod content;
mod file;
mod trouble;
mod value;

pub(crate) use self::value::split_words;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    exception::Exception,
    fault::{Fault, Faults, Place},
    pace::Pace,
    persona::{self, Habit},
    reply::Reply,
    wire::{Operation, Request},
};

/// Rules that are tried in order, and what answers when none applies.
///
/// Counts of uses begin anew with every [`Simulator::start`](crate::Simulator::start) and
/// [`Simulator::set_script`](crate::Simulator::set_script).
#[derive(Debug, Clone)]
pub struct Script {
    rules: Vec<Rule>,
    pace: Option<Pace>,
    otherwise: Otherwise,
}

/// A scenario that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not TOML, an unknown key, or a value of the wrong type; the message has the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A value that makes no sense where it stands.
    #[error("{field}: {problem}")]
    Value {
        /// The path of the value: `reply[2].fault.exception.type`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Script {
    /// No rules: everything is answered by the persona.
    #[must_use]
    pub fn persona() -> Self {
        Self {
            rules: Vec::new(),
            pace: None,
            otherwise: Otherwise::Persona,
        }
    }

    /// Reads a scenario; `scenarios/README.md` describes the format.
    ///
    /// # Errors
    ///
    /// Every [`Error`] names the key or value that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str::<file::File>(text)?.into_script()
    }
}

/// What answers when no rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    Persona,
    Fail,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    when: Condition,
    /// How many requests it answers at most.
    times: Option<u64>,
    answer: Said,
}

/// Where the content of a rule's answer comes from.
#[derive(Debug, Clone)]
enum Said {
    Scripted(Arc<Reply>),
    /// The persona speaks, with this habit, pace and these faults.
    Persona {
        habit: Option<Habit>,
        pace: Option<Pace>,
        faults: Box<Faults>,
    },
}

/// All that is set must hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Condition {
    prompt_contains: Option<String>,
    prompt_is: Option<String>,
    asked_contains: Option<String>,
    system_contains: Option<String>,
    model_contains: Option<String>,
    operation: Option<Operation>,
    has_tool_result: Option<bool>,
    has_tools: Option<bool>,
    call: Option<u64>,
}

impl Condition {
    fn holds(&self, request: &Request, call: u64) -> bool {
        let contains = |text: String, part: &Option<String>| {
            part.as_ref()
                .is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
        };
        self.operation
            .is_none_or(|operation| operation == request.operation)
            && self.call.is_none_or(|expected| expected == call)
            && self
                .model_contains
                .as_ref()
                .is_none_or(|part| request.model_id.contains(part))
            && self
                .has_tool_result
                .is_none_or(|expected| expected != request.tool_results().is_empty())
            && self.has_tools.is_none_or(|expected| {
                expected != request.conversation()["toolConfig"]["tools"].is_null()
            })
            && self
                .prompt_is
                .as_ref()
                .is_none_or(|text| request.prompt() == *text)
            && contains(request.prompt(), &self.prompt_contains)
            && contains(persona::asked(request), &self.asked_contains)
            && contains(request.system_text(), &self.system_contains)
    }
}

/// An answer and who gave it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) rule: String,
    pub(crate) reply: Arc<Reply>,
    /// No rule has the words, so the persona, or the model, speaks.
    pub(crate) is_free: bool,
}

/// A script in use, with its counts.
#[derive(Debug)]
pub(crate) struct Running {
    script: Script,
    calls: AtomicU64,
    uses: Vec<AtomicU64>,
}

impl Running {
    fn new(script: Script) -> Self {
        let uses = script.rules.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            script,
            calls: AtomicU64::new(0),
            uses,
        }
    }

    pub(crate) fn pace(&self) -> Option<Pace> {
        self.script.pace.clone()
    }

    /// Finds the first rule that applies and has uses left.
    ///
    /// Where the persona would speak and a `model` does instead, the reply is empty.
    pub(crate) fn choose(&self, request: &Request, model: bool) -> Chosen {
        let speak = |habit| {
            if model {
                Reply::default()
            } else {
                persona::answer(request, habit)
            }
        };
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        for (rule, uses) in self.script.rules.iter().zip(&self.uses) {
            if rule.when.holds(request, call) && take_use(uses, rule.times) {
                let reply = match &rule.answer {
                    Said::Scripted(reply) => Arc::clone(reply),
                    Said::Persona {
                        habit,
                        pace,
                        faults,
                    } => Arc::new(Reply {
                        pace: pace.clone(),
                        faults: (**faults).clone(),
                        ..speak(*habit)
                    }),
                };
                return Chosen {
                    rule: rule.name.clone(),
                    reply,
                    is_free: matches!(rule.answer, Said::Persona { .. }),
                };
            }
        }
        match self.script.otherwise {
            Otherwise::Persona => Chosen {
                rule: if model { "model" } else { "persona" }.to_owned(),
                reply: Arc::new(speak(None)),
                is_free: true,
            },
            Otherwise::Fail => Chosen {
                rule: "none".to_owned(),
                reply: Arc::new(no_rule()),
                is_free: false,
            },
        }
    }
}

fn take_use(uses: &AtomicU64, times: Option<u64>) -> bool {
    let Some(times) = times else { return true };
    uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        (used < times).then_some(used + 1)
    })
    .is_ok()
}

fn no_rule() -> Reply {
    let exception = Exception::new(
        "InternalServerException",
        "No rule of the scenario fits this request.",
    );
    let faults = Faults {
        at: Some((Place::BeforeHeaders, Fault::Exception(exception))),
        ..Faults::default()
    };
    Reply {
        faults,
        ..Reply::default()
    }
}

/// The script in use, which can be replaced.
#[derive(Debug)]
pub(crate) struct ScriptCell(RwLock<Arc<Running>>);

impl ScriptCell {
    pub(crate) fn new(script: Script) -> Self {
        Self(RwLock::new(Arc::new(Running::new(script))))
    }

    pub(crate) fn current(&self) -> Arc<Running> {
        // Nothing panics while it holds the lock.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, script: Script) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Running::new(script));
    }
}

#[cfg(test)]
mod tests;
