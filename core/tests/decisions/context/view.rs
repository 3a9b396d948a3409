//! Arbitrary histories and sizes: what is sent is always acceptable, and what is told is true.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use proptest::{collection::vec, prelude::*};
use taiwa_core::{
    Block, Clock, Command, Input, Message, ModelEvent, ModelRequest, Payload, Role, Session,
    StopReason, ToolCall, ToolResult, TurnOptions, Usage,
    context::{Policy, Reduced, Reduction, Settings, Summary},
    input::{CallId, StepId, TurnRequest},
    message::Marking,
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata},
    saved::Kept,
    session::Setup,
    tool::Executor,
};

use crate::{
    bedrock,
    script::{agent, clock_after_crash, setup, start_of_time},
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_sent_is_acceptable_and_what_is_told_is_true(
        settings in settings(),
        brought in vec(brought_turn(), 0..6),
        turns in vec(turn(), 1..8),
    ) {
        Life::new(settings, &brought).live(&turns);
    }
}

/// A turn that a caller brings.
#[derive(Clone, Debug)]
struct Brought {
    /// Sizes of the user's messages; several stand apart where their markings differ.
    words: Vec<(usize, bool)>,
    /// Rounds of tools: whether the call is pinned, whether its result is, size of the result.
    rounds: Vec<(bool, bool, usize)>,
    instructions: bool,
    answer: (usize, bool),
}

/// A turn that is played.
#[derive(Clone, Debug)]
struct Played {
    words: usize,
    rounds: Vec<usize>,
    answer: usize,
    summaries: Vec<Answer>,
    /// How the provider counts: hundredths of the estimate; `None` when it does not.
    count: Option<u64>,
    crash: bool,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Text(usize),
    Filtered,
    Broken,
}

fn settings() -> impl Strategy<Value = Settings> {
    let policy = prop_oneof![
        Just(Policy::Sliding),
        (1..20_u32).prop_map(|most| Policy::Summarize(Summary {
            model_id: None,
            instructions: Some("condense".to_owned()),
            max_tokens: most.try_into().unwrap(),
        })),
    ];
    (30..200_u64, 1..100_u64, policy).prop_map(|(trigger, share, policy)| Settings {
        trigger_tokens: trigger.try_into().unwrap(),
        target_tokens: (trigger * share / 100).max(1).try_into().unwrap(),
        policy,
    })
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 8..40_usize, 1 => 40..300_usize]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn brought_turn() -> impl Strategy<Value = Brought> {
    (
        vec((size(), rarely()), 1..3),
        vec((rarely(), rarely(), size()), 0..3),
        rarely(),
        (size(), rarely()),
    )
        .prop_map(|(words, rounds, instructions, answer)| Brought {
            words,
            rounds,
            instructions,
            answer,
        })
}

fn turn() -> impl Strategy<Value = Played> {
    let answer = prop_oneof![
        4 => size().prop_map(Answer::Text),
        1 => Just(Answer::Filtered),
        1 => Just(Answer::Broken),
    ];
    (
        size(),
        vec(size(), 0..3),
        size(),
        vec(answer, 4),
        prop::option::weighted(0.7, 50..300_u64),
        rarely(),
    )
        .prop_map(|(words, rounds, answer, summaries, count, crash)| Played {
            words,
            rounds,
            answer,
            summaries,
            count,
            crash,
        })
}

/// A session, and what it should send.
///
/// Each message holds one name that no other holds, by which it is known in what is sent.
struct Life {
    session: Session,
    settings: Settings,
    clock: Clock,
    now: Instant,
    names: u64,
    calls: u64,
    brought: Vec<Message>,
    pinned: BTreeSet<String>,
    /// Messages that the model is sent, and those of the turn that runs.
    sent: BTreeSet<String>,
    running: BTreeSet<String>,
    /// Messages of turns that nothing pinned holds.
    loose: BTreeSet<String>,
    all: BTreeSet<String>,
    reduced: Option<Reduced>,
    kept: (Vec<Arc<Message>>, Option<taiwa_core::saved::Saved>),
    last_sequence: u64,
}

