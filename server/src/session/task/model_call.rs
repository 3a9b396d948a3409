//! The one model call that a session may have open.

use futures_util::future::BoxFuture;
use taiwa_core::{Failure, Input, ModelRequest, input::StepId};

use crate::model::bedrock::{Bedrock, ModelStream, Opened};
use crate::session::progress::Commit;

/// A model call in its states.
#[derive(Default)]
pub(super) enum ModelCall {
    /// There is none.
    #[default]
    Idle,
    /// It is being opened.
    Opening(StepId, BoxFuture<'static, Result<Opened, Failure>>),
    /// The model speaks.
    Open(StepId, Box<ModelStream>),
}

impl ModelCall {
    /// Starts a call.
    ///
    /// The model is called once the store has what led to the call.
    pub(super) fn start(
        bedrock: &Bedrock,
        step: StepId,
        request: ModelRequest,
        kept: Commit,
    ) -> Self {
        let bedrock = bedrock.clone();
        let opening = async move {
            kept.done().await?;
            bedrock.open(request).await
        };
        Self::Opening(step, Box::pin(opening))
    }

    /// Waits for what the call says next; for ever when there is none.
    ///
    /// # Cancel safety
    ///
    /// The opening is polled by reference, and the stream's `next` is cancel-safe.
    pub(super) async fn next(&mut self) -> Input {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Opening(step, opening) => {
                let step = *step;
                match opening.as_mut().await {
                    Ok(Opened { stream, retries }) => {
                        *self = Self::Open(step, Box::new(stream));
                        Input::ModelOpened { step, retries }
                    }
                    Err(failure) => {
                        *self = Self::Idle;
                        Input::ModelFailed { step, failure }
                    }
                }
            }
            Self::Open(step, stream) => {
                let step = *step;
                match stream.next().await {
                    Some(Ok(event)) => Input::Model { step, event },
                    Some(Err(failure)) => {
                        *self = Self::Idle;
                        Input::ModelFailed { step, failure }
                    }
                    None => {
                        *self = Self::Idle;
                        Input::ModelEnded(step)
                    }
                }
            }
        }
    }

    /// Closes the call, if it is this one: dropping it closes its connection.
    pub(super) fn abort(&mut self, step: StepId) {
        if self.is(step) {
            *self = Self::Idle;
        }
    }

    /// Gives the stream of a call whose message is whole.
    pub(super) fn finish(&mut self, step: StepId) -> Option<Box<ModelStream>> {
        if !self.is(step) {
            return None;
        }
        match std::mem::take(self) {
            Self::Open(_, stream) => Some(stream),
            Self::Opening(..) | Self::Idle => None,
        }
    }

    fn is(&self, step: StepId) -> bool {
        match self {
            Self::Idle => false,
            Self::Opening(current, _) | Self::Open(current, _) => *current == step,
        }
    }
}
