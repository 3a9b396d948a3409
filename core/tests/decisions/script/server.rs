//! What scripts say of the server's tools, of consent, cost, and the form of replies.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use taiwa_core::{
    Agent, Command, Event, Input, Payload, Session, ToolSpec, Usage,
    input::{FrameBody, RunId, StepId},
    message::CacheTtl,
    model::ReplyForm,
    options::{OutputFormat, ReasoningOptions},
    price::{Price, Prices},
    tool::{
        Approval, ApprovalMode, Decision, RunEnd, RunOutcome, Schema, ServerTool, ToolChoice,
        ToolResultBlock, ToolSet,
    },
    usage::CacheWrite,
};

/// A tool whose input is not looked at.
pub(crate) const ANYTHING: &str = r#"{"type":"object"}"#;

/// What the player of a script must know to play the server's tools and shared budgets, and the
/// promises about them that it holds the session to.
#[derive(Debug, Default)]
pub(super) struct Backstage {
    /// Runs that were begun and neither finished nor cancelled, with their turns.
    runs: BTreeMap<RunId, Arc<str>>,
    /// The newest run of each call.
    newest: BTreeMap<String, RunId>,
    /// Model calls that were not settled.
    unsettled: BTreeSet<StepId>,
    /// What the model call that a crash ended is settled as.
    lost: Option<StepId>,
    /// Digests of approval requests.
    digests: BTreeMap<String, [u8; 32]>,
    /// What the next tool to finish has spent.
    spent: Option<Usage>,
    pub(super) shows: Shows,
}

/// What transcripts show on demand, since each line of the rest would have it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shows {
    pub(super) settlements: bool,
    pub(super) tools: bool,
    pub(super) ledger: bool,
}

