//! Prints what a session gives out, one short line each.

use std::time::Instant;

use taiwa_core::{
    Block, Command, Event, Failure, Message, ModelRequest, Payload, Role, ToolResult, TurnResult,
    Usage,
    context::SUMMARY_INSTRUCTIONS,
    event::{FrameAccepted, ReasoningDelta, ToolCallPiece},
    message::{Marking, Reasoning},
    tool::{Allowance, CallUpdate, ToolResultBlock},
};

pub(crate) fn command(command: &Command, now: Instant) -> String {
    match command {
        Command::CallModel { step, request } if is_summary(request) => {
            let text = request.messages[0].text();
            let asked = text.strip_prefix("<conversation>\n").unwrap();
            let asked = asked.split_once("</conversation>").unwrap().0;
            let most = request.max_tokens.unwrap();
            format!(
                "! condense {} (at most {most}): {}",
                step.0,
                short(asked.trim_end())
            )
        }
        Command::CallModel { step, request } => {
            let limit = request
                .max_tokens
                .map_or(String::new(), |most| format!(" (at most {most})"));
            let messages: Vec<_> = request.messages.iter().map(|m| message(m)).collect();
            format!("! call model {}{limit}: {}", step.0, messages.join(" "))
        }
        Command::AbortModel(step) => format!("! abort model {}", step.0),
        Command::FinishModel(step) => format!("! finish model {}", step.0),
        Command::Extend(step) => format!("! extend {}", step.0),
        Command::Settle { step, usage: used } => format!("! settle {}: {}", step.0, usage(used)),
        Command::RunTool(run) => {
            let (call, wait) = (&run.call, run.deadline.saturating_duration_since(now));
            format!(
                "! run {} for {wait:?}{}: {} {} {} as {}",
                run.run.0,
                allowance(run.allowance),
                call.id,
                call.name,
                call.input_json,
                call.idempotency_key
            )
        }
        Command::CancelTool(run) => format!("! cancel run {}", run.0),
        Command::Answer { call, answer } => match answer {
            Ok(started) => format!(
                "! answer {}: {} from {}",
                call.0, started.turn_id, started.first_sequence
            ),
            Err(error) => format!("! answer {}: {}", call.0, failure(error)),
        },
        Command::AnswerCancel { call, answer } => match answer {
            Ok(result) => format!("! answer cancel {}: {}", call.0, turn(result)),
            Err(error) => format!("! answer cancel {}: {}", call.0, failure(error)),
        },
        Command::Forget(sequence) => format!("! forget up to {sequence}"),
        Command::TakeOver(stream) => format!("! take over from stream {}", stream.0),
        Command::Refuse {
            stream,
            frame_id,
            failure: error,
        } => {
            let name = frame_id.as_deref().unwrap_or("-");
            let stream = stream.0;
            format!(
                "! refuse frame {name} of stream {stream}: {}",
                failure(error)
            )
        }
        Command::EndStream(stream) => format!("! end stream {}", stream.0),
    }
}

