//! Replies that are to fit a JSON Schema: what a reply is, and how the model mends it.

use std::sync::Arc;

use serde_json::Value;

use super::{Context, Ending, Flow, Turn};
use crate::{
    error::{Failure, Reason},
    event::StopReason,
    message::{Block, Message},
    model::{ReplyForm, offering},
    options::OutputFormat,
    tool::{ToolResult, ToolResultBlock},
};

/// What a call of the tool that takes the reply came to.
#[derive(Debug)]
pub(super) enum Reply {
    /// It fits; the turn is done.
    Fits(String),
    /// It came beside other calls, whose results it could not know.
    Early { call_id: String, text: String },
    /// It does not fit.
    Faulty { call_id: String, text: String },
}

impl Turn {
    /// Looks for the call that brings the reply.
    pub(super) fn take_reply(&mut self, message: &Message) -> Option<Reply> {
        let format = self.options.output.as_ref()?;
        let name = self.reply_tool(format);
        let call = message.open_calls().find(|call| call.name == name)?;
        let call_id = call.id.clone();
        if message.open_calls().count() > 1 {
            let text = "not taken: give the reply alone, when the other calls have their results";
            return Some(Reply::Early {
                call_id,
                text: text.to_owned(),
            });
        }
        Some(match fitting(&call.input_json, format) {
            Ok(json) => {
                self.answer.output_json = json;
                Reply::Fits(call_id)
            }
            Err(text) => Reply::Faulty { call_id, text },
        })
    }

    fn reply_tool(&self, format: &OutputFormat) -> String {
        offering::reply_tool(format, &self.options, &self.tools)
    }

    /// Ends the turn with the reply that a call brought.
    pub(super) fn close_reply(&mut self, call_id: String, ctx: &mut Context<'_>) -> Flow {
        let origin = ctx.ids.origin(&self.id, ctx.now);
        let taken = ToolResult {
            call_id,
            content: vec![ToolResultBlock::Text("taken".to_owned())],
            is_error: false,
            kind: String::new(),
        };
        let told = ctx
            .history
            .answer(vec![taken], "no result", Vec::new(), Some(origin));
        self.made.extend(told);
        Some(Ending::completed(StopReason::EndTurn))
    }

    /// Checks a reply that is text, and has the model mend it once where it does not fit.
    pub(super) fn close_text(
        &mut self,
        message: &Message,
        reason: StopReason,
        ctx: &mut Context<'_>,
    ) -> Flow {
        let is_whole = matches!(reason, StopReason::EndTurn | StopReason::StopSequence);
        let options = Arc::clone(&self.options);
        let Some(format) = options.output.as_ref().filter(|_| is_whole) else {
            return Some(Ending::completed(reason));
        };
        let text = match fitting(&message.text(), format) {
            Ok(json) => {
                self.answer.output_json = json;
                return Some(Ending::completed(reason));
            }
            Err(text) => text,
        };
        if !self.may_repair(ctx) {
            return Some(Ending::unfit(&text));
        }
        let asks = match offering::reply_form(ctx.agent, &self.options) {
            ReplyForm::Native => "Give the reply again: JSON alone, that fits.".to_owned(),
            ReplyForm::Tool => format!("Give the reply by the tool {}.", self.reply_tool(format)),
        };
        if let Some(message) = &self.answer.message {
            self.made.push(Arc::clone(message));
        }
        let origin = ctx.ids.origin(&self.id, ctx.now);
        let words = vec![Block::Text(format!("{text}. {asks}"))];
        ctx.history.add_user(words, Some(origin));
        self.call_model(ctx)
    }

    /// Counts an attempt to mend the reply, if one more is allowed.
    pub(super) fn may_repair(&mut self, ctx: &Context<'_>) -> bool {
        let may = self.repairs < ctx.limits.max_output_repairs;
        self.repairs += u32::from(may);
        may
    }
}

impl Ending {
    /// Neither the reply nor its correction fits the form asked for.
    pub(super) fn unfit(text: &str) -> Self {
        Self::failed(Failure::new(Reason::OutputInvalid, text))
    }
}

/// The JSON of a reply, when it fits; else what is wrong with it.
fn fitting(text: &str, format: &OutputFormat) -> Result<String, String> {
    let value: Value = serde_json::from_str(text.trim())
        .map_err(|error| format!("the reply is not valid JSON: {error}"))?;
    format.schema.check(&value).map_err(|faults| {
        let faults = super::tools::shortened(faults);
        format!("the reply does not fit the schema: {faults}")
    })?;
    Ok(text.trim().to_owned())
}
