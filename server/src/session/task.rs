//! The task that drives one session: it owns the decisions, the model call and the log's write side.

mod attach;
mod begin;
mod keep;
mod model_call;
mod outputs;
mod pace;
mod runs;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use taiwa_core::{
    Agent, Failure, Input, Reason, Session,
    command::Started,
    input::{CallId, CancelCause, StreamId},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Sleep},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tracing::{debug, error};

pub(super) use self::begin::{Origin, Parts};
use self::{
    model_call::ModelCall,
    runs::{Facts, Runs},
};
use super::{
    CallFacts, Config,
    inbox::{Cancelled, Claimed, Description, Gone, Inbox, Message, TurnView},
    log::{Entry, Log, ReaderId},
    progress::{Commit, Progress},
    reader::{Options, Reader},
    registry::Place,
};
use crate::{
    budget::Accounts,
    grpc::convert::event::{self, Encoder},
    model::bedrock::Bedrock,
    store::{Fence, Head, Store, Write},
    tools::{Offer, run::Said},
};

/// The log of a session, with what follows for it when a reader goes.
pub(super) type SessionLog = Log<Gone>;

struct Task {
    session: Session,
    agent: Arc<Agent>,
    bedrock: Bedrock,
    config: Arc<Config>,
    place: Place,
    tracker: TaskTracker,
    turns: TaskTracker,
    /// Held while a turn runs.
    running: Option<TaskTrackerToken>,
    log: Arc<SessionLog>,
    store: Store,
    fence: Fence,
    /// Batches handed to the store, and how many of them it has.
    batches: u64,
    progress: Arc<Progress>,
    /// What goes into the next batch: events, and all else.
    said: Vec<Entry>,
    writes: Vec<Write>,
    /// Nothing was said in it that would be worth keeping: a first request may be refused.
    is_held_back: bool,
    /// How long the session is kept after its last use.
    ttl: Duration,
    /// Tokens of all ended turns.
    input_tokens: u64,
    output_tokens: u64,
    /// Events up to this one are gone from the store.
    trimmed: u64,
    /// How the store has it, and since when.
    head: Option<(Head, Instant)>,
    /// When what is kept for replay goes.
    replay_until: Option<Instant>,
    encoder: Encoder,
    inbox: Inbox,
    model: ModelCall,
    /// Tools that run.
    runs: Runs,
    /// What the agent is offered, where it has tools.
    offers: Option<watch::Receiver<Arc<Offer>>>,
    /// What is known of the call that asked for the turn, and of open streams.
    facts: Facts,
    /// What budgets that several turns share have to say, to be told to the session.
    answers: VecDeque<Input>,
    budgets: Accounts,
    /// Since when a slow reader holds the model.
    held_since: Option<Instant>,
    quiet_since: Option<Instant>,
    draining: bool,
    calls: u64,
    starting: BTreeMap<CallId, Starting>,
    cancelling: BTreeMap<CallId, oneshot::Sender<Cancelled>>,
    streams: BTreeMap<StreamId, ReaderId>,
    /// Streams that end after the events so far.
    ending: Vec<StreamId>,
}

/// A call that waits for its turn to start.
struct Starting {
    options: Option<Options>,
    claimed: Option<Claimed>,
    facts: Arc<CallFacts>,
    reply: oneshot::Sender<Result<(Started, Reader, Commit), Failure>>,
}

/// What woke the task.
enum Happened {
    Message(Option<Message>),
    Model(Input),
    Tool(Said),
    Writable,
    TimePassed,
    /// The store did not take a batch: what it has is how things stand.
    StoreFailed(Failure),
}

/// Starts the task of a session; gives the way to it, and its first batch.
pub(super) fn start(parts: Parts) -> (Inbox, Commit) {
    let (inbox, rx) = Inbox::new();
    let place = parts.place.clone();
    let tracker = parts.tracker.clone();
    let budgets = parts.budgets.clone();
    let task = Task::new(parts, inbox.clone());
    let log = Arc::clone(&task.log);
    let first = task.next_commit();
    tracker.spawn(async move {
        let ended = std::panic::AssertUnwindSafe(task.run(rx))
            .catch_unwind()
            .await;
        budgets.release(place.key());
        place.leave();
        if ended.is_err() {
            error!(session.id = %place.key().session_id, "a session panicked");
        }
        log.close(Failure::internal());
    });
    (inbox, first)
}

