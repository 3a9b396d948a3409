//! What a server is configured with, checked and typed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{agents::Agents, model::bedrock, session, transport};

/// What a server is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The agents that it offers.
    pub agents: Arc<Agents>,
    /// How Bedrock is reached.
    pub bedrock: bedrock::Config,
    /// The simulator to run in this process and to talk to in place of Bedrock, if any.
    pub offline: Option<taiwa_simulator::Config>,
    /// Bounds of connections.
    pub transport: transport::Config,
    /// Bounds of sessions.
    pub sessions: session::Config,
    /// Largest request or frame, in bytes.
    pub max_message_bytes: usize,
    /// How long what runs may take to finish when the server stops.
    pub shutdown_grace: Duration,
}
