//! Replies that are to fit a JSON Schema: how the model is held to it, and what its reply is.

use std::sync::Arc;

use serde_json::Value;

use super::{Context, Ending, Flow, Turn};
use crate::{
    error::{Failure, Reason},
    event::StopReason,
    message::{Block, Message},
    model::ReplyForm,
    options::OutputFormat,
    tool::{ToolChoice, ToolResult, ToolResultBlock, ToolSpec},
};

/// Name of the tool that takes the reply, where the format has none that it can have.
const REPLY_TOOL: &str = "reply";

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

/// What the model is told and offered so that its reply fits.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// The tool that takes the reply.
    pub(super) tool: Option<Arc<ToolSpec>>,
    pub(super) choice: Option<ToolChoice>,
}

impl Turn {
    /// How the next model call is held to the form that the turn's options ask for.
    pub(super) fn hold(&self, ctx: &Context<'_>) -> Hold {
        let Some(format) = &self.options.output else {
            return Hold::default();
        };
        if self.reply_form(ctx) == ReplyForm::Native {
            return Hold::default();
        }
        let has_others = self.offered().next().is_some()
            || (!self.is_toolless() && !self.options.provider_tools.is_empty());
        let name = self.reply_tool(format);
        // A model that reasons takes no forced choice:
        // <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>
        let choice = match (&self.options.reasoning, has_others) {
            (Some(_), _) => ToolChoice::Auto,
            (None, true) => ToolChoice::Any,
            (None, false) => ToolChoice::Tool(name.clone()),
        };
        let what = match &*format.description {
            "" => "the reply".to_owned(),
            description => format!("the reply: {description}"),
        };
        Hold {
            tool: Some(Arc::new(ToolSpec {
                name,
                description: format!(
                    "Takes {what}. Call it once, alone, when you know the reply; write no other."
                ),
                schema: format.schema.clone(),
                strict: false,
                timeout: None,
                approval: None,
            })),
            choice: Some(choice),
        }
    }

    pub(super) fn reply_form(&self, ctx: &Context<'_>) -> ReplyForm {
        let model_id = self.options.model_id.as_deref().unwrap_or_default();
        ctx.agent
            .reply_form
            .unwrap_or_else(|| ReplyForm::of(model_id))
    }

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

    /// Name of the tool that takes the reply: the format's own, unless it cannot be one or another
    /// tool has it.
    fn reply_tool(&self, format: &OutputFormat) -> String {
        let own = Some(&*format.name).filter(|name| is_tool_name(name));
        let names = own.into_iter().chain([REPLY_TOOL]).map(str::to_owned);
        let numbered = (2_u32..).map(|number| format!("{REPLY_TOOL}_{number}"));
        names
            .chain(numbered)
            .find(|name| !self.has_tool(name))
            .unwrap_or_else(|| REPLY_TOOL.to_owned())
    }

    fn has_tool(&self, name: &str) -> bool {
        self.tools.find(name).is_some()
            || self.options.client_tool(name).is_some()
            || self.options.provider_tools.iter().any(|tool| tool == name)
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
        let asks = match self.reply_form(ctx) {
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

fn is_tool_name(name: &str) -> bool {
    let is_fine = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(is_fine)
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
