//! What the server asks of us and tells us.
#![expect(
    deprecated,
    reason = "servers of older versions ask for sampling and roots, and log"
)]

use std::sync::Arc;

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
        ElicitRequestParams, ElicitResult, ErrorCode, ErrorData, Implementation, ListRootsResult,
        LoggingMessageNotificationParam, ProgressNotificationParam,
    },
    service::{NotificationContext, RequestContext},
};

use super::link::Link;

/// Longest message of a server that is logged, in bytes.
const MAX_LOGGED_BYTES: usize = 1024;

/// Our side of a connection: it has no model, no roots and no user to offer, and says so.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    link: Arc<Link>,
}

impl Handler {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    fn decline<T>(&self, method: &'static str) -> Result<T, ErrorData> {
        tracing::warn!(
            server = %self.link.name, method,
            "declined what the MCP server asked for: it is not supported, and was not offered"
        );
        let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None);
        Err(error)
    }
}

impl ClientHandler for Handler {
    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.decline("sampling/createMessage")
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        self.decline("roots/list")
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.decline("elicitation/create")
    }

    async fn on_progress(
        &self,
        news: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.link.report(&news);
    }

    async fn on_logging_message(
        &self,
        message: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let mut text = message.data.to_string();
        text.truncate(text.floor_char_boundary(MAX_LOGGED_BYTES));
        let level = message.level;
        tracing::debug!(server = %self.link.name, ?level, "the MCP server says: {text}");
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.link.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("taiwa", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }
}
