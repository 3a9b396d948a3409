//! Readers that come: to a turn, to a session, and back after a cut.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use taiwa::v1 as pb;
use taiwa_core::{
    Failure, Input, Reason, TurnOptions, TurnStatus,
    command::Started,
    input::{Frame, FrameBody, StreamId},
};

use super::{Task, now};
use crate::{
    grpc::convert::event,
    session::{
        CallFacts,
        inbox::{Claimed, Gone, Resumption},
        kept,
        log::{Attachment, Interest},
        progress::Commit,
        reader::{Follows, OnGone, Options, Reader},
    },
};

impl Task {
    /// Opens a live conversation, whose stream takes the session's input over.
    pub(super) fn open(
        &mut self,
        options: Options,
        settings: Option<Box<TurnOptions>>,
        after: Option<u64>,
        claimed: Option<Claimed>,
        facts: Arc<CallFacts>,
    ) -> Result<(StreamId, Reader, Commit), Failure> {
        let newest = self.log.committed();
        if let Some(after) = after {
            check_cursor("setup.resume_after_sequence", after, newest)?;
        }
        let stream = StreamId(self.next_call().0);
        let cancel = options.on_gone == OnGone::Cancel;
        let attachment = Attachment {
            after: after.unwrap_or(newest),
            lenient: after.is_some(),
            interest: Interest::Everything,
            paces: options.paces,
            on_gone: Some(Gone::Stream { stream, cancel }),
        };
        let reader = Reader::attach(
            &self.log,
            self.inbox.clone(),
            Follows::Session,
            attachment,
            options,
        );
        let ready = event::session_ready(self.welcome(newest), SystemTime::now());
        self.log.notify(reader.id(), |_| event::encode(&ready));
        if let Some(after) = after {
            self.announce_replay(&reader, after, newest, reader.missing());
        }
        self.streams.insert(stream, reader.id());
        self.facts.note_stream(stream, facts);
        if let Some(claimed) = claimed {
            let session_id = &self.place.key().session_id;
            self.writes.push(kept::request(claimed, session_id, None));
        }
        self.handle(Input::StreamOpened(stream));
        if let Some(settings) = settings {
            let body = FrameBody::Update {
                options: settings,
                replace_client_tools: false,
            };
            let frame = Box::new(Frame {
                id: None,
                digest: [0; 32],
                body,
            });
            self.handle(Input::Frame { stream, frame });
        }
        self.flush();
        Ok((stream, reader, self.last_commit()))
    }

    /// Reads events again: those after a cursor, and those that come.
    pub(super) fn resume(
        &mut self,
        resumption: Resumption,
        options: Options,
    ) -> Result<Reader, Failure> {
        let mut newest = self.log.committed();
        let after = resumption.after;
        check_cursor("after_sequence", after, newest)?;
        let mut interest = Interest::Everything;
        let mut follows = Follows::Session;
        let mut end = None;
        if resumption.replay_only {
            // What is said and not yet kept is there, too: a restart may just have ended a turn.
            newest = self.log.last_sequence();
            end = Some((newest, None));
        }
        if let Some(turn_id) = &resumption.turn_id {
            let turn = self.standing(turn_id).ok_or_else(|| no_turn(turn_id))?;
            interest = Interest::Turn(Arc::clone(&turn.turn_id));
            // Ends so far are those of earlier parts.
            let mut ends_from = self.log.last_sequence() + 1;
            if let Some((last_sequence, failure)) = turn.end {
                ends_from = last_sequence;
                if after >= last_sequence {
                    end = Some((after, failure));
                } else if last_sequence < self.log.oldest() {
                    return Err(kept::replay_expired(self.session.id(), turn_id));
                }
            }
            follows = Follows::Turn {
                turn_id: turn.turn_id,
                ends_from,
            };
        }
        let attachment = Attachment {
            after,
            lenient: true,
            interest,
            paces: options.paces,
            on_gone: None,
        };
        let reader = Reader::attach(&self.log, self.inbox.clone(), follows, attachment, options);
        let missing = match &resumption.turn_id {
            Some(turn_id) if self.log.has_begin_of(turn_id) => 0,
            Some(_) | None => reader.missing(),
        };
        self.announce_replay(&reader, after, newest, missing);
        if let Some((after, failure)) = end {
            self.log.end_after(reader.id(), after, failure);
        }
        Ok(reader)
    }

    /// How a turn stands by what the session remembers, and else by what the log keeps.
    fn standing(&self, turn_id: &str) -> Option<Standing> {
        if let Some(turn) = self.session.turn(Some(turn_id), now()) {
            let is_running = turn.status == TurnStatus::Running;
            return Some(Standing {
                turn_id: turn.turn_id,
                end: (!is_running).then_some((turn.last_sequence, turn.failure)),
            });
        }
        let (last_sequence, end) = self.log.end_of(turn_id)?;
        Some(Standing {
            turn_id: Arc::clone(&end.turn_id),
            end: Some((last_sequence, end.failure.clone())),
        })
    }

