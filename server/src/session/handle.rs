//! A session as calls see it: what it can be asked.

use std::sync::Arc;

use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, TurnOptions,
    command::Started,
    input::{Frame, StreamId, TurnRequest},
};
use tokio::sync::oneshot;

use super::{
    CallFacts,
    inbox::{Claimed, Description, Inbox, Message, Resumption, TurnView},
    progress::Commit,
    reader::{Options, Reader},
    registry::Place,
};
use crate::store::Key;

/// A session, as calls see it.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) agent: Arc<Agent>,
    pub(super) inbox: Inbox,
    pub(super) place: Place,
}

/// The session has ended, or left memory, and another of its name may begin or be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Handle {
    /// The session's name.
    pub fn id(&self) -> &str {
        &self.place.key().session_id
    }

    /// The session's name, and whose it is.
    pub fn key(&self) -> &Key {
        self.place.key()
    }

    /// Agent in charge.
    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// Runs a turn; without options the reader gives the end alone.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, why the turn was refused.
    pub async fn start(
        &self,
        request: TurnRequest,
        options: Option<Options>,
        claimed: Option<Claimed>,
        facts: Arc<CallFacts>,
    ) -> Result<Result<(Started, Reader, Commit), Failure>, Ended> {
        self.ask(|reply| Message::Start {
            request: Box::new(request),
            options,
            claimed,
            facts,
            reply,
        })
        .await
    }

    /// Reads a turn that started before, from its first event.
    ///
    /// Gives no reader for the end alone of a turn that does not run: its record outlives its
    /// events.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that its events are gone.
    pub async fn follow(
        &self,
        started: Started,
        options: Option<Options>,
    ) -> Result<Result<Option<Reader>, Failure>, Ended> {
        self.ask(|reply| Message::Follow {
            started,
            options,
            reply,
        })
        .await
    }

    /// Reads the events after a cursor.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, why there is nothing to read.
    pub async fn resume(
        &self,
        resumption: Resumption,
        options: Options,
    ) -> Result<Result<Reader, Failure>, Ended> {
        self.ask(|reply| Message::Resume {
            resumption,
            options: Box::new(options),
            reply,
        })
        .await
    }

    /// Opens a live conversation, which takes the session's input over; `after` resumes it.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that the cursor is none of its.
    pub async fn open(
        &self,
        options: Options,
        settings: Option<TurnOptions>,
        after: Option<u64>,
        claimed: Option<Claimed>,
        facts: Arc<CallFacts>,
    ) -> Result<Result<(StreamId, Reader, Commit), Failure>, Ended> {
        let settings = settings.map(Box::new);
        self.ask(|reply| Message::Open {
            options: Box::new(options),
            settings,
            after,
            claimed,
            facts,
            reply,
        })
        .await
    }

    /// Brings a frame of a live conversation.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn frame(&self, stream: StreamId, frame: Frame) -> Result<(), Ended> {
        self.tell(Message::Frame {
            stream,
            frame: Box::new(frame),
        })
        .await
    }

    /// Says that no more frames come.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn close_input(&self, stream: StreamId) -> Result<(), Ended> {
        self.tell(Message::InputClosed(stream)).await
    }

    /// Ends a live conversation with a failure; what runs is cancelled or runs on.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn end_stream(
        &self,
        stream: StreamId,
        failure: Failure,
        cancel: bool,
    ) -> Result<(), Ended> {
        self.tell(Message::EndStream {
            stream,
            failure,
            cancel,
        })
        .await
    }

    /// Stops a turn; `None` means the one that runs or is paused.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that there is no such turn, or that the
    /// store failed.
    pub async fn cancel(
        &self,
        turn_id: Option<String>,
    ) -> Result<Result<pb::TurnResult, Failure>, Ended> {
        let answer = self.ask(|reply| Message::Cancel { turn_id, reply }).await?;
        let (result, commit) = match answer {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(commit.done().await.map(|()| result))
    }

    /// Tells how a turn stands; `None` means the newest.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn turn(&self, turn_id: Option<String>) -> Result<Option<TurnView>, Ended> {
        self.ask(|reply| Message::Turn { turn_id, reply }).await
    }

    /// Tells the conversation and the settings.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile.
    pub async fn describe(&self) -> Result<Description, Ended> {
        self.ask(|reply| Message::Describe { reply }).await
    }

    /// Cancels what runs, ends the streams, and forgets the session for good.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that the store failed.
    pub async fn delete(&self) -> Result<Result<(), Failure>, Ended> {
        let commit = self.ask(|reply| Message::Delete { reply }).await?;
        Ok(commit.done().await)
    }

    /// Waits until all that the session has said is in the store.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the session ended meanwhile; inside, that the store failed.
    pub async fn settled(&self) -> Result<Result<(), Failure>, Ended> {
        let commit = self.ask(|reply| Message::Settle { reply }).await?;
        Ok(commit.done().await)
    }

    async fn tell(&self, message: Message) -> Result<(), Ended> {
        if self.inbox.send(message).await {
            Ok(())
        } else {
            Err(Ended)
        }
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply)).await?;
        answer.await.map_err(|_| Ended)
    }
}
