//! The response body that a player fills, at its pace and with its faults.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::Line;
use crate::{
    fault::Cut,
    journal::{Exchange, Outcome},
    live::Live,
    player::{Player, Step},
};

/// Bytes that are handed over in one piece when nothing asks for smaller ones.
const BATCH: usize = 64 * 1024;

/// A response body: nothing but bytes, or a reply in progress.
#[derive(Debug)]
pub(crate) enum Answer {
    Bytes(Option<Bytes>),
    Playing(Box<Playing>),
}

/// A reply in progress.
#[derive(Debug)]
pub(crate) struct Playing {
    /// Dropped before the exchange ends: what is told to have ended is not made any longer.
    live: Option<Live>,
    player: Player,
    exchange: Exchange,
    line: Arc<Line>,
    buf: BytesMut,
    /// When the next piece is due; the schedule does not drift with late wake-ups.
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    rest: Rest,
    /// Lets the connection flush, so that the next piece is a write of its own.
    between_writes: bool,
}

/// What the body does once everything that was played is handed over.
#[derive(Debug)]
enum Rest {
    /// Plays on.
    Play,
    /// Waits for the model.
    Starve,
    /// Sleeps until `due`.
    Wait,
    /// Waits for ever; only the client can end it.
    Silence,
    /// Waits until everything sent, by this count of flushes, has reached the kernel.
    Cut { how: Cut, flushes: Option<u64> },
    /// Ends; the name says why, if otherwise than it should.
    End(Option<String>),
}

impl Answer {
    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self::Bytes(Some(bytes))
    }

    pub(crate) fn playing(
        player: Player,
        live: Option<Live>,
        exchange: Exchange,
        line: Arc<Line>,
    ) -> Self {
        Self::Playing(Box::new(Playing {
            live,
            player,
            exchange,
            line,
            buf: BytesMut::new(),
            due: Instant::now(),
            sleep: None,
            rest: Rest::Play,
            between_writes: false,
        }))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Playing(playing) => playing.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Bytes(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Playing(_) => SizeHint::default(),
        }
    }
}

impl Playing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if self.between_writes {
                self.between_writes = false;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(piece) = self.piece() {
                self.exchange
                    .sent(self.player.chunks, self.player.frames, piece.len());
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match &mut self.rest {
                Rest::Play => self.play(),
                Rest::Starve => {
                    let Some(live) = &mut self.live else {
                        self.rest = Rest::End(None);
                        continue;
                    };
                    let event = ready!(live.poll_next(cx));
                    self.player.grow(event, live.latency_ms());
                    self.rest = Rest::Play;
                }
                Rest::Wait => {
                    let due = self.due;
                    let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
                    if sleep.deadline() != due {
                        sleep.as_mut().reset(due);
                    }
                    ready!(sleep.as_mut().poll(cx));
                    self.rest = Rest::Play;
                }
                Rest::Silence => return Poll::Pending,
                Rest::Cut { how, flushes } => {
                    let seen = *flushes.get_or_insert_with(|| self.line.flushes());
                    ready!(self.line.poll_flushed(seen, cx));
                    self.line.cut(*how);
                    self.exchange.end(Outcome::Fault("cut".to_owned()));
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
                }
                Rest::End(fault) => {
                    self.exchange
                        .end(fault.take().map_or(Outcome::Completed, Outcome::Fault));
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// What is to be handed over before anything else happens.
    fn piece(&mut self) -> Option<Bytes> {
        let split = self.player.bytes_per_write();
        let limit = split.unwrap_or(BATCH);
        let enough = if matches!(self.rest, Rest::Play) {
            limit
        } else {
            1
        };
        if self.buf.len() < enough {
            return None;
        }
        self.between_writes = split.is_some();
        let length = split.unwrap_or(usize::MAX).min(self.buf.len());
        Some(self.buf.split_to(length).freeze())
    }

    fn play(&mut self) {
        self.rest = match self.player.step(&mut self.buf) {
            Step::Sent => Rest::Play,
            Step::Wait(wait) => {
                self.due += wait;
                Rest::Wait
            }
            Step::Starved => Rest::Starve,
            Step::Silence(Some(duration)) => {
                self.due = Instant::now() + duration;
                Rest::Wait
            }
            Step::Silence(None) => Rest::Silence,
            Step::Cut(how) => Rest::Cut { how, flushes: None },
            Step::End(fault) => Rest::End(fault),
        };
    }
}
