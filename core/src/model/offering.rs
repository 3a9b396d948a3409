//! What a model call offers: the tools, the choice among them, and the form of the reply.

use std::sync::Arc;

use super::ReplyForm;
use crate::{
    agent::Agent,
    options::{OutputFormat, TurnOptions},
    tool::{ToolChoice, ToolSet, ToolSpec},
};

/// Name of the tool that takes the reply, where the format has none that it can have.
const REPLY_TOOL: &str = "reply";

/// What one model call offers, besides the tools that the provider runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Offering {
    /// Tools of the server, then of the client, then the one that takes the reply.
    pub tools: Vec<Arc<ToolSpec>>,
    /// How the model may choose among them; `None` means as the provider does by itself.
    pub tool_choice: Option<ToolChoice>,
    /// How the reply is held to the form that the options ask for.
    pub reply_form: ReplyForm,
}

impl Offering {
    /// Decides what a call is to offer under settled options; `tools` are those that the server
    /// runs and the options allow.
    pub fn new(agent: &Agent, options: &TurnOptions, tools: &ToolSet) -> Self {
        let reply_form = reply_form(agent, options);
        let mut offered: Vec<_> = runnable(options, tools).cloned().collect();
        let mut tool_choice = options.tool_choice.clone();
        if let Some(format) = &options.output
            && reply_form == ReplyForm::Tool
        {
            let has_others = !offered.is_empty()
                || (options.offers_tools() && !options.provider_tools.is_empty());
            let name = reply_tool(format, options, tools);
            // A model that reasons takes no forced choice:
            // <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>
            tool_choice = Some(match (&options.reasoning, has_others) {
                (Some(_), _) => ToolChoice::Auto,
                (None, true) => ToolChoice::Any,
                (None, false) => ToolChoice::Tool(name.clone()),
            });
            offered.push(Arc::new(reply_spec(name, format)));
        }
        Self {
            tools: offered,
            tool_choice,
            reply_form,
        }
    }
}

/// How a turn's reply is held to its form.
pub(crate) fn reply_form(agent: &Agent, options: &TurnOptions) -> ReplyForm {
    let model_id = options.model_id.as_deref().unwrap_or_default();
    agent.reply_form.unwrap_or_else(|| ReplyForm::of(model_id))
}

/// The tools that the server and the client run, as the model is offered them; a client's tool of
/// a name that the server has is none.
pub(crate) fn runnable<'a>(
    options: &'a TurnOptions,
    tools: &'a ToolSet,
) -> impl Iterator<Item = &'a Arc<ToolSpec>> {
    let of_server = tools.iter().map(|tool| &tool.spec);
    let of_client = options.client_tools.iter();
    let of_client = of_client.filter(|tool| tools.find(&tool.name).is_none());
    let all = of_server.chain(of_client);
    all.filter(|_| options.offers_tools())
}

/// Name of the tool that takes the reply: the format's own, unless it cannot be one or another
/// tool has it.
pub(crate) fn reply_tool(format: &OutputFormat, options: &TurnOptions, tools: &ToolSet) -> String {
    let is_taken = |name: &str| {
        tools.find(name).is_some()
            || options.client_tool(name).is_some()
            || options.provider_tools.iter().any(|tool| tool == name)
    };
    let own = Some(&*format.name).filter(|name| is_tool_name(name));
    let names = own.into_iter().chain([REPLY_TOOL]).map(str::to_owned);
    let numbered = (2_u32..).map(|number| format!("{REPLY_TOOL}_{number}"));
    names
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_else(|| REPLY_TOOL.to_owned())
}

fn reply_spec(name: String, format: &OutputFormat) -> ToolSpec {
    let what = match &*format.description {
        "" => "the reply".to_owned(),
        description => format!("the reply: {description}"),
    };
    ToolSpec {
        name,
        description: format!(
            "Takes {what}. Call it once, alone, when you know the reply; write no other."
        ),
        schema: format.schema.clone(),
        strict: false,
        timeout: None,
        approval: None,
    }
}

fn is_tool_name(name: &str) -> bool {
    let is_fine = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(is_fine)
}