impl Life {
    fn new(settings: Settings, brought: &[Brought]) -> Self {
        let mut agent = agent();
        agent.context = Some(settings.clone());
        let clock = start_of_time();
        let mut life = Self {
            session: Session::new(setup(&Arc::new(agent), clock)),
            settings,
            clock,
            now: clock.instant,
            names: 0,
            calls: 0,
            brought: Vec::new(),
            pinned: BTreeSet::new(),
            sent: BTreeSet::new(),
            running: BTreeSet::new(),
            loose: BTreeSet::new(),
            all: BTreeSet::new(),
            reduced: None,
            kept: (Vec::new(), None),
            last_sequence: 0,
        };
        for turn in brought {
            life.bring(turn);
        }
        life
    }

    fn live(&mut self, turns: &[Played]) {
        for turn in turns {
            self.play(turn);
            if turn.crash {
                self.crash();
            }
        }
    }

    fn bring(&mut self, turn: &Brought) {
        let (pinned, before) = (self.pinned.len(), self.sent.clone());
        // Neighbours of one marking would become one message.
        let mut words = turn.words.clone();
        words.dedup_by_key(|(_, pinned)| *pinned);
        for (size, pinned) in &words {
            let words = self.words(*size);
            self.add(Role::User, words, *pinned);
        }
        if turn.instructions {
            let words = self.words(8);
            self.add(Role::System, words, false);
        }
        for (pins_call, pins_result, size) in &turn.rounds {
            let id = self.name();
            self.add(Role::Assistant, call(&id), *pins_call);
            let result = self.result(&id, *size);
            self.add(Role::User, Block::ToolResult(result), *pins_result);
        }
        let words = self.words(turn.answer.0);
        self.add(Role::Assistant, words, turn.answer.1);
        if self.pinned.len() == pinned {
            self.loose.extend(self.sent.difference(&before).cloned());
        }
    }

    fn add(&mut self, role: Role, block: Block, pinned: bool) {
        let name = name_of(&block);
        self.all.insert(name.clone());
        self.sent.insert(name.clone());
        let marking = if pinned {
            self.pinned.insert(name);
            Marking::Pinned
        } else {
            Marking::Unmarked
        };
        self.brought.push(Message {
            role,
            content: vec![block],
            origin: None,
            marking,
        });
    }

    fn play(&mut self, turn: &Played) {
        self.loose.append(&mut self.running);
        let words = self.words(turn.words);
        self.say(&words);
        let request = TurnRequest {
            content: vec![words],
            messages: std::mem::take(&mut self.brought),
            ..TurnRequest::default()
        };
        let mut summaries = turn.summaries.iter();
        let mut step = self.start(request, &mut summaries);
        for size in &turn.rounds {
            let id = self.name();
            let start = BlockStart::ToolCall {
                id: id.clone(),
                name: "clock".to_owned(),
                provider_run: false,
            };
            self.say(&call(&id));
            self.model(step, ModelEvent::BlockStart { index: 0, start });
            self.model(step, ModelEvent::BlockStop { index: 0 });
            self.stop(step, StopReason::ToolUse, turn.count);
            let result = self.result(&id, *size);
            self.say(&Block::ToolResult(result.clone()));
            let request = TurnRequest {
                tool_results: vec![result],
                ..TurnRequest::default()
            };
            step = self.start(request, &mut summaries);
        }
        let Block::Text(text) = self.words(turn.answer) else {
            unreachable!()
        };
        self.say(&Block::Text(text.clone()));
        let delta = BlockDelta::Text(text);
        self.model(step, ModelEvent::BlockDelta { index: 0, delta });
        self.stop(step, StopReason::EndTurn, turn.count);
        assert!(self.session.is_idle());
    }

