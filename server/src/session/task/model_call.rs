//! The one model call that a session may have open.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use taiwa_core::{Failure, Input, ModelRequest, input::StepId, price::Prices};

use crate::{
    budget::{Accounts, Grant},
    model::bedrock::{Bedrock, ModelStream, Opened},
    session::progress::Commit,
    store::Key,
};

/// A model call in its states.
#[derive(Default)]
pub(super) enum ModelCall {
    /// There is none.
    #[default]
    Idle,
    /// It waits for what it may spend.
    Asking(
        StepId,
        BoxFuture<'static, (Grant, ModelRequest)>,
        Box<Opener>,
    ),
    /// It is being opened.
    Opening(StepId, BoxFuture<'static, Result<Opened, Failure>>),
    /// The model speaks.
    Open(StepId, Box<ModelStream>),
}

/// What a call is opened with.
pub(super) struct Opener {
    pub(super) bedrock: Bedrock,
    pub(super) budgets: Accounts,
    pub(super) prices: Arc<Prices>,
    pub(super) key: Key,
    /// The model is called once the store has what led to the call.
    pub(super) kept: Commit,
}

impl Opener {
    fn open(self, step: StepId, request: ModelRequest) -> ModelCall {
        let opening = async move {
            self.kept.done().await?;
            self.bedrock.open(request).await
        };
        ModelCall::Opening(step, Box::pin(opening))
    }
}

impl ModelCall {
    /// Starts a call, as far as the budgets that it shares with others allow.
    pub(super) fn start(opener: Opener, step: StepId, request: ModelRequest) -> Self {
        if !opener.budgets.limit(&opener.key) {
            return opener.open(step, request);
        }
        let (budgets, prices) = (opener.budgets.clone(), Arc::clone(&opener.prices));
        let key = opener.key.clone();
        let asking = async move {
            let grant = budgets.reserve(&key, step, &request, &prices).await;
            (grant, request)
        };
        Self::Asking(step, Box::pin(asking), Box::new(opener))
    }

    /// Waits for what the call says next; for ever when there is none.
    ///
    /// # Cancel safety
    ///
    /// The opening is polled by reference, and the stream's `next` is cancel-safe.
    pub(super) async fn next(&mut self) -> Input {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Asking(step, asking, _) => {
                let step = *step;
                let (grant, request) = asking.as_mut().await;
                self.granted(step, grant, request)
            }
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

    /// Goes on with what a shared budget allows.
    fn granted(&mut self, step: StepId, grant: Grant, mut request: ModelRequest) -> Input {
        let Self::Asking(_, _, opener) = std::mem::take(self) else {
            return Input::ModelRefused(step);
        };
        let (max_tokens, watched_tokens) = match grant {
            Grant::Refused => return Input::ModelRefused(step),
            Grant::Free => (None, None),
            Grant::Limited {
                max_tokens,
                watched_tokens,
            } => (max_tokens, watched_tokens),
        };
        request.max_tokens = max_tokens.or(request.max_tokens);
        *self = opener.open(step, request);
        Input::ModelAllowed {
            step,
            max_tokens,
            watched_tokens,
        }
    }

    /// True while it is not known what the call may spend.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Asking(..))
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
            Self::Asking(..) | Self::Opening(..) | Self::Idle => None,
        }
    }

    fn is(&self, step: StepId) -> bool {
        match self {
            Self::Idle => false,
            Self::Asking(current, ..) | Self::Opening(current, _) | Self::Open(current, _) => {
                *current == step
            }
        }
    }
}
