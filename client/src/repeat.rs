//! Asks again where the answer to a unary call was lost on the way.

use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

use crate::{
    Error, ServerError,
    backoff::{Backoff, random_share},
    end::End,
    line::Terms,
    reconnect::Connection,
};

/// How the last attempt failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) status: Status,
    /// How an earlier attempt broke off, whose question the server may have got.
    pub(crate) broken: Option<Status>,
}

/// Asks until there is an answer, or a failure that will not pass.
///
/// What is asked must act once however often the server gets it.
pub(crate) async fn repeat<A, Asking>(terms: &Terms, ask: impl Fn() -> Asking) -> Result<A, Failed>
where
    Asking: Future<Output = Result<Response<A>, Status>>,
{
    let mut backoff = Backoff::new(terms.reconnect.clone());
    let mut broken = None;
    loop {
        let status = match ask().await {
            Ok(response) => {
                if backoff.failures() > 0 {
                    let missing_events = 0;
                    terms.observer.tell(Connection::Resumed { missing_events });
                }
                return Ok(response.into_inner());
            }
            Err(status) => status,
        };
        let end = End::of(status.clone());
        let now = Instant::now();
        let delay = if end.may_pass() && !is_of_a_turn(&status) {
            backoff.delay(now, random_share(), end.retry_delay())
        } else {
            None
        };
        let in_time = |delay| {
            terms
                .deadline
                .is_none_or(|deadline| now + delay < deadline.at)
        };
        let Some(delay) = delay.filter(|&delay| in_time(delay)) else {
            return Err(Failed { status, broken });
        };
        let cause = Error::opening(status.clone(), &terms.endpoint, terms.deadline);
        terms.observer.tell(Connection::Reconnecting {
            attempt: backoff.failures(),
            cause,
            delay,
        });
        if let End::Broken(status) = end {
            broken = Some(status);
        }
        sleep(delay).await;
    }
}

/// A turn that was started and failed, which it does again for whoever asks again.
fn is_of_a_turn(status: &Status) -> bool {
    ServerError::from(status).metadata.contains_key("turn_id")
}