impl Task {
    async fn run(mut self, mut rx: mpsc::Receiver<Message>) {
        let mut sleep = Box::pin(tokio::time::sleep(self.config.session_idle_timeout));
        // One that begins is kept together with what it is first asked: kept before, and without
        // the request that began it, it would be begun anew by the request's repeat. What a
        // process left unfinished is ended or begun.
        self.carry_out();
        self.finish_output();
        self.note_quiet();
        let progress = Arc::clone(&self.progress);
        loop {
            self.arm(&mut sleep);
            let happened = tokio::select! {
                // Cancels and frames win over a busy model, and time over both kinds of silence.
                biased;
                failure = progress.failed() => Happened::StoreFailed(failure),
                message = rx.recv() => Happened::Message(message),
                () = &mut sleep => Happened::TimePassed,
                said = self.runs.next() => Happened::Tool(said),
                () = self.log.writable(), if self.held_since.is_some() => Happened::Writable,
                input = self.model.next(), if self.held_since.is_none() => Happened::Model(input),
            };
            match happened {
                Happened::Message(None) => return,
                Happened::StoreFailed(failure) => {
                    // What a stopping server could no longer write nobody was told of.
                    if failure.reason != Reason::ShuttingDown {
                        error!(session.id = %self.session.id(), %failure, "the store failed a session");
                    }
                    return self.leave(rx, Some(failure)).await;
                }
                Happened::Message(Some(Message::Delete { reply })) => {
                    self.delete(reply);
                    return self.leave(rx, None).await;
                }
                Happened::Message(Some(Message::Forget)) => {
                    if self.is_quiet() {
                        return self.leave(rx, None).await;
                    }
                }
                Happened::Message(Some(message)) => self.take(message),
                Happened::Model(input) => {
                    self.take_ready(input);
                }
                Happened::Tool(said) => self.take_said(said),
                Happened::Writable => self.release(),
                Happened::TimePassed => {
                    self.handle(Input::Tick);
                    self.cut_laggards();
                    self.forget_replay();
                    self.touch();
                    if self.is_forgotten() {
                        return self.leave(rx, None).await;
                    }
                }
            }
            self.note_quiet();
        }
    }

    /// Makes way for a session of the same name, then answers who came too late for this one.
    async fn leave(&mut self, mut rx: mpsc::Receiver<Message>, failure: Option<Failure>) {
        // Whoever loads it next finds all that was said; a failure was told to those it concerns.
        let _ = self.last_commit().done().await;
        self.place.leave();
        rx.close();
        // A sender that is not answered tries again, which helps where the store is in order, or
        // the session begins anew.
        let failure = failure.filter(|failure| failure.reason != Reason::SessionEnded);
        while let Some(message) = rx.recv().await {
            if let Some(failure) = &failure {
                message.refuse(failure);
            }
        }
        debug!(session.id = %self.session.id(), events = self.log.last_sequence(), "session ended");
    }

