//! One model call: its stream, its watchdog and its counts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Context;
use crate::{
    assemble::{Assembler, Sink},
    budget::{Reservation, estimate_tokens},
    command::Command,
    error::{Failure, Reason},
    event::{Payload, StepCompleted, StopReason},
    input::StepId,
    limits::{Limits, after},
    message::Block,
    model::{MessageStop, ModelEvent, ModelMetadata},
    price::Price,
    usage::Usage,
};

/// How long the counts may follow the message's end; the message itself is whole by then.
///
/// A guess: Bedrock sends both within milliseconds.
const METADATA_WAIT: Duration = Duration::from_secs(5);

/// A model call that is open.
#[derive(Debug)]
pub(super) struct Step {
    id: StepId,
    index: u32,
    reservation: Reservation,
    price: Option<Price>,
    /// Output tokens after which a shared budget is asked for more.
    allowed_tokens: Option<u64>,
    input_tokens: u64,
    assembler: Assembler,
    link: Link,
    called: Instant,
    /// Since when the model is silent while somebody listens.
    quiet_since: Instant,
    heard: bool,
    held: bool,
    first_output: Option<Instant>,
    stop: Option<MessageStop>,
    metadata: Option<Box<ModelMetadata>>,
    /// The event that told of its beginning.
    first_sequence: u64,
}

/// How a model call begins.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) id: StepId,
    pub(super) index: u32,
    pub(super) reservation: Reservation,
    pub(super) price: Option<Price>,
    pub(super) input_tokens: u64,
    pub(super) max_output_bytes: usize,
    pub(super) held: bool,
    pub(super) first_sequence: u64,
    pub(super) now: Instant,
}

/// How far a model call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Goes,
    Complete,
    /// The turn's tokens are used up.
    Spent,
    /// What a shared budget allowed is used up.
    WantsMore,
}

/// What connects us with the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// A budget that several turns share has to allow the call, which is not sent.
    Waiting,
    /// The call was sent.
    Asked,
    /// The provider took it.
    Taken,
    /// The stream ended or failed, after the provider took the call.
    Ended,
    /// The provider did not take the call.
    Refused,
}

/// What a model is late with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    FirstEvent,
    NextEvent,
    Metadata,
}

/// What a model call came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) stop: MessageStop,
    pub(super) metadata: ModelMetadata,
    pub(super) usage: Usage,
}

impl Step {
    pub(super) fn new(turn_id: &Arc<str>, opening: Opening) -> Self {
        Self {
            id: opening.id,
            index: opening.index,
            reservation: opening.reservation,
            price: opening.price,
            allowed_tokens: None,
            input_tokens: opening.input_tokens,
            assembler: Assembler::new(
                format!("{turn_id}/{}", opening.index),
                opening.max_output_bytes,
            ),
            link: Link::Asked,
            called: opening.now,
            quiet_since: opening.now,
            heard: false,
            held: opening.held,
            first_output: None,
            stop: None,
            metadata: None,
            first_sequence: opening.first_sequence,
        }
    }

    /// A call that an earlier process made, and of which `output` was told.
    pub(super) fn lost(
        id: StepId,
        index: u32,
        price: Option<Price>,
        input_tokens: u64,
        output: Vec<Block>,
        now: Instant,
    ) -> Self {
        Self {
            id,
            index,
            reservation: Reservation::default(),
            price,
            allowed_tokens: None,
            input_tokens,
            assembler: Assembler::of(output),
            link: Link::Ended,
            called: now,
            quiet_since: now,
            heard: true,
            held: false,
            first_output: None,
            stop: None,
            metadata: None,
            first_sequence: 0,
        }
    }

    pub(super) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Estimated tokens of what the model was sent.
    pub(super) fn input_tokens(&self) -> u64 {
        self.input_tokens
    }

    pub(super) fn id(&self) -> StepId {
        self.id
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// The budget, and not the caller's wish, limited the output.
    pub(super) fn is_clamped(&self) -> bool {
        self.reservation.clamped
    }

    /// A shared budget lets the call go on so far.
    pub(super) fn allow(
        &mut self,
        max_tokens: Option<u32>,
        watched_tokens: Option<u64>,
        now: Instant,
    ) {
        if self.link == Link::Waiting {
            self.link = Link::Asked;
            self.quiet_since = now;
        }
        if max_tokens.is_some() {
            self.reservation.max_tokens = max_tokens;
            self.reservation.clamped = true;
        }
        self.allowed_tokens = watched_tokens;
    }

    /// The call is not sent before a shared budget allows it.
    pub(super) fn wait(&mut self) {
        if self.link == Link::Asked {
            self.link = Link::Waiting;
        }
    }

    /// True until the provider took the call.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.link, Link::Asked | Link::Waiting)
    }

    /// The provider took the call.
    pub(super) fn open(&mut self) {
        self.link = Link::Taken;
    }

    /// The call is over, well or not; nothing is left to be closed.
    pub(super) fn close(&mut self) {
        self.link = match self.link {
            Link::Waiting | Link::Asked | Link::Refused => Link::Refused,
            Link::Taken | Link::Ended => Link::Ended,
        };
    }

