//! A language model on this machine, run by llama.cpp.
//!
//! [`Model::load`] gives a model a thread of its own, which answers one request after the
//! other: `plan` and `prompt` make the tokens of a request, `engine` goes on from them, `sampling`
//! and `grammar` say which token may come next, and `output` makes events of the tokens.

mod conversation;
mod engine;
pub mod fetch;
mod grammar;
mod load;
mod output;
mod plan;
mod prompt;
mod sampling;
pub mod shelf;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

pub use self::load::Error;
use crate::{
    exception::Exception,
    live::{Event, Live},
    wire::Request,
};

/// How a model is loaded.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A GGUF file of a chat model.
    pub file: PathBuf,
    /// Tokens that a prompt and its answer may have together. Default: 4,096, or what the
    /// model was trained for, if that is less.
    ///
    /// Each costs memory, 12 KiB with the default model.
    pub context: NonZeroU32,
    /// Threads that compute. Default: one fewer than cores, at least 1 and at most 8.
    ///
    /// They wait for each other at every step, so one that shares its core holds up all:
    /// on two cores that others used too, one thread was ten times as fast as two.
    pub threads: NonZeroUsize,
    /// Requests that wait while another is answered; further ones are throttled. Default: 16.
    pub queue: NonZeroUsize,
}

impl Settings {
    /// The defaults, for this file.
    #[must_use]
    pub fn of(file: PathBuf) -> Self {
        const MOST_THREADS: usize = 8;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = (cores - 1).min(MOST_THREADS);
        Self {
            file,
            context: NonZeroU32::MIN.saturating_add(4_095),
            threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            queue: NonZeroUsize::MIN.saturating_add(15),
        }
    }
}

/// A language model on this machine; cloning it gives another handle to the same model.
///
/// It answers Converse, ConverseStream and CountTokens, one request at a time in their
/// order. With the last handle its thread ends, and its memory is free.
#[derive(Debug, Clone)]
pub struct Model {
    id: Arc<str>,
    jobs: SyncSender<Job>,
    generated: Arc<AtomicU64>,
    /// Events that an answer can have: they never wait for who reads them.
    most_events: usize,
}

/// A request on its way to the model's thread.
#[derive(Debug)]
struct Job {
    request: Request,
    events: tokio::sync::mpsc::Sender<Event>,
}

impl Model {
    /// Loads a model, which takes a second or so and blocks for that long.
    ///
    /// # Errors
    ///
    /// Every [`Error`] says what is wrong with the file, and what to do.
    pub fn load(settings: Settings) -> Result<Self, Error> {
        // Besides content there are a beginning, calls, an end, and what is held back at it.
        const OTHER_EVENTS: usize = 64;
        let (jobs, queue) = std::sync::mpsc::sync_channel(settings.queue.get());
        let generated = Arc::new(AtomicU64::new(0));
        let most_events = usize::try_from(settings.context.get()).unwrap_or(usize::MAX);
        let id = engine::start(settings, queue, Arc::clone(&generated))?;
        Ok(Self {
            id: id.into(),
            jobs,
            generated,
            most_events: most_events.saturating_add(OTHER_EVENTS),
        })
    }

    /// The model id that asks for it: `local.` and the name that its file gives it, in lower
    /// case, with hyphens for all but letters, digits and dots.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tokens that it has generated since it was loaded.
    #[must_use]
    pub fn generated_tokens(&self) -> u64 {
        self.generated.load(Ordering::Relaxed)
    }

    /// Hands a request to the model.
    pub(crate) fn ask(&self, request: &Request) -> Result<Live, Exception> {
        let (events, receiver) = tokio::sync::mpsc::channel(self.most_events);
        let job = Job {
            request: request.clone(),
            events,
        };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(Live::new(receiver)),
            // Words: https://repost.aws/knowledge-center/bedrock-throttling-error
            Err(TrySendError::Full(_)) => Err(Exception::new(
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            )),
            Err(TrySendError::Disconnected(_)) => Err(Exception::new(
                "InternalServerException",
                "The local model stopped working; its log says why.",
            )),
        }
    }
}