    /// Cancels what runs, ends the streams, and has the store forget the session.
    fn delete(&mut self, reply: oneshot::Sender<Commit>) {
        self.handle(Input::Cancel {
            call: None,
            turn_id: None,
            cause: CancelCause::Requested,
        });
        self.send(vec![Write::Delete]);
        let failure = Failure::new(Reason::SessionEnded, "the session was deleted");
        self.log.close(failure);
        // A caller that went meanwhile has nothing to be told.
        let _ = reply.send(self.last_commit());
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start {
                request,
                options,
                claimed,
                facts,
                reply,
            } => {
                let call = self.next_call();
                let starting = Starting {
                    options,
                    claimed,
                    facts,
                    reply,
                };
                self.starting.insert(call, starting);
                self.handle(Input::Start { call, request });
            }
            Message::Follow {
                started,
                options,
                reply,
            } => {
                // When the caller is gone, the reader in the reply is dropped and says so.
                let _ = reply.send(self.follow_again(&started, options));
            }
            Message::Resume {
                resumption,
                options,
                reply,
            } => {
                // As above.
                let _ = reply.send(self.resume(resumption, *options));
            }
            Message::Open {
                options,
                settings,
                after,
                claimed,
                facts,
                reply,
            } => {
                // As above.
                let _ = reply.send(self.open(*options, settings, after, claimed, facts));
            }
            Message::Frame { stream, frame } => self.handle(Input::Frame { stream, frame }),
            Message::InputClosed(stream) => self.handle(Input::InputClosed(stream)),
            Message::EndStream {
                stream,
                failure,
                cancel,
            } => {
                if let Some(reader) = self.streams.remove(&stream) {
                    self.facts.forget(stream);
                    self.handle(Input::StreamGone { stream, cancel });
                    self.log.end(reader, Some(failure));
                }
            }
            Message::Gone(Some(gone)) => self.follow_gone(gone, CancelCause::CallerGone),
            // The loop looks whether the session is quiet.
            Message::Gone(None) => {}
            Message::Cancel { turn_id, reply } => {
                let call = self.next_call();
                self.cancelling.insert(call, reply);
                let cause = CancelCause::Requested;
                self.handle(Input::Cancel {
                    call: Some(call),
                    turn_id,
                    cause,
                });
            }
            Message::Turn { turn_id, reply } => {
                let result = self.session.turn(turn_id.as_deref(), now());
                let view = result.map(|result| TurnView {
                    status: result.status,
                    result: event::turn_result(&result),
                    failure: result.failure,
                });
                // A caller that went meanwhile has nothing to be told.
                let _ = reply.send(view);
            }
            Message::Describe { reply } => {
                let description = Description {
                    messages: self.session.history().sent(),
                    options: self.session.options().clone(),
                };
                // A caller that went meanwhile has nothing to be told.
                let _ = reply.send(description);
            }
            Message::Settle { reply } => {
                self.flush();
                // A caller that went meanwhile has nothing to be told.
                let _ = reply.send(self.last_commit());
            }
            Message::Shutdown { time_left } => {
                self.draining = true;
                self.announce_end(time_left);
                self.handle(Input::Shutdown);
            }
            Message::Kill => {
                self.draining = true;
                self.handle(Input::Kill);
            }
            // Decided by the loop, which alone can end.
            Message::Forget | Message::Delete { .. } => {}
        }
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn follow_gone(&mut self, gone: Gone, cause: CancelCause) {
        match gone {
            Gone::Turn(turn_id) => {
                let turn_id = Some(turn_id.to_string());
                self.handle(Input::Cancel {
                    call: None,
                    turn_id,
                    cause,
                });
            }
            Gone::Stream { stream, cancel } => {
                self.streams.remove(&stream);
                self.facts.forget(stream);
                self.handle(Input::StreamGone { stream, cancel });
            }
        }
    }

    /// Sets the timer to what is due first.
    fn arm(&self, sleep: &mut std::pin::Pin<Box<Sleep>>) {
        let due = [
            self.session.deadline().map(Instant::from_std),
            self.quiet_since.map(|since| since + self.idle_timeout()),
            self.held_since
                .map(|since| since + self.config.reader_stall_timeout),
            self.replay_until,
            self.next_touch(),
        ];
        let due = due.into_iter().flatten().min();
        // A timer that fires early only looks again, so it is moved only to an earlier time, or
        // when it has fired: each event of a model moves the deadline, and most to a later time.
        match due {
            Some(due) if due < sleep.deadline() || sleep.is_elapsed() => {
                sleep.as_mut().reset(due);
            }
            None if sleep.is_elapsed() => {
                sleep.as_mut().reset(Instant::now() + FAR);
            }
            Some(_) | None => {}
        }
    }

    /// Counts the time for which events are kept from the end of the last turn.
    pub(super) fn note_replay(&mut self) {
        if !self.session.is_idle() {
            self.replay_until = None;
        } else if self.replay_until.is_none() && self.log.oldest() <= self.log.last_sequence() {
            self.replay_until = Some(Instant::now() + self.config.replay_window);
        }
    }

    /// Drops what was kept for replay, once its time is over.
    fn forget_replay(&mut self) {
        if self
            .replay_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.replay_until = None;
            self.log.forget(u64::MAX);
            if let Some(trim) = self.trim() {
                self.send(vec![trim]);
            }
        }
    }

    /// How long it stays in memory while it is quiet.
    ///
    /// One that has expired by then has to be looked for, so that it is found to be gone.
    fn idle_timeout(&self) -> Duration {
        self.config.session_idle_timeout.min(self.ttl)
    }

    fn is_quiet(&self) -> bool {
        self.session.is_quiet() && self.log.has_no_readers()
    }

    fn note_quiet(&mut self) {
        let was_quiet = self.quiet_since.is_some();
        let quiet = self.is_quiet();
        if quiet != was_quiet {
            self.touch();
            self.quiet_since = quiet.then(Instant::now);
            self.place.note_quiet(quiet);
        }
    }

    fn is_forgotten(&self) -> bool {
        self.quiet_since
            .is_some_and(|since| since.elapsed() >= self.idle_timeout())
    }
}

/// A wait that nothing needs; the timer is moved before it.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// The time, as the core takes it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