    /// True when nothing is left to be closed.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.link, Link::Ended | Link::Refused)
    }

    pub(super) fn first_output(&self) -> Option<Instant> {
        self.first_output
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        self.assembler.blocks()
    }

    /// A clock that measures the model runs only while somebody listens to the model.
    pub(super) fn hold(&mut self, held: bool, now: Instant) {
        if self.held && !held {
            self.quiet_since = now;
        }
        self.held = held;
    }

    /// Folds one event of the model's stream in, and tells it.
    pub(super) fn take(
        &mut self,
        event: ModelEvent,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<Progress, Failure> {
        self.link = Link::Taken;
        self.heard = true;
        self.quiet_since = now;
        if self.stop.is_some() && !matches!(event, ModelEvent::Metadata(_)) {
            return Err(Failure::new(
                Reason::ModelStreamError,
                "the model's stream is broken: it went on after its end",
            ));
        }
        match event {
            ModelEvent::MessageStart => {}
            ModelEvent::BlockStart { index, start } => {
                self.assembler.start(index, start, sink)?;
                self.first_output.get_or_insert(now);
            }
            ModelEvent::BlockDelta { index, delta } => {
                self.assembler.add(index, delta, sink)?;
                self.first_output.get_or_insert(now);
            }
            ModelEvent::BlockStop { index } => self.assembler.stop(index, sink)?,
            ModelEvent::MessageStop(stop) => {
                self.assembler.finish(sink)?;
                self.stop = Some(stop);
            }
            ModelEvent::Metadata(metadata) => self.metadata = Some(metadata),
        }
        let speaks = self.stop.is_none();
        let output_tokens = estimate_tokens(self.assembler.size_bytes());
        let is_over = |most: u64| speaks && output_tokens > most;
        let spent = self.reservation.watched_tokens.is_some_and(is_over);
        // Asked once for each piece that is allowed.
        let wants_more = self.allowed_tokens.take_if(|most| is_over(*most)).is_some();
        Ok(if self.stop.is_some() && self.metadata.is_some() {
            Progress::Complete
        } else if spent {
            Progress::Spent
        } else if wants_more {
            Progress::WantsMore
        } else {
            Progress::Goes
        })
    }

    /// Ends the call well, and tells what it came to.
    pub(super) fn complete(&mut self, turn_id: &Arc<str>, ctx: &mut Context<'_>) -> Outcome {
        let outcome = self.conclude();
        let Outcome {
            stop,
            metadata,
            usage,
        } = &outcome;
        for guardrail in &metadata.guardrails {
            let payload = Payload::Guardrail(Box::new(guardrail.clone()));
            ctx.out.tell(Some(turn_id), self.index, 0, payload);
        }
        let completed = StepCompleted {
            stop_reason: stop.reason,
            usage: usage.clone(),
            model_latency: metadata.latency,
            time_to_first_output: self
                .first_output
                .map(|at| at.saturating_duration_since(self.called)),
        };
        ctx.out.tell(
            Some(turn_id),
            self.index,
            0,
            Payload::StepCompleted(completed),
        );
        if !self.is_over() {
            ctx.out.command(Command::FinishModel(self.id));
        }
        outcome
    }

    /// What the call came to.
    pub(super) fn conclude(&mut self) -> Outcome {
        let metadata = self.metadata.take();
        let usage = match &metadata {
            Some(metadata) => self.counted(metadata),
            None => self.estimate(),
        };
        let metadata = metadata.map(|metadata| *metadata).unwrap_or_default();
        let stop = self.stop.take().unwrap_or(MessageStop {
            reason: StopReason::Unknown,
            detail: String::new(),
            additional_fields_json: String::new(),
        });
        Outcome {
            stop,
            metadata,
            usage,
        }
    }

    /// What the call cost when nobody will say: an estimate from the bytes both ways.
    pub(super) fn estimate(&self) -> Usage {
        if let Some(metadata) = &self.metadata {
            return self.counted(metadata);
        }
        if matches!(self.link, Link::Waiting | Link::Refused) {
            return Usage {
                model_calls: 1,
                cost: self.price.map(|_| 0),
                ..Usage::default()
            };
        }
        let output_tokens = estimate_tokens(self.assembler.size_bytes());
        self.priced(Usage {
            input_tokens: self.input_tokens,
            output_tokens,
            total_tokens: self.input_tokens.saturating_add(output_tokens),
            model_calls: 1,
            tool_calls: self.assembler.provider_calls(),
            estimated: true,
            ..Usage::default()
        })
    }

    fn priced(&self, usage: Usage) -> Usage {
        Usage {
            cost: self.price.map(|price| price.of(&usage)),
            ..usage
        }
    }

    /// What the call cost as the provider counts it.
    fn counted(&self, metadata: &ModelMetadata) -> Usage {
        self.priced(Usage {
            model_calls: 1,
            tool_calls: self.assembler.provider_calls(),
            ..metadata.usage.clone()
        })
    }

    /// When the model is late.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        // Nobody listens, or nobody was asked.
        if self.held || self.link == Link::Waiting {
            return None;
        }
        let wait = match self.awaited() {
            Overdue::FirstEvent => limits.first_event_timeout,
            Overdue::NextEvent => limits.model_idle_timeout,
            Overdue::Metadata => METADATA_WAIT.min(limits.model_idle_timeout),
        };
        Some(after(self.quiet_since, wait))
    }

    /// What the model is late with, if it is.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Option<Overdue> {
        (self.deadline(limits)? <= now).then(|| self.awaited())
    }

    fn awaited(&self) -> Overdue {
        if !self.heard {
            Overdue::FirstEvent
        } else if self.stop.is_none() {
            Overdue::NextEvent
        } else {
            Overdue::Metadata
        }
    }
}
