//! What a caller asks for: one turn, with the settings of the call around it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

use crate::{Connection, Reconnect, line::Terms, pb, reconnect::Observer};

/// One turn to run, for [`Client::invoke`](crate::Client::invoke) and
/// [`Client::stream`](crate::Client::stream) alike.
///
/// A plain string is a whole request. What has no method here is set on the
/// message itself: `Request::from(pb::InvokeRequest { … })`.
///
/// ```
/// use std::time::Duration;
/// use taiwa_client::Request;
///
/// let request = Request::new("Why is the sky blue?")
///     .session("s-42")
///     .max_tokens(200)
///     .timeout(Duration::from_secs(30));
/// # let _ = request;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub(crate) message: pb::InvokeRequest,
    pub(crate) call: CallSettings,
}

/// Settings of the call itself, apart from its message.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallSettings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) metadata: MetadataMap,
    pub(crate) observer: Observer,
}

/// When a call is to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// The time that the caller gave.
    pub(crate) allowed: Duration,
}

impl Request {
    /// Asks with plain text.
    #[must_use]
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::from(pb::InvokeRequest {
            prompt: prompt.into(),
            ..Default::default()
        })
    }

    /// Names the agent; else the server's default agent answers.
    #[must_use]
    pub fn agent(mut self, agent_id: impl Into<String>) -> Self {
        self.message.agent_id = agent_id.into();
        self
    }

    /// Continues a conversation, or begins one by a name of the caller's choice.
    #[must_use]
    pub fn session(mut self, session_id: impl Into<String>) -> Self {
        self.message.session_id = session_id.into();
        self
    }

    /// Names the request, so that a repeat of it acts once: 1 to 128
    /// characters, a UUID advised.
    ///
    /// A request without a name is given one, so that the client itself may
    /// repeat it when the connection was lost.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.message.request_id = request_id.into();
        self
    }

    /// Adds a block to the user's message, after the prompt: an image, a
    /// document, audio.
    #[must_use]
    pub fn content(mut self, block: pb::content_block::Block) -> Self {
        let block = pb::ContentBlock { block: Some(block) };
        self.message.content.push(block);
        self
    }

    /// Answers a tool call of the session's paused turn.
    #[must_use]
    pub fn tool_result(mut self, result: pb::ToolResult) -> Self {
        self.message.tool_results.push(result);
        self
    }

    /// Answers an approval request of the session's paused turn, with a
    /// [`Decision`](crate::Decision) or the message itself.
    #[must_use]
    pub fn decide(mut self, decision: impl Into<pb::ApprovalDecision>) -> Self {
        self.message.approval_decisions.push(decision.into());
        self
    }

    /// Makes the request that goes on with a turn which paused: same agent, settings, headers and
    /// timeout, in the session of `paused`; the answers are still to be added.
    ///
    /// ```
    /// use taiwa_client::{Client, Decision, Error, Reply, Request};
    ///
    /// async fn ask(client: &Client, request: Request) -> Result<Reply, Error> {
    ///     let reply = client.invoke(request.clone()).await?;
    ///     let mut next = request.continuing(&reply.result);
    ///     for asked in &reply.result.pending_approvals {
    ///         next = next.decide(Decision::approve(asked));
    ///     }
    ///     client.invoke(next).await
    /// }
    /// # let _ = ask;
    /// ```
    #[must_use]
    pub fn continuing(&self, paused: &pb::TurnResult) -> Self {
        let message = pb::InvokeRequest {
            session_id: paused.session_id.clone(),
            agent_id: self.message.agent_id.clone(),
            options: self.message.options.clone(),
            stream: self.message.stream,
            ..Default::default()
        };
        Self {
            message,
            call: self.call.clone(),
        }
    }

    /// Names the model, where the agent lets callers choose.
    #[must_use]
    pub fn model(mut self, model_id: impl Into<String>) -> Self {
        self.options_mut().model_id = model_id.into();
        self
    }

    /// Sets the system prompt, where the agent lets callers set it.
    #[must_use]
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.options_mut().system = system.into();
        self
    }

    /// Bounds the tokens generated in one model call.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: i32) -> Self {
        self.options_mut().max_tokens = Some(max_tokens);
        self
    }

    /// Sets the randomness, 0 to 1.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.options_mut().temperature = Some(temperature);
        self
    }

    /// Narrows the agent's own tools to these, by name; all are allowed by default.
    #[must_use]
    pub fn allowed_tools<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.options_mut().allowed_tools.extend(names);
        self
    }

    /// Bounds the cost of the whole turn, in US dollars by the operator's price table; none by
    /// default, which zero means too.
    #[must_use]
    pub fn max_cost_usd(mut self, max_cost_usd: f64) -> Self {
        self.options_mut().max_cost_usd = max_cost_usd;
        self
    }

    /// Says when a person must consent to tool calls: `Always` or `Never`; the agent's own rule
    /// by default, which is never loosened.
    #[must_use]
    pub fn approval(mut self, mode: pb::ApprovalMode) -> Self {
        self.options_mut().set_approval(mode);
        self
    }

    /// Asks for a reply in JSON that fits the schema; it is in
    /// [`pb::TurnResult::output_json`].
    #[must_use]
    pub fn output_schema(mut self, schema: &Value) -> Self {
        self.options_mut().output = Some(pb::OutputFormat {
            json_schema: Some(pb::output_format::JsonSchema::SchemaJson(
                schema.to_string(),
            )),
            ..Default::default()
        });
        self
    }

    /// Replaces all settings of the turn, those set before included.
    #[must_use]
    pub fn options(mut self, options: pb::TurnOptions) -> Self {
        self.message.options = Some(options);
        self
    }

    /// Sets how a stream of events is delivered; `invoke` ignores it.
    #[must_use]
    pub fn stream_options(mut self, stream: pb::StreamOptions) -> Self {
        self.message.stream = Some(stream);
        self
    }

    /// Has the function told when the connection is lost and stands again.
    ///
    /// It is called between two events, and holds them up for as long as it takes.
    #[must_use]
    pub fn on_connection(mut self, observe: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        self.call.observer = Observer::new(observe);
        self
    }

    /// Bounds the whole call, to its last event; none by default.
    ///
    /// All attempts of a call that lost its connection share it.
    ///
    /// Travels to the server as the call's deadline, which holds for the turn
    /// and its model calls too. The client waits a quarter of a second longer
    /// on a stream, so that the server's last event, which keeps what was
    /// said until then, arrives.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout = Some(timeout);
        self
    }

    /// Adds a header to the call, such as `authorization`.
    #[must_use]
    pub fn metadata(mut self, key: MetadataKey<Ascii>, value: MetadataValue<Ascii>) -> Self {
        self.call.metadata.insert(key, value);
        self
    }

    pub(crate) fn options_mut(&mut self) -> &mut pb::TurnOptions {
        self.message.options.get_or_insert_default()
    }
}

impl From<pb::InvokeRequest> for Request {
    fn from(message: pb::InvokeRequest) -> Self {
        Self {
            message,
            call: CallSettings::default(),
        }
    }
}

impl From<&str> for Request {
    fn from(prompt: &str) -> Self {
        Self::new(prompt)
    }
}

impl From<String> for Request {
    fn from(prompt: String) -> Self {
        Self::new(prompt)
    }
}

impl CallSettings {
    /// The deadline of a call that begins at this moment.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.timeout.map(|allowed| Deadline {
            at: Instant::now() + allowed,
            allowed,
        })
    }

    /// What holds for all calls of a stream that begins at this moment.
    pub(crate) fn terms(&self, endpoint: &str, reconnect: &Reconnect) -> Terms {
        Terms {
            endpoint: endpoint.to_owned(),
            deadline: self.deadline(),
            observer: self.observer.clone(),
            reconnect: reconnect.clone(),
        }
    }

    /// Wraps a message in its call.
    pub(crate) fn wrap<M>(&self, message: M, deadline: Option<Deadline>) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.remaining());
        }
        request
    }
}

impl Deadline {
    fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}