    /// Reads a turn from its first event, as the call that started it does.
    pub(super) fn follow(&self, started: &Started, options: Option<Options>) -> Reader {
        let turn_id = Arc::clone(&started.turn_id);
        let interest = match &options {
            Some(_) => Interest::Turn(Arc::clone(&turn_id)),
            None => Interest::EndOf(Arc::clone(&turn_id)),
        };
        let options = options.unwrap_or_else(Options::end_alone);
        let cancels = options.on_gone == OnGone::Cancel;
        let attachment = Attachment {
            after: started.first_sequence - 1,
            lenient: false,
            interest,
            paces: options.paces,
            on_gone: cancels.then(|| Gone::Turn(Arc::clone(&turn_id))),
        };
        let follows = Follows::Turn {
            turn_id,
            ends_from: started.first_sequence,
        };
        Reader::attach(&self.log, self.inbox.clone(), follows, attachment, options)
    }

    /// As [`Task::follow`], for a repeat of the request; no reader for the end alone of a turn
    /// that does not run.
    pub(super) fn follow_again(
        &self,
        started: &Started,
        options: Option<Options>,
    ) -> Result<Option<Reader>, Failure> {
        let standing = self.standing(&started.turn_id);
        let runs = standing.as_ref().is_some_and(|turn| turn.end.is_none());
        if options.is_none() && !runs {
            return Ok(None);
        }
        if standing.is_none() {
            return Err(no_turn(&started.turn_id));
        }
        if options.is_some() && self.log.oldest() > started.first_sequence {
            return Err(kept::replay_expired(self.session.id(), &started.turn_id));
        }
        Ok(Some(self.follow(started, options)))
    }

    /// Tells an earlier stream that another has its session's input.
    pub(super) fn tell_taken_over(&self, stream: StreamId) {
        if let Some(reader) = self.streams.get(&stream) {
            let reason = pb::GoAwayReason::InputTakenOver;
            self.log.notify(*reader, |cursor| {
                event::encode(&event::go_away(reason, None, cursor, SystemTime::now()))
            });
        }
    }

    /// Tells a stream alone that its frame was refused.
    pub(super) fn tell_refused(
        &self,
        stream: StreamId,
        frame_id: Option<String>,
        failure: &Failure,
    ) {
        if let Some(reader) = self.streams.get(&stream) {
            let notice = event::frame_rejected(frame_id, failure, SystemTime::now());
            self.log.notify(*reader, |_| event::encode(&notice));
        }
    }

    /// Tells every reader that the server stops.
    pub(super) fn announce_end(&self, time_left: Duration) {
        let reason = pb::GoAwayReason::Shutdown;
        let now = SystemTime::now();
        // The notice overtakes what its reader has not read yet.
        self.log.notify_all(|cursor| {
            event::encode(&event::go_away(reason, Some(time_left), cursor, now))
        });
    }

    fn announce_replay(&self, reader: &Reader, after: u64, newest: u64, missing: u64) {
        let active = self.session.active_turn();
        let resumed = pb::StreamResumed {
            session_id: self.session.id().to_string(),
            after_sequence: number(after),
            last_sequence: number(newest),
            missing_events: number(missing),
            active_turn_id: active.map(ToString::to_string).unwrap_or_default(),
        };
        let resumed = event::stream_resumed(resumed, SystemTime::now());
        self.log.notify(reader.id(), |_| event::encode(&resumed));
    }

    fn welcome(&self, last_sequence: u64) -> pb::SessionReady {
        let limits = &self.agent.limits;
        pb::SessionReady {
            session_id: self.session.id().to_string(),
            agent_id: self.agent.id.clone(),
            model_id: self
                .session
                .options()
                .model_id
                .as_ref()
                .or(self.agent.options.model_id.as_ref())
                .cloned()
                .unwrap_or_default(),
            limits: Some(pb::SessionLimits {
                max_frame_bytes: i32::try_from(self.config.max_frame_bytes).unwrap_or(i32::MAX),
                idle_timeout: self.config.stream_idle_timeout.try_into().ok(),
                replay_window: self.config.replay_window.try_into().ok(),
                max_queued_inputs: i32::try_from(limits.max_queued_inputs).unwrap_or(i32::MAX),
            }),
            last_sequence: number(last_sequence),
        }
    }
}

/// How a turn stands.
struct Standing {
    turn_id: Arc<str>,
    /// The number of its end or pause, and why it failed; `None` while it runs.
    end: Option<(u64, Option<Failure>)>,
}

fn no_turn(turn_id: &str) -> Failure {
    Failure::new(Reason::TurnNotFound, "there is no such turn").fact("turn_id", turn_id)
}

fn check_cursor(field: &str, after: u64, newest: u64) -> Result<(), Failure> {
    if after <= newest {
        return Ok(());
    }
    let text = format!("must not be above {newest}, the newest event of this session");
    Err(Failure::invalid(field, text))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
