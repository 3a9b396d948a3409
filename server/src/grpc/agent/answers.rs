//! What is answered without a turn: tokens that would be sent, and the agents there are.

use std::sync::Arc;

use taiwa::v1 as pb;
use taiwa_core::{Agent, Failure, ModelRequest, history::History, model::Offering};
use tokio::time::Instant;

use super::Service;
use crate::{
    grpc::{caller::Caller, convert},
    session::handle::Handle,
};

impl Service {
    pub(super) async fn count(
        &self,
        wire: pb::CountTokensRequest,
        caller: &Caller,
    ) -> Result<pb::CountTokensResponse, Failure> {
        let tenant = &caller.tenant;
        let agent = self.agent("agent_id", &wire.agent_id, tenant, &wire.session_id);
        let agent = agent.await?;
        let count = convert::count::count(wire, &agent)?;
        let mut history = History::default();
        let mut options = count.options;
        if let Some(session_id) = &count.session_id {
            let describe = |handle: Handle| async move { handle.describe().await };
            let session = self.ask(tenant, session_id, describe).await?;
            history.extend(
                session
                    .messages
                    .iter()
                    .map(|message| message.as_ref().clone())
                    .collect(),
            );
            options = options.over(&session.options);
        }
        history.extend(count.messages);
        let options = agent.settle(options);
        let model_id = options.model_id.clone().unwrap_or_default();
        let offer = self.registry.toolbox().offer(&agent);
        let tools = offer.set.allowed(&options.allowed_tools);
        let offering = Offering::new(&agent, &options, &tools);
        let request = ModelRequest {
            max_tokens: options.max_tokens.map(|max| max.get()),
            tools: offering.tools,
            tool_choice: offering.tool_choice,
            reply_form: offering.reply_form,
            input_tokens: 0,
            options: Arc::new(options),
            messages: history.sent(),
            deadline: caller.deadline.map(Instant::into_std),
        };
        let input_tokens = self.registry.bedrock().count_tokens(request).await?;
        let input_tokens = i32::try_from(input_tokens).unwrap_or(i32::MAX);
        Ok(pb::CountTokensResponse {
            input_tokens,
            model_id,
        })
    }

    pub(super) fn page(
        &self,
        request: &pb::ListAgentsRequest,
    ) -> Result<pb::ListAgentsResponse, Failure> {
        let size = convert::page::size(request.page_size)
            .map_err(|fault| Failure::invalid("page_size", fault))?;
        let after = request.page_token.as_str();
        if !after.is_empty() && self.agents.find(after).is_none() {
            let text = "must be a token that ListAgents gave";
            return Err(Failure::invalid("page_token", text));
        }
        let mut rest = self.agents.iter().filter(|agent| agent.id.as_str() > after);
        let page: Vec<&Arc<Agent>> = rest.by_ref().take(size).collect();
        let next_page_token = match (rest.next(), page.last()) {
            (Some(_), Some(last)) => last.id.clone(),
            (Some(_) | None, _) => String::new(),
        };
        Ok(pb::ListAgentsResponse {
            agents: page.into_iter().map(|agent| self.describe(agent)).collect(),
            next_page_token,
        })
    }

    pub(super) fn describe(&self, agent: &Agent) -> pb::Agent {
        convert::agent::agent(
            agent,
            agent.id == self.agents.default_agent().id,
            Vec::new(),
        )
    }

    /// Describes an agent with its tools.
    pub(super) fn describe_whole(&self, agent: &Agent) -> pb::Agent {
        let tools = convert::agent::tools(&self.registry.toolbox().offer(agent).set, agent);
        pb::Agent {
            tools,
            ..self.describe(agent)
        }
    }
}