    /// Starts a turn or goes on with it, answers for the summarizer, and checks what the turn's
    /// model is sent.
    fn start<'a>(
        &mut self,
        request: TurnRequest,
        summaries: &mut impl Iterator<Item = &'a Answer>,
    ) -> StepId {
        self.calls += 1;
        let call = CallId(self.calls);
        let request = Box::new(request);
        self.session
            .handle(Input::Start { call, request }, self.now);
        let (mut step, mut request) = self.model_call();
        if is_summary(&request) {
            assert_eq!(bedrock::request_fault(&request.messages), None);
            self.drain();
            assert_eq!(self.reduced, None);
            match summaries.next().unwrap() {
                Answer::Text(size) => {
                    let Block::Text(text) = self.words(*size) else {
                        unreachable!()
                    };
                    let delta = BlockDelta::Text(text);
                    self.tell(step, ModelEvent::BlockDelta { index: 0, delta });
                    self.tell(step, stop(StopReason::EndTurn));
                    self.tell(step, counts(1, 1));
                }
                Answer::Filtered => {
                    self.tell(step, stop(StopReason::ContentFiltered));
                    self.tell(step, counts(1, 1));
                }
                Answer::Broken => self.session.handle(Input::ModelEnded(step), self.now),
            }
            (step, request) = self.model_call();
        }
        assert!(!is_summary(&request));
        self.drain();
        self.check(&request);
        step
    }

    /// Holds what is sent to what is told.
    fn check(&mut self, request: &ModelRequest) {
        assert_eq!(bedrock::request_fault(&request.messages), None);
        let names: Vec<String> = request
            .messages
            .iter()
            .flat_map(|message| message.content.iter().map(name_of))
            .collect();
        let sent: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(sent.len(), names.len(), "a message is sent twice");
        assert!(sent.is_superset(&self.pinned), "a pinned message is gone");
        assert!(sent.is_superset(&self.running), "the running turn is cut");
        let Some(reduced) = self.reduced.take() else {
            assert_eq!(sent, self.sent, "messages are left out without a word");
            return;
        };
        assert!(reduced.tokens_before > self.settings.trigger_tokens.get());
        if let Some(summary) = &reduced.summary {
            assert_eq!(reduced.how, Reduction::Summarize);
            assert_eq!(summary.marking, Marking::Summary);
            let name = name_of(&summary.content[0]);
            assert!(sent.contains(&name), "the summary is not sent");
            self.sent.insert(name);
        } else {
            assert_eq!(reduced.how, Reduction::Sliding);
        }
        let omitted = self.sent.difference(&sent).count();
        assert_eq!(omitted, reduced.omitted_messages as usize);
        assert!(omitted > 0, "nothing is left out, and it is told");
        assert!(sent.is_subset(&self.sent), "a message comes back");
        assert!(reduced.tokens_after < reduced.tokens_before);
        let is_within = reduced.tokens_after <= self.settings.target_tokens.get();
        if reduced.how == Reduction::Sliding && !is_within {
            assert!(sent.is_disjoint(&self.loose), "more could have gone");
        }
        self.sent = sent;
    }

    fn crash(&mut self) {
        self.drain();
        let (messages, state) = &self.kept;
        let kept = Kept {
            state: state.clone().unwrap(),
            messages: messages.iter().map(|m| Message::clone(m)).collect(),
            receipts: Vec::new(),
            ended: Vec::new(),
            output: Vec::new(),
            last_sequence: self.last_sequence,
        };
        self.clock = clock_after_crash(self.clock, self.now, std::time::Duration::ZERO);
        self.now = self.clock.instant;
        let setup = Setup {
            options: TurnOptions::default(),
            ..setup(self.session.agent(), self.clock)
        };
        let (session, repairs) = Session::restore(setup, kept, self.now);
        assert_eq!(repairs, BTreeSet::new());
        assert_eq!(session.history().sent(), self.session.history().sent());
        self.session = session;
    }

    fn stop(&mut self, step: StepId, reason: StopReason, count: Option<u64>) {
        self.model(step, stop(reason));
        match count {
            Some(hundredths) => {
                let sent = self.session.history().sent();
                let bytes: usize = sent.iter().map(|message| message.size_bytes()).sum();
                self.model(step, counts(bytes as u64 / 4 * hundredths / 100 + 1, 1));
            }
            None => self.session.handle(Input::ModelEnded(step), self.now),
        }
        self.drain();
    }

    fn model(&mut self, step: StepId, event: ModelEvent) {
        self.tell(step, event);
        self.drain();
    }

    fn tell(&mut self, step: StepId, event: ModelEvent) {
        self.session.handle(Input::Model { step, event }, self.now);
    }

    fn model_call(&mut self) -> (StepId, Box<ModelRequest>) {
        let mut calls = Vec::new();
        while let Some(command) = self.session.poll_command() {
            if let Command::CallModel { step, request } = command {
                calls.push((step, request));
            }
        }
        assert_eq!(calls.len(), 1, "one model call at a time");
        calls.remove(0)
    }

    fn drain(&mut self) {
        while let Some(command) = self.session.poll_command() {
            assert!(!matches!(command, Command::CallModel { .. }));
        }
        while let Some(event) = self.session.poll_event() {
            self.last_sequence = event.sequence;
            if let Payload::ContextReduced(reduced) = event.payload {
                assert_eq!(self.reduced, None);
                self.reduced = Some(*reduced);
            }
        }
        if let Some(changes) = self.session.changes() {
            let (messages, state) = &mut self.kept;
            *state = Some(changes.state);
            if let Some(change) = changes.history {
                messages.truncate(change.keep);
                messages.extend(change.added);
            }
        }
        assert_eq!(self.kept.0, self.session.history().messages());
        let messages = self.session.history().messages().iter();
        let held: BTreeSet<String> = messages
            .flat_map(|message| message.content.iter().map(name_of))
            .collect();
        assert!(held.is_superset(&self.all), "the history lost a message");
        let size: usize = self.kept.0.iter().map(|message| message.size_bytes()).sum();
        assert_eq!(self.session.history().size_bytes(), size);
    }

    /// Notes a message of the turn that runs.
    fn say(&mut self, block: &Block) {
        let name = name_of(block);
        self.sent.insert(name.clone());
        self.running.insert(name);
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn words(&mut self, size: usize) -> Block {
        let name = self.name();
        Block::Text(format!("{name} {}", "x".repeat(size)))
    }

    fn result(&mut self, call_id: &str, size: usize) -> ToolResult {
        ToolResult {
            is_error: false,
            ..ToolResult::error(call_id, "x".repeat(size))
        }
    }
}

