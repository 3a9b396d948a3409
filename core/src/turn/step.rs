//! One model call: its stream, its watchdog and its counts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Context;
use crate::{
    assemble::Assembler,
    budget::estimate_tokens,
    command::Command,
    error::{Failure, Reason},
    event::{Payload, StepCompleted, StopReason},
    input::StepId,
    limits::Limits,
    message::Block,
    model::{MessageStop, ModelEvent, ModelMetadata},
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
    clamped: bool,
    input_tokens: u64,
    assembler: Assembler,
    called: Instant,
    heard: Option<Instant>,
    held: bool,
    first_output: Option<Instant>,
    stop: Option<MessageStop>,
    metadata: Option<Box<ModelMetadata>>,
}

/// How a model call begins.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) id: StepId,
    pub(super) index: u32,
    pub(super) clamped: bool,
    pub(super) input_tokens: u64,
    pub(super) max_output_bytes: usize,
    pub(super) now: Instant,
}

/// How far a model call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Goes,
    Complete,
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
            clamped: opening.clamped,
            input_tokens: opening.input_tokens,
            assembler: Assembler::new(Arc::clone(turn_id), opening.max_output_bytes),
            called: opening.now,
            heard: None,
            held: false,
            first_output: None,
            stop: None,
            metadata: None,
        }
    }

    pub(super) fn id(&self) -> StepId {
        self.id
    }

    /// The budget, and not the caller's wish, limited the output.
    pub(super) fn is_clamped(&self) -> bool {
        self.clamped
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
        if self.held && !held && self.heard.is_some() {
            self.heard = Some(now);
        }
        self.held = held;
    }

    /// Folds one event of the model's stream in, and tells it.
    pub(super) fn take(
        &mut self,
        event: ModelEvent,
        turn_id: &Arc<str>,
        ctx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        self.heard = Some(ctx.now);
        let step_index = self.index;
        let out = &mut *ctx.out;
        let mut sink = |block_index, payload| {
            out.tell(Some(turn_id), step_index, block_index, payload);
        };
        if self.stop.is_some() && !matches!(event, ModelEvent::Metadata(_)) {
            return Err(Failure::new(
                Reason::ModelStreamError,
                "the model's stream is broken: it went on after its end",
            ));
        }
        match event {
            ModelEvent::MessageStart => {}
            ModelEvent::BlockStart { index, start } => {
                self.assembler.start(index, start, &mut sink)?;
                self.first_output.get_or_insert(ctx.now);
            }
            ModelEvent::BlockDelta { index, delta } => {
                self.assembler.add(index, delta, &mut sink)?;
                self.first_output.get_or_insert(ctx.now);
            }
            ModelEvent::BlockStop { index } => self.assembler.stop(index, &mut sink)?,
            ModelEvent::MessageStop(stop) => {
                self.assembler.finish(&mut sink)?;
                self.stop = Some(stop);
            }
            ModelEvent::Metadata(metadata) => self.metadata = Some(metadata),
        }
        let complete = self.stop.is_some() && self.metadata.is_some();
        Ok(if complete {
            Progress::Complete
        } else {
            Progress::Goes
        })
    }

    /// Ends the call well, and tells what it came to.
    pub(super) fn complete(&mut self, turn_id: &Arc<str>, ctx: &mut Context<'_>) -> Outcome {
        let metadata = self.metadata.take();
        let usage = match &metadata {
            Some(metadata) => Usage {
                model_calls: 1,
                ..metadata.usage.clone()
            },
            None => self.estimate(),
        };
        let metadata = metadata.map(|metadata| *metadata).unwrap_or_default();
        let stop = self.stop.take().unwrap_or(MessageStop {
            reason: StopReason::Unknown,
            detail: String::new(),
            additional_fields_json: String::new(),
        });
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
        ctx.out.command(Command::FinishModel(self.id));
        Outcome {
            stop,
            metadata,
            usage,
        }
    }

    /// What the call cost when nobody will say: an estimate from the bytes both ways.
    pub(super) fn estimate(&self) -> Usage {
        if let Some(metadata) = &self.metadata {
            return Usage {
                model_calls: 1,
                ..metadata.usage.clone()
            };
        }
        let output_tokens = estimate_tokens(self.assembler.size_bytes());
        Usage {
            input_tokens: self.input_tokens,
            output_tokens,
            total_tokens: self.input_tokens.saturating_add(output_tokens),
            model_calls: 1,
            estimated: true,
            ..Usage::default()
        }
    }

    /// When the model is late.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        if self.held {
            return None;
        }
        Some(match self.heard {
            None => self.called + limits.first_event_timeout,
            Some(heard) if self.stop.is_some() => {
                heard + METADATA_WAIT.min(limits.model_idle_timeout)
            }
            Some(heard) => heard + limits.model_idle_timeout,
        })
    }

    /// What the model is late with, if it is.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Option<Overdue> {
        if self.deadline(limits)? > now {
            return None;
        }
        Some(match (self.heard, &self.stop) {
            (None, _) => Overdue::FirstEvent,
            (Some(_), Some(_)) => Overdue::Metadata,
            (Some(_), None) => Overdue::NextEvent,
        })
    }
}