impl Backstage {
    /// Holds a command to what was promised of it.
    #[track_caller]
    pub(super) fn command(&mut self, command: &Command) {
        match command {
            Command::CallModel { step, .. } => {
                self.unsettled.insert(*step);
            }
            Command::Settle { step, .. } => {
                let is_due = self.unsettled.remove(step) || self.lost.take() == Some(*step);
                assert!(is_due, "{step:?} is settled twice");
            }
            Command::RunTool(run) => {
                let before = self.runs.insert(run.run, Arc::clone(&run.turn_id));
                assert_eq!(before, None, "two runs have one name");
                self.newest.insert(run.call.id.clone(), run.run);
            }
            Command::CancelTool(run) => {
                let was_open = self.runs.remove(run).is_some();
                assert!(was_open, "{run:?} is cancelled and does not run");
            }
            _ => {}
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        if let Payload::ApprovalRequest(request) = &event.payload {
            self.digests.insert(request.id.clone(), request.digest);
        }
    }

    /// Holds the session to what was promised, after all that came of an input.
    #[track_caller]
    pub(super) fn settled(&self, session: &Session, open_step: Option<StepId>) {
        let turn = (!session.is_idle())
            .then(|| session.active_turn())
            .flatten();
        let outlives = self.runs.values().any(|id| Some(id) != turn);
        assert!(!outlives, "a tool outlives its turn: {:?}", self.runs);
        let unsettled = self
            .unsettled
            .iter()
            .filter(|step| Some(**step) != open_step);
        assert_eq!(unsettled.count(), 0, "a model call is not settled");
        assert!(turn.is_some() || self.unsettled.is_empty());
    }

    /// The process ended, and all that ran with it; the next settles what the model was asked.
    pub(super) fn crash(&mut self, next: StepId) {
        self.runs.clear();
        self.unsettled.clear();
        self.lost = Some(next);
    }

    /// The process that comes after a crash has done what it had to.
    pub(super) fn restored(&mut self) {
        self.lost = None;
    }

    /// What a tool does: `finish: t1 sunny`, `fail: t1 no`, `lose: t1 who knows`,
    /// `progress: t1 half way`, `spent: 10+5` ahead of its end.
    pub(super) fn tool_input(&mut self, verb: &str, text: &str) -> Option<Input> {
        let end = match verb {
            "finish" => RunEnd::Succeeded,
            "fail" => RunEnd::Failed,
            "lose" => RunEnd::Unknown,
            "progress" => {
                let (call, text) = text.split_once(' ').unwrap();
                let run = self.newest[call];
                let text = text.to_owned();
                return Some(Input::ToolProgress { run, text });
            }
            "tools" => return Some(Input::Tools(Arc::new(server_tools(text)))),
            _ => return None,
        };
        let (call, text) = text.split_once(' ').unwrap();
        let run = self.newest[call];
        self.runs.remove(&run);
        let text = match text.strip_suffix(" bytes").and_then(|n| n.parse().ok()) {
            Some(count) => "x".repeat(count),
            None => text.to_owned(),
        };
        let content = match text.strip_suffix(" blocks").and_then(|n| n.parse().ok()) {
            Some(count) => vec![ToolResultBlock::Text("x".to_owned()); count],
            None => vec![ToolResultBlock::Text(text)],
        };
        let usage = self.spent.take();
        Some(Input::ToolFinished {
            run,
            outcome: Box::new(RunOutcome {
                content,
                end,
                usage,
            }),
        })
    }

    /// `10+5`, `10+5=300` with its cost.
    pub(super) fn spend(&mut self, text: &str) {
        let (tokens, cost) = match text.split_once('=') {
            Some((tokens, cost)) => (tokens, Some(cost.parse().unwrap())),
            None => (text, None),
        };
        self.spent = Some(Usage {
            model_calls: 1,
            cost,
            ..usage(tokens)
        });
    }

    /// `approve: 1`, `refuse: 1 why not`, `approve-all: 1`, `refuse-all: 1`, `edit: 1 {…}`,
    /// `approve-true: 1` and `approve-false: 1` with the digest of the request and with another.
    pub(super) fn decision(&self, verb: &str, text: &str) -> Option<Decision> {
        let (number, words) = text.split_once(' ').unwrap_or((text, ""));
        let approval_id = format!("approval_s_{number}");
        let mut decision = Decision {
            approved: verb.starts_with("approve") || verb == "edit",
            remember: verb.ends_with("-all"),
            comment: words.to_owned(),
            ..Decision::default()
        };
        match verb {
            "approve" | "refuse" | "approve-all" | "refuse-all" => {}
            "edit" => {
                decision.edited_input_json = Some(words.to_owned());
                decision.comment.clear();
            }
            "approve-true" => decision.digest = Some(self.digests[&approval_id].to_vec()),
            "approve-false" => decision.digest = Some(vec![0; 32]),
            _ => return None,
        }
        decision.approval_id = approval_id;
        Some(decision)
    }

    pub(super) fn frame(&self, verb: &str, text: &str) -> Option<FrameBody> {
        self.decision(verb, text).map(FrameBody::Decision)
    }
}

/// `allow: most/watched` of a shared budget, each a number or `-`; `await`; `forbid`.
pub(super) fn budget_input(step: StepId, verb: &str, text: &str) -> Option<Input> {
    match verb {
        "allow" => {
            let (most, watched) = text.split_once('/').unwrap();
            Some(Input::ModelAllowed {
                step,
                max_tokens: most.parse().ok(),
                watched_tokens: watched.parse().ok(),
            })
        }
        "await" => Some(Input::ModelWaits(step)),
        "forbid" => Some(Input::ModelRefused(step)),
        _ => None,
    }
}

/// `10+5`, and then ` read=20 write=30 hour=10` of the prompt cache.
pub(super) fn usage(text: &str) -> Usage {
    let mut words = text.split(' ');
    let (input, output) = words.next().unwrap().split_once('+').unwrap();
    let mut usage = Usage {
        input_tokens: input.parse().unwrap(),
        output_tokens: output.parse().unwrap(),
        ..Usage::default()
    };
    for word in words {
        let (what, count) = word.split_once('=').unwrap();
        let tokens = count.parse().unwrap();
        match what {
            "read" => usage.cache_read_tokens = tokens,
            "write" => usage.cache_write_tokens = tokens,
            "hour" => usage.cache_writes.push(CacheWrite {
                ttl: CacheTtl::OneHour,
                tokens,
            }),
            _ => panic!("the script format counts no {what:?}"),
        }
    }
    usage.total_tokens = usage.input_tokens
        + usage.output_tokens
        + usage.cache_read_tokens
        + usage.cache_write_tokens;
    usage
}

/// Settings of a script that are about the server's tools, consent, cost and replies.
pub(super) fn set(agent: &mut Agent, shows: &mut Shows, name: &str, value: &str) -> bool {
    let (options, limits) = (&mut agent.options, &mut agent.limits);
    match name {
        "show" => {
            shows.settlements |= value.contains("settlements");
            shows.tools |= value.contains("tools");
            shows.ledger |= value.contains("ledger");
        }
        "runs" => limits.max_concurrent_tools = value.parse().unwrap(),
        "run_timeout" => limits.tool_timeout = super::duration(value),
        "approval_timeout" => limits.approval_timeout = super::duration(value),
        "faulty" => limits.max_faulty_steps = value.parse().unwrap(),
        "repairs" => limits.max_output_repairs = value.parse().unwrap(),
        "approval" => {
            options.approval = Some(approval_mode(value));
        }
        // Of the client's tool `clock`.
        "clock_approval" => {
            let clock = options
                .client_tools
                .iter_mut()
                .find(|tool| tool.name == "clock");
            Arc::make_mut(clock.unwrap()).approval = Some(match approval_mode(value) {
                ApprovalMode::Always => Approval::Always,
                ApprovalMode::Never => Approval::Never,
            });
        }
        "allowed" => options.allowed_tools = value.split(',').map(str::to_owned).collect(),
        "no_client_tools" => options.client_tools.clear(),
        "cost" => options.max_cost = Some(value.parse().unwrap()),
        // `model:input/output/read/write/write for an hour`, several by commas.
        "price" => agent.prices = Arc::new(Prices::new(value.split(',').map(price))),
        "form" => {
            agent.reply_form = Some(match value {
                "native" => ReplyForm::Native,
                "tool" => ReplyForm::Tool,
                _ => panic!("the script format has no form {value:?}"),
            });
        }
        "output" => {
            options.output = Some(OutputFormat {
                name: value.to_owned(),
                description: String::new(),
                schema: Schema::parse(
                    r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#,
                )
                .unwrap(),
            });
        }
        "reasoning" => options.reasoning = Some(ReasoningOptions::default()),
        "choice" => {
            options.tool_choice = Some(match value {
                "auto" => ToolChoice::Auto,
                "any" => ToolChoice::Any,
                "disabled" => ToolChoice::Disabled,
                tool => ToolChoice::Tool(tool.to_owned()),
            });
        }
        _ => return false,
    }
    true
}

pub(super) fn approval_mode(text: &str) -> ApprovalMode {
    match text {
        "always" => ApprovalMode::Always,
        "never" => ApprovalMode::Never,
        _ => panic!("the script format has no approval {text:?}"),
    }
}

fn price(text: &str) -> (String, Price) {
    let (model, prices) = text.split_once(':').unwrap();
    let prices: Vec<u64> = prices.split('/').map(|one| one.parse().unwrap()).collect();
    let price = Price {
        input: prices[0],
        output: prices[1],
        cache_read: prices.get(2).copied().unwrap_or(prices[0]),
        cache_write: prices.get(3).copied().unwrap_or(prices[0]),
        cache_write_1h: prices.get(4).copied().unwrap_or(prices[0]),
    };
    (model.to_owned(), price)
}

/// Server tools by their names, apart by commas:
///
/// * `look` wants nothing; `slow` neither, and may take 3 s; `agent` neither, and spends;
/// * `send` wants a `to`, and consent to each call;
/// * `pay` wants an `amount`, and consent from 100 on;
/// * `free` wants nothing, and no consent, whatever the agent says.
pub(crate) fn server_tools(names: &str) -> ToolSet {
    ToolSet::new(
        names
            .split(',')
            .filter(|name| !name.is_empty())
            .map(server_tool),
    )
}

fn server_tool(name: &str) -> ServerTool {
    let (schema, approval, timeout) = match name {
        "look" | "agent" | "weather" | "verdict" => (ANYTHING, None, None),
        "slow" => (ANYTHING, None, Some(Duration::from_secs(3))),
        "free" => (ANYTHING, Some(Approval::Never), None),
        "send" => (
            r#"{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}"#,
            Some(Approval::Always),
            None,
        ),
        "pay" => {
            let much = r#"{"properties":{"amount":{"minimum":100}}}"#;
            (
                r#"{"type":"object","properties":{"amount":{"type":"number"}},"required":["amount"]}"#,
                Some(Approval::When(Schema::parse(much).unwrap())),
                None,
            )
        }
        _ => panic!("the script format has no tool {name:?}"),
    };
    ServerTool {
        spec: Arc::new(ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: Schema::parse(schema).unwrap(),
            strict: false,
            timeout,
            approval,
        }),
        spends: name == "agent",
    }
}
