//! Where the two halves of a conversation and its connection share the frames.
//!
//! The sending half puts them in, the connection's own task takes them out, and the receiving half
//! notes their receipts; each holds the lock for a moment and never while it waits.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;
use tokio_stream::Stream;

use crate::{
    Error,
    pb::{self, converse_request::Frame},
};

use super::frames::{Frames, Next, Refused};

/// The frames of a conversation, shared.
#[derive(Debug)]
pub(super) struct Outbox {
    shared: Mutex<Shared>,
    room: Notify,
}

#[derive(Debug)]
struct Shared {
    frames: Frames,
    /// The connection, when it waits for a frame.
    waker: Option<Waker>,
}

/// What one connection sends: the set-up, then the frames.
#[derive(Debug)]
pub(super) struct Outgoing {
    setup: Option<pb::SessionSetup>,
    outbox: Arc<Outbox>,
    connection: u64,
}

impl Outbox {
    pub(super) fn new(keeps: bool) -> Self {
        let shared = Shared {
            frames: Frames::new(keeps),
            waker: None,
        };
        Self {
            shared: Mutex::new(shared),
            room: Notify::new(),
        }
    }

    /// Puts a frame in as soon as there is room. Cancel-safe: it is in, or it is not.
    pub(super) async fn push(&self, frame: pb::ConverseRequest) -> Result<(), Error> {
        let mut frame = frame;
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From here on no news of room is missed.
            room.as_mut().enable();
            match self.change(|frames| frames.push(frame)) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) => frame = *back,
                Err(Refused::Closed) => return Err(Error::Closed),
                Err(Refused::TakenOver) => return Err(Error::InputTakenOver),
            }
            room.await;
        }
    }

    /// Reads or changes the frames, and lets everybody look who waits for a change.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Frames) -> T) -> T {
        let done = self.change(act);
        self.room.notify_waiters();
        done
    }

    /// Makes a change that makes no room: a sender that waits must not wake itself.
    fn change<T>(&self, act: impl FnOnce(&mut Frames) -> T) -> T {
        let mut shared = self.lock();
        let done = act(&mut shared.frames);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
        done
    }

    /// Begins a connection.
    pub(super) fn connect(self: &Arc<Self>, setup: pb::SessionSetup) -> Outgoing {
        Outgoing {
            setup: Some(setup),
            connection: self.with(Frames::connect),
            outbox: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Outgoing {
    type Item = pb::ConverseRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(setup) = self.setup.take() {
            return Poll::Ready(Some(pb::ConverseRequest {
                // The set-up is answered by session_ready.
                frame_id: String::new(),
                frame: Some(Frame::Setup(setup)),
            }));
        }
        let mut shared = self.outbox.lock();
        match shared.frames.next(self.connection) {
            Next::Frame(frame) => {
                drop(shared);
                self.outbox.room.notify_waiters();
                Poll::Ready(Some(*frame))
            }
            Next::Wait => {
                shared.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Next::End => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sender_waits_for_room_and_goes_on_with_the_next_receipt() {
        let outbox = Arc::new(Outbox::new(true));
        let frame = |name: usize| pb::ConverseRequest {
            frame_id: name.to_string(),
            frame: Some(Frame::Prompt("hi".to_owned())),
        };
        let mut pushed = 0;
        let waiting = loop {
            let mut pushing = Box::pin(outbox.push(frame(pushed)));
            if futures_util::poll!(&mut pushing).is_pending() {
                break pushing;
            }
            pushed += 1;
        };
        assert_eq!(pushed, 256);

        let receipt = pb::FrameAccepted {
            frame_id: "0".to_owned(),
            ..Default::default()
        };
        outbox.with(|frames| frames.accepted(&receipt));
        waiting.await.unwrap();

        let mut waiting = Box::pin(outbox.push(frame(pushed + 1)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        outbox.with(Frames::end);
        assert!(matches!(waiting.await, Err(Error::Closed)));
    }
}
