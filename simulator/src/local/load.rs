//! A model file on its way into memory, and all that can be wrong with it.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use llama_cpp_2::{
    LogOptions, gguf::GgufContext, llama_backend::LlamaBackend, model::LlamaModel,
    model::params::LlamaModelParams, send_logs_to_tracing,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or may not be read.
    #[error(
        "cannot read the model {path}; it must be a GGUF file; the usual one comes by \
         `bedrock-simulator model fetch` or `model import FILE`, and is used where none is named"
    )]
    Read {
        /// The file of the settings.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is no model: a GGUF file begins with \"GGUF\"; look for files named *.gguf")]
    NotGguf {
        /// The file of the settings.
        path: PathBuf,
    },
    /// llama.cpp does not take the file: it is cut short or spoilt, or of a kind that is not known.
    #[error(
        "llama.cpp does not load {path} (architecture {architecture}): {reason}; if the file is cut \
         short, fetch it again, and if the architecture is not known, choose another model"
    )]
    Refused {
        /// The file of the settings.
        path: PathBuf,
        /// What kind of model the file says it is; `unknown` where it does not say.
        architecture: String,
        /// In llama.cpp's words.
        reason: String,
    },
    /// The model's own chat template is not understood.
    #[error("the chat template of {path} cannot be used")]
    Template {
        /// The file of the settings.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: minijinja::Error,
    },
    /// There is no context, mostly for lack of memory.
    #[error("no context of {tokens} tokens ({reason}); if memory is short, ask for a smaller one")]
    Context {
        /// Tokens of the settings, or what the model was trained for.
        tokens: u32,
        /// In llama.cpp's words.
        reason: String,
    },
    /// The system gave no thread.
    #[error("cannot start the model's thread")]
    Thread(#[source] io::Error),
    /// llama.cpp itself does not work here.
    #[error("llama.cpp cannot be started: {0}")]
    Backend(String),
}

/// llama.cpp, which a process starts once.
pub(super) fn backend() -> Result<&'static LlamaBackend, Error> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    backend
        .as_ref()
        .map_err(|error| Error::Backend(error.clone()))
}

/// Reads the weights; llama.cpp's complaints become the error's reason.
pub(super) fn weights(path: &Path) -> Result<LlamaModel, Error> {
    let backend = backend()?;
    let read_error = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut magic));
    let read = read.map_err(read_error)?;
    if read < magic.len() || &magic != b"GGUF" {
        return Err(Error::NotGguf {
            path: path.to_owned(),
        });
    }
    let (loaded, complaints) =
        quietly(|| LlamaModel::load_from_file(backend, path, &LlamaModelParams::default()));
    loaded.map_err(|error| Error::Refused {
        path: path.to_owned(),
        architecture: architecture(path).unwrap_or_else(|| "unknown".to_owned()),
        reason: complaints.unwrap_or_else(|| error.to_string()),
    })
}

/// Keeps llama.cpp from writing a page into the log, and returns the errors in it.
pub(super) fn quietly<T>(run: impl FnOnce() -> T) -> (T, Option<String>) {
    let complaints = Complaints::default();
    let result = tracing::subscriber::with_default(complaints.clone(), run);
    (result, complaints.join())
}

fn architecture(path: &Path) -> Option<String> {
    let gguf = GgufContext::from_file(path)?;
    let key = gguf.find_key("general.architecture");
    (key >= 0).then(|| gguf.val_str(key))?.map(str::to_owned)
}

/// Collects warnings and errors of this thread: llama.cpp tells its reasons nowhere else.
#[derive(Debug, Clone, Default)]
struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// The complaints in their order, if there are any.
    fn join(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

impl Subscriber for Complaints {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= tracing::Level::ERROR {
            event.record(&mut Message(&self.0));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Writes down the message of an event.
struct Message<'a>(&'a Mutex<Vec<String>>);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        /// The last words are enough: there is one error to a failed load, and its echoes.
        const MOST: usize = 4;
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if field.name() == "message" && lines.len() < MOST {
            lines.push(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