pub(crate) fn event(event: &Event) -> String {
    let at = event.block_index;
    match &event.payload {
        Payload::FrameAccepted(receipt) => accepted(receipt),
        Payload::FrameRejected {
            frame_id,
            failure: error,
        } => {
            let name = frame_id.as_deref().unwrap_or("-");
            format!("frame {name} rejected: {}", failure(error))
        }
        Payload::TurnStarted {
            frame_id,
            continued,
        } => {
            let id = event.turn_id.as_deref().unwrap_or("?");
            let how = if *continued { "goes on" } else { "started" };
            let by = frame_id
                .as_ref()
                .map_or(String::new(), |frame| format!(" by frame {frame}"));
            format!("{id} {how}{by}")
        }
        Payload::StepStarted { .. } => format!("step {}", event.step_index),
        Payload::BlockStarted(_) => format!("block {at}"),
        Payload::TextDelta(text) => format!("text {}", short(text)),
        Payload::ReasoningDelta(ReasoningDelta::Text(text)) => format!("reasoning {text:?}"),
        Payload::ReasoningDelta(ReasoningDelta::Signature(text)) => format!("signature {text:?}"),
        Payload::ReasoningDelta(ReasoningDelta::Redacted(bytes)) => {
            format!("redacted reasoning of {} bytes", bytes.len())
        }
        Payload::ToolCallDelta { call_id, piece } => match piece {
            ToolCallPiece::Input(text) => format!("input of {call_id}: {text}"),
            ToolCallPiece::ResultText(text) => format!("result of {call_id}: {text:?}"),
            ToolCallPiece::ResultJson(json) => format!("result of {call_id}: {json}"),
        },
        Payload::CitationDelta(citation) => format!("citation {:?}", citation.source),
        Payload::ImageDelta(_) => "image piece".to_owned(),
        Payload::BlockCompleted(done) => format!("block {at} done: {}", block(done)),
        Payload::StepCompleted(step) => {
            format!("step done: {:?}, {}", step.stop_reason, usage(&step.usage))
        }
        Payload::ToolCall(call) => {
            let (id, name, input) = (&call.id, &call.name, &call.input_json);
            format!("call {id} {name} {input} as {}", call.idempotency_key)
        }
        Payload::ToolCallUpdate(told) => update(told),
        Payload::ApprovalRequest(request) => {
            let call = &request.call;
            format!(
                "{} asks for {} {} {} ({})",
                request.id, call.id, call.name, call.input_json, request.reason
            )
        }
        Payload::ApprovalResolved(resolved) => {
            let how = match (resolved.approved, resolved.expired) {
                (true, false) => "approved",
                (false, false) => "refused",
                (false, true) => "expired",
                (true, true) => "approved and expired",
            };
            format!("{} {how}", resolved.approval_id)
        }
        Payload::ToolCallsCancelled(ids) => format!("calls cancelled: {}", ids.join(" ")),
        Payload::Guardrail(outcome) => format!("guardrail, intervened: {}", outcome.intervened),
        Payload::Interrupted(cause) => format!("interrupted: {cause:?}"),
        Payload::ContextReduced(reduced) => format!(
            "{:?} left {} messages out, {} tokens to {}{}",
            reduced.how,
            reduced.omitted_messages,
            reduced.tokens_before,
            reduced.tokens_after,
            reduced
                .summary
                .as_ref()
                .map_or(String::new(), |summary| format!(
                    ", for {}",
                    message(summary)
                ))
        ),
        Payload::Usage(so_far) => format!("usage so far: {}", usage(so_far)),
        Payload::TurnEnded(result) => format!("{} ended: {}", result.turn_id, turn(result)),
    }
}

pub(crate) fn message(message: &Message) -> String {
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    };
    let blocks: Vec<_> = message.content.iter().map(block).collect();
    let mark = match message.marking {
        Marking::Unmarked => "",
        Marking::Pinned => " pinned",
        Marking::Summary => " summary",
    };
    format!("{role}{mark}({})", blocks.join(", "))
}

/// True for the call that condenses a conversation.
fn is_summary(request: &ModelRequest) -> bool {
    request.options.system.as_deref() == Some(SUMMARY_INSTRUCTIONS)
}

/// The state of a turn after its id.
pub(crate) fn turn(result: &TurnResult) -> String {
    let mut line = format!("{:?}", result.status);
    if let Some(reason) = result.stop_reason {
        line += &format!(", {reason:?}");
    }
    if let Some(said) = &result.message {
        line += &format!(", {}", message(said));
    }
    for made in &result.intermediate_messages {
        line += &format!(", by way of {}", message(made));
    }
    let pending: Vec<_> = result
        .pending_tool_calls
        .iter()
        .map(|call| &*call.id)
        .collect();
    if !pending.is_empty() {
        line += &format!(", waits for {}", pending.join(" "));
    }
    let asked = result.pending_approvals.iter();
    let asked: Vec<_> = asked.map(|request| &*request.id).collect();
    if !asked.is_empty() {
        line += &format!(", asks {}", asked.join(" "));
    }
    if !result.output_json.is_empty() {
        line += &format!(", output {}", result.output_json);
    }
    line += &format!(", {}", usage(&result.usage));
    if let Some(error) = &result.failure {
        line += &format!(", {}", failure(error));
    }
    line
}