/// The name that a block holds.
fn name_of(block: &Block) -> String {
    match block {
        Block::Text(text) => {
            let text = text.rsplit("\n\n").next().unwrap();
            text.split(' ').next().unwrap().to_owned()
        }
        Block::ToolCall(call) => call.id.clone(),
        Block::ToolResult(result) => format!("result of {}", result.call_id),
        other => panic!("{other:?} has no name"),
    }
}

fn is_summary(request: &ModelRequest) -> bool {
    request.options.system.as_deref() == Some("condense")
}

fn call(id: &str) -> Block {
    Block::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "clock".to_owned(),
        input_json: "{}".to_owned(),
        executor: Executor::Client,
        expires: None,
        idempotency_key: String::new(),
    })
}

fn stop(reason: StopReason) -> ModelEvent {
    ModelEvent::MessageStop(MessageStop {
        reason,
        detail: String::new(),
        additional_fields_json: String::new(),
    })
}

fn counts(input_tokens: u64, output_tokens: u64) -> ModelEvent {
    ModelEvent::Metadata(Box::new(ModelMetadata {
        usage: Usage {
            input_tokens,
            output_tokens,
            total_tokens: input_tokens + output_tokens,
            ..Usage::default()
        },
        ..ModelMetadata::default()
    }))
}
