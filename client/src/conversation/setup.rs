//! How a conversation is opened.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataKey, MetadataValue};

use crate::{Connection, Tools, pb, reconnect::Observer, request::CallSettings};

/// How a conversation is opened; the default talks to the server's default
/// agent in a fresh session.
///
/// What has no method here is set on the message itself:
/// `Setup::from(pb::SessionSetup { … })`.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(crate) message: pb::SessionSetup,
    pub(crate) call: CallSettings,
    pub(crate) acks: bool,
}

impl Setup {
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

    /// Says what becomes of input that arrives while a turn runs; it waits by default.
    #[must_use]
    pub fn input_policy(mut self, policy: pb::InputPolicy) -> Self {
        self.message.set_input_policy(policy);
        self
    }

    /// Replaces the settings for the turns of the session.
    #[must_use]
    pub fn options(mut self, options: pb::TurnOptions) -> Self {
        self.message.options = Some(options);
        self
    }

    /// Declares tools that the client runs; give them to
    /// [`Conversation::answer_with`](crate::Conversation::answer_with) too.
    #[must_use]
    pub fn tools(mut self, tools: &Tools) -> Self {
        let options = self.message.options.get_or_insert_default();
        options.client_tools.extend(tools.specs());
        self
    }

    /// Sets how events are delivered.
    #[must_use]
    pub fn stream_options(mut self, stream: pb::StreamOptions) -> Self {
        self.message.stream = Some(stream);
        self
    }

    /// Resumes a session that exists: its events after this one come first, then live ones; zero
    /// means all that are kept.
    ///
    /// The first event then is [`Payload::StreamResumed`](crate::Payload::StreamResumed), which
    /// says whether some are gone.
    #[must_use]
    pub fn resume_after(mut self, sequence: i64) -> Self {
        self.message.resume_after_sequence = Some(sequence);
        self
    }

    /// Tells the server now and then which events have arrived, at the end of each turn and every
    /// 256 events, so that it may forget them; off by default.
    ///
    /// For a client that is the session's only reader: what it has handled, no other can replay.
    /// Those who keep a cursor of their own tell the server by
    /// [`Sender::ack`](crate::Sender::ack) instead.
    #[must_use]
    pub fn acks(mut self, on: bool) -> Self {
        self.acks = on;
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

    /// Bounds the whole conversation, all its turns together; none by default.
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
}

impl From<pb::SessionSetup> for Setup {
    fn from(message: pb::SessionSetup) -> Self {
        Self {
            message,
            call: CallSettings::default(),
            acks: false,
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::from(pb::SessionSetup::default())
    }
}