fn accepted(receipt: &FrameAccepted) -> String {
    let mut line = format!("frame {} {:?}", receipt.frame_id, receipt.outcome);
    if let Some(turn_id) = &receipt.turn_id {
        line += &format!(" {turn_id}");
    }
    if receipt.queue_position > 0 {
        line += &format!(" behind {}", receipt.queue_position);
    }
    if receipt.duplicate {
        line += " (duplicate)";
    }
    line
}

fn failure(failure: &Failure) -> String {
    format!("{:?} ({})", failure.reason, failure.message)
}

fn usage(usage: &Usage) -> String {
    let about = if usage.estimated { "about " } else { "" };
    let cost = usage
        .cost
        .map_or(String::new(), |cost| format!(", costs {cost}"));
    format!(
        "{about}{}+{} tokens, {} model, {} tool{cost}",
        usage.input_tokens, usage.output_tokens, usage.model_calls, usage.tool_calls
    )
}

/// The tools that a model is offered, and how it may choose.
pub(crate) fn offer(request: &ModelRequest) -> String {
    let names: Vec<_> = request.tools.iter().map(|tool| &*tool.name).collect();
    let choice = request.tool_choice.as_ref();
    let choice = choice.map_or(String::new(), |choice| format!(", choice {choice:?}"));
    let names = match &*names.join(" ") {
        "" => "none".to_owned(),
        names => names.to_owned(),
    };
    format!(" with {names}{choice}")
}

/// How long the server's tools ran in a turn, where they did.
pub(crate) fn tool_time(result: &TurnResult) -> String {
    let ran = result.metrics.tool_time;
    if ran.is_zero() {
        String::new()
    } else {
        format!(", ran tools for {ran:?}")
    }
}

fn allowance(allowance: Allowance) -> String {
    let tokens = allowance.max_tokens;
    let tokens = tokens.map_or(String::new(), |most| format!(" and {most} tokens"));
    let cost = allowance.max_cost;
    tokens + &cost.map_or(String::new(), |most| format!(" and {most} of cost"))
}

fn update(update: &CallUpdate) -> String {
    let mut line = format!("{} {:?}", update.call_id, update.status);
    if let Some(duration) = update.duration {
        line += &format!(" after {duration:?}");
    }
    if !update.progress.is_empty() {
        line += &format!(": {}", update.progress);
    }
    if let Some(result) = &update.result {
        line += &format!(": {}", tool_result(result));
    }
    line
}

fn block(block: &Block) -> String {
    match block {
        Block::Text(text) => short(text),
        Block::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.input_json),
        Block::ToolResult(result) => tool_result(result),
        Block::Reasoning(Reasoning::Text { text, signature }) => {
            format!(
                "reasoning {text:?} signed {:?}",
                signature.as_deref().unwrap_or("-")
            )
        }
        Block::CitedText(cited) => {
            format!(
                "{} with {} citations",
                short(&cited.texts.concat()),
                cited.citations.len()
            )
        }
        other => format!("{other:?}"),
    }
}

fn tool_result(result: &ToolResult) -> String {
    let how = if result.is_error { "error" } else { "result" };
    let content: Vec<_> = result
        .content
        .iter()
        .map(|piece| match piece {
            ToolResultBlock::Text(text) => short(text),
            other => format!("{other:?}"),
        })
        .collect();
    format!("{how} {} {}", result.call_id, content.join(" "))
}

/// A text; of a long one, the beginning and the length.
fn short(text: &str) -> String {
    if text.len() <= 120 {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(20).collect();
    format!("{start:?}… of {} bytes", text.len())
}
