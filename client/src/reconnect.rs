//! How a call that lost its connection is taken up again, and how its user sees that.

use std::{fmt, sync::Arc, time::Duration};

use crate::Error;

/// How calls that lost their connection are taken up again.
///
/// What is lost is tried again after a random time between nothing and a bound, which doubles
/// with every failure in a row, so that the clients of a server that restarts do not come back
/// all at once. A wait that the server asks for is kept to. Whatever arrives begins the count anew,
/// and the deadline of a call holds for all its attempts together.
///
/// Only failures of the way are tried again: a connection that is refused or breaks, a server
/// that stops or cannot reach its store, a reader that was too slow. What the turn itself came to
/// is told as it is.
///
/// ```
/// use std::time::Duration;
/// use taiwa_client::{Client, Reconnect};
///
/// let patient = Reconnect::default().attempts(100).within(Duration::from_secs(3600));
/// let builder = Client::builder("http://127.0.0.1:50051").reconnect(patient);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Reconnect {
    pub(crate) attempts: u32,
    pub(crate) within: Duration,
    pub(crate) first_delay: Duration,
    pub(crate) max_delay: Duration,
}

/// What becomes of the connection behind a call, as
/// [`Request::on_connection`](crate::Request::on_connection) and
/// [`Setup::on_connection`](crate::Setup::on_connection) are told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Connection {
    /// It is lost, and will be tried again.
    Reconnecting {
        /// Which attempt comes next, from 1; counts on until something arrives.
        attempt: u32,
        /// What was lost, or why it could not be had again.
        cause: Error,
        /// How long until that attempt.
        delay: Duration,
    },
    /// It stands again, and the stream goes on where it was.
    Resumed {
        /// Events that are gone for good, which the stream tells as
        /// [`Error::EventsLost`]; zero, most of the time.
        missing_events: i64,
    },
}

/// Whoever wants to know what becomes of a connection.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<dyn Fn(Connection) + Send + Sync>>);

impl Reconnect {
    /// Leaves a call as it ended: nothing is repeated, resumed or sent again.
    pub fn off() -> Self {
        Self {
            attempts: 0,
            ..Self::default()
        }
    }

    /// Bounds the failures in a row; default 12, zero is [`off`](Self::off).
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Bounds the time from the first failure in a row to the last attempt; default 60 s.
    ///
    /// A server keeps events for its replay window, and a client that comes back later has lost some.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Sets the bound of the first wait, and what it grows to; default 100 ms and 5 s.
    pub fn delays(mut self, first: Duration, max: Duration) -> Self {
        self.first_delay = first;
        self.max_delay = max;
        self
    }

    pub(crate) fn is_on(&self) -> bool {
        self.attempts > 0
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            attempts: 12,
            within: Duration::from_secs(60),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
        }
    }
}

impl Observer {
    pub(crate) fn new(observe: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observe)))
    }

    pub(crate) fn tell(&self, news: Connection) {
        if let Some(observe) = &self.0 {
            observe(news);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
