//! Conversations that the server keeps, as methods of the client.

use crate::{Client, Error, pb, request::CallSettings};

impl Client {
    /// Creates a session ahead of use, to seed its history, label it or set its lifetime.
    ///
    /// Sessions that a turn names are made on first use, so most callers need this not. A request
    /// without a `request_id` is given one, so that the client may repeat it.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when a session of that id exists, or the request is refused.
    pub async fn create_session(
        &self,
        mut request: pb::CreateSessionRequest,
    ) -> Result<pb::Session, Error> {
        self.name(&mut request.request_id);
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.sessions.clone();
            async move { stub.create_session(request).await }
        });
        let missing = Error::Contract("an answer to CreateSession has no session");
        answer.await?.session.ok_or(missing)
    }

    /// Reads one session: its state, settings and counts.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND`.
    pub async fn session(&self, session_id: impl Into<String>) -> Result<pb::Session, Error> {
        let request = pb::GetSessionRequest {
            session_id: session_id.into(),
        };
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.sessions.clone();
            async move { stub.get_session(request).await }
        });
        let missing = Error::Contract("an answer to GetSession has no session");
        answer.await?.session.ok_or(missing)
    }

    /// Lists the caller's sessions that fit, newest update first, over all pages.
    ///
    /// Holds them all; [`session_page`](Self::session_page) gives them by and by.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the server refuses.
    pub async fn sessions(
        &self,
        mut request: pb::ListSessionsRequest,
    ) -> Result<Vec<pb::Session>, Error> {
        let mut sessions = Vec::new();
        loop {
            let page = self.session_page(request.clone()).await?;
            sessions.extend(page.sessions);
            if page.next_page_token.is_empty() {
                return Ok(sessions);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Lists a page of the caller's sessions.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the server refuses; [`Error::Contract`] when the page leads to itself.
    pub async fn session_page(
        &self,
        request: pb::ListSessionsRequest,
    ) -> Result<pb::ListSessionsResponse, Error> {
        let token = request.page_token.clone();
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.sessions.clone();
            async move { stub.list_sessions(request).await }
        });
        let page = answer.await?;
        leads_on(&token, &page.next_page_token)?;
        Ok(page)
    }

    /// Lists all messages of a session, oldest first.
    ///
    /// Holds them all, images included; [`message_page`](Self::message_page) gives them by and by.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND`.
    pub async fn messages(&self, session_id: impl Into<String>) -> Result<Vec<pb::Message>, Error> {
        let mut messages = Vec::new();
        let mut request = pb::ListMessagesRequest {
            session_id: session_id.into(),
            ..Default::default()
        };
        loop {
            let page = self.message_page(request.clone()).await?;
            messages.extend(page.messages);
            if page.next_page_token.is_empty() {
                return Ok(messages);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Lists a page of the messages of a session, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with `SESSION_NOT_FOUND`; [`Error::Contract`] when the page leads to itself.
    pub async fn message_page(
        &self,
        request: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Error> {
        let token = request.page_token.clone();
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.sessions.clone();
            async move { stub.list_messages(request).await }
        });
        let page = answer.await?;
        leads_on(&token, &page.next_page_token)?;
        Ok(page)
    }

    /// Cancels the session's turns and forgets its messages and events.
    ///
    /// A session that does not exist is as good as deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when the server refuses.
    pub async fn delete_session(&self, session_id: impl Into<String>) -> Result<(), Error> {
        let request = pb::DeleteSessionRequest {
            session_id: session_id.into(),
        };
        let answer = self.ask(CallSettings::default(), request, |request| {
            let mut stub = self.sessions.clone();
            async move { stub.delete_session(request).await }
        });
        answer.await.map(|pb::DeleteSessionResponse {}| ())
    }
}

/// Refuses a page whose next is itself, which would never end.
fn leads_on(token: &str, next: &str) -> Result<(), Error> {
    if next.is_empty() || next != token {
        return Ok(());
    }
    Err(Error::Contract("a page leads to itself"))
}
