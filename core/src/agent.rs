//! Agents: named set-ups of model, system prompt, tools and limits.

use std::{collections::BTreeMap, sync::Arc};

use crate::{context, limits::Limits, model::ReplyForm, options::TurnOptions, price::Prices};

/// An agent that the server offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its id, as used in requests.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// What it is good for.
    pub description: String,
    /// Version of its set-up.
    pub version: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Settings that its turns start from; `model_id` is set.
    pub options: TurnOptions,
    /// Its limits.
    pub limits: Limits,
    /// When older messages are left out of what its model is sent; `None` means never.
    pub context: Option<context::Settings>,
    /// What models cost; shared by the server's agents.
    pub prices: Arc<Prices>,
    /// How its model is held to the form of a reply; `None` means as suits the model.
    pub reply_form: Option<ReplyForm>,
    /// The server has tools for it; which, it says while it runs. Set when the server starts.
    pub serves_tools: bool,
    /// Lets callers choose the model.
    pub model_override: bool,
    /// What becomes of a caller's system prompt.
    pub system_override: SystemOverride,
}

/// What becomes of a caller's system prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemOverride {
    /// It is refused.
    Refuse,
    /// It stands before the agent's own.
    Prepend,
    /// It stands instead of the agent's own.
    Replace,
}

impl Agent {
    /// Settles a turn's options over the session's and the agent's own.
    ///
    /// `caller` holds the turn's options already laid over the session's.
    pub fn settle(&self, caller: TurnOptions) -> TurnOptions {
        let mut settled = caller.over(&self.options);
        settled.tighten(&self.options);
        if self.system_override == SystemOverride::Prepend
            && let (Some(system), Some(own)) = (&mut settled.system, &self.options.system)
            && system != own
        {
            system.push_str("\n\n");
            system.push_str(own);
        }
        settled
    }
}
