//! The model's thread: one request after the other.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    model::LlamaModel,
    token::LlamaToken,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use super::{
    Job, Settings,
    conversation::Conversation,
    load::{self, Error},
    output::Output,
    plan::Plan,
    prompt::Template,
    sampling::{Picker, Taste},
};
use crate::{
    exception::Exception,
    live::{Ending, Event},
    wire::{Operation, Request, Usage, array},
};

/// Tokens of a prompt that are computed at once.
///
/// What is kept of a prompt is kept in whole chunks, so that each token of a prompt is
/// computed in the same company whatever was asked before: floating-point sums, and with
/// them answers at temperature 0, depend on it. It is also how far a prompt is read on
/// after its client has gone.
const CHUNK: usize = 64;

/// Making two contexts at once is unsound, as llama-cpp-2 says of itself.
static CONTEXTS: Mutex<()> = Mutex::new(());

/// Starts the thread, and tells the model's id once it is loaded.
pub(super) fn start(
    settings: Settings,
    jobs: Receiver<Job>,
    generated: Arc<AtomicU64>,
) -> Result<String, Error> {
    // One answer is all there is to tell.
    let (loaded, answer) = sync_channel(1);
    let run = move || {
        let told = load::weights(&settings.file).and_then(|model| {
            let name = name_of(&model, &settings);
            let template = Template::of(&model, &name).map_err(|source| Error::Template {
                path: settings.file.clone(),
                source,
            })?;
            Ok((model, template, format!("local.{}", slug(&name))))
        });
        let (model, template, id) = match told {
            Ok(told) => told,
            Err(error) => return drop(loaded.send(Err(error))),
        };
        // llama.cpp may make the context larger than it was asked for.
        let most = settings.context.get().min(model.n_ctx_train().max(1));
        match context(&model, &settings, most) {
            Ok(context) => {
                let mut engine = Engine {
                    model: &model,
                    context,
                    most: usize::try_from(most).unwrap_or(usize::MAX),
                    template,
                    computed: Vec::new(),
                    generated,
                };
                if loaded.send(Ok(id)).is_ok() {
                    engine.serve(&jobs);
                }
            }
            Err(error) => drop(loaded.send(Err(error))),
        }
    };
    thread::Builder::new()
        .name("local-model".to_owned())
        .spawn(run)
        .map_err(Error::Thread)?;
    answer
        .recv()
        .unwrap_or_else(|_| Err(Error::Backend("its thread panicked".to_owned())))
}

fn context<'m>(
    model: &'m LlamaModel,
    settings: &Settings,
    tokens: u32,
) -> Result<LlamaContext<'m>, Error> {
    let threads = |count: NonZeroUsize| i32::try_from(count.get()).unwrap_or(1);
    let chunk = u32::try_from(CHUNK).unwrap_or(1);
    let params = LlamaContextParams::default()
        .with_n_ctx(std::num::NonZeroU32::new(tokens))
        .with_n_batch(chunk)
        .with_n_ubatch(chunk)
        .with_n_threads(threads(settings.threads))
        .with_n_threads_batch(threads(settings.threads));
    let _one_at_a_time = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let backend = load::backend()?;
    let (context, complaints) = load::quietly(|| model.new_context(backend, params));
    context.map_err(|error| Error::Context {
        tokens,
        reason: complaints.unwrap_or_else(|| error.to_string()),
    })
}

fn name_of(model: &LlamaModel, settings: &Settings) -> String {
    let told = model.meta_val_str("general.name").unwrap_or_default();
    let stem = || {
        let stem = settings.file.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    if told.trim().is_empty() { stem() } else { told }
}

fn slug(name: &str) -> String {
    let keep = |it: char| it.is_ascii_alphanumeric() || it == '.';
    let words = name.split(|it: char| !keep(it)).filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// A loaded model and what it has in mind.
struct Engine<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    /// Tokens that a prompt and its answer may have together.
    most: usize,
    template: Template,
    /// Tokens of a prompt, in whole chunks, that the context still holds.
    computed: Vec<LlamaToken>,
    generated: Arc<AtomicU64>,
}

/// Why there is no answer, or no more of it.
enum Failure {
    /// The client has gone.
    Left,
    Refused(Exception),
    /// llama.cpp failed; the words are its own.
    Broken(String),
}

impl Engine<'_> {
    fn serve(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            if job.events.is_closed() {
                continue;
            }
            let last = match self.answer(&job) {
                Ok(()) | Err(Failure::Left) => continue,
                Err(Failure::Refused(exception)) => Event::Refused(exception),
                Err(Failure::Broken(words)) => {
                    tracing::error!(%words, "the local model failed");
                    // What the context holds is not known any more.
                    self.computed.clear();
                    self.context.clear_kv_cache();
                    Event::Failed(Exception::new(
                        "ModelErrorException",
                        "The model failed to process the request.",
                    ))
                }
            };
            // Whoever has gone needs no answer.
            drop(job.events.try_send(last));
        }
    }

    fn answer(&mut self, job: &Job) -> Result<(), Failure> {
        let request = &job.request;
        let conversation = Conversation::of(request).map_err(Failure::Refused)?;
        let plan = Plan::of(request, &conversation, self.model.n_params());
        let prompt = self.tokens(&conversation, &plan)?;
        let limit = self.most;
        if request.operation == Operation::CountTokens {
            let input_tokens = prompt.len() as u64;
            return send(&job.events, Event::Begun { input_tokens });
        }
        if prompt.len() >= limit {
            // Words: cline/cline#1446.
            return Err(Failure::Refused(Exception::validation(
                "Input is too long for requested model.",
            )));
        }
        let input_tokens = prompt.len() as u64;
        let mut picker = self.picker(request, &plan)?;
        send(&job.events, Event::Begun { input_tokens })?;

        let inference = &request.body["inferenceConfig"];
        let most = inference["maxTokens"].as_u64().unwrap_or(u64::MAX);
        let stops = array(&inference["stopSequences"]).iter();
        let stops = stops.filter_map(Value::as_str).map(str::to_owned).collect();
        let mut output = Output::new(stops, plan.names());
        let reused = self.read(&prompt, &job.events)?;
        let ended = self.speak(&prompt, &mut picker, &mut output, most, &job.events)?;
        for event in output.events() {
            send(&job.events, event)?;
        }
        let ending = ended.ending(
            &output,
            self.usage(request, input_tokens, reused, ended.tokens),
        );
        send(&job.events, Event::Ended(ending))
    }

    fn tokens(&self, conversation: &Conversation, plan: &Plan) -> Result<Vec<LlamaToken>, Failure> {
        let retold = plan.retells.then(|| conversation.retold());
        let conversation = retold.as_ref().unwrap_or(conversation);
        let text = self
            .template
            .render(conversation, &plan.tools, plan.schema.as_ref())
            .map_err(|error| {
                // The words are ours, and the template's.
                Failure::Refused(Exception::validation(format!(
                    "The model's chat template does not take this conversation: {error}"
                )))
            })?;
        let adds = !self.template.begins(&text);
        let tokens = self.model.vocab().tokenize(text.as_bytes(), adds, true);
        if tokens.is_empty() {
            return Err(Failure::Broken("the prompt has no tokens".to_owned()));
        }
        Ok(tokens)
    }

    fn picker(&self, request: &Request, plan: &Plan) -> Result<Picker, Failure> {
        let taste = Taste::of(&request.body["inferenceConfig"]);
        Picker::new(self.model, taste, plan.is_free, plan.grammar.as_deref())
            .map_err(|error| Failure::Broken(format!("grammar: {error}")))
    }

    /// Computes the prompt, and tells how many of its tokens were there already.
    fn read(&mut self, prompt: &[LlamaToken], events: &Sender<Event>) -> Result<usize, Failure> {
        let same = self
            .computed
            .iter()
            .zip(prompt)
            .take_while(|(one, other)| one == other);
        // The last token is always computed: what follows it is asked.
        let same = same.count().min(prompt.len() - 1) / CHUNK * CHUNK;
        let from = u32::try_from(same).unwrap_or(0);
        if self.context.kv_cache_seq_rm(0, Some(from), None).is_err() {
            // Some kinds of models cannot forget a part.
            self.context.clear_kv_cache();
            self.computed.clear();
        }
        let same = same.min(self.computed.len());
        self.computed.truncate(same);
        for chunk in prompt.get(same..).unwrap_or(&[]).chunks(CHUNK) {
            if events.is_closed() {
                return Err(Failure::Left);
            }
            let place = self.computed.len();
            self.decode(chunk, place)?;
            if chunk.len() == CHUNK {
                self.computed.extend_from_slice(chunk);
            }
        }
        Ok(same)
    }

    fn decode(&mut self, tokens: &[LlamaToken], place: usize) -> Result<(), Failure> {
        let broken = |words: String| Failure::Broken(words);
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        for (at, token) in tokens.iter().enumerate() {
            let position = i32::try_from(place + at).map_err(|error| broken(error.to_string()))?;
            let is_last = at + 1 == tokens.len();
            batch
                .add(*token, position, &[0], is_last)
                .map_err(|error| broken(error.to_string()))?;
        }
        self.context
            .decode(&mut batch)
            .map_err(|error| broken(error.to_string()))
    }

    /// Generates until something ends it.
    fn speak(
        &mut self,
        prompt: &[LlamaToken],
        picker: &mut Picker,
        output: &mut Output,
        most: u64,
        events: &Sender<Event>,
    ) -> Result<Ended, Failure> {
        let vocab = self.model.vocab();
        let mut place = prompt.len();
        // The logits of the only token that asked for them.
        let mut asked = i32::try_from((prompt.len() - 1) % CHUNK).unwrap_or(0);
        let mut tokens = 0;
        let why = loop {
            if events.is_closed() {
                return Err(Failure::Left);
            }
            let Some(token) = picker.pick(&self.context, asked) else {
                break Why::Malformed;
            };
            if vocab.is_eog(token) {
                break Why::Finished;
            }
            tokens += 1;
            self.generated.fetch_add(1, Ordering::Relaxed);
            output.push(&vocab.token_to_piece(token, false, None));
            for event in output.events() {
                send(events, event)?;
            }
            if output.is_done() {
                break Why::Finished;
            }
            if tokens >= most {
                break Why::MaxTokens;
            }
            if place >= self.most {
                break Why::ContextFull;
            }
            self.decode(&[token], place)?;
            place += 1;
            asked = 0;
        };
        output.finish();
        Ok(Ended { why, tokens })
    }

    fn usage(&self, request: &Request, input: u64, reused: usize, output: u64) -> Usage {
        let reused = reused as u64;
        let mut usage = Usage {
            input_tokens: input,
            output_tokens: output,
            ..Usage::default()
        };
        // Bedrock tells what its cache held only to those who mark what to keep.
        if has_cache_point(&request.body) {
            usage.input_tokens = input - reused;
            usage.cache_read_input_tokens = Some(reused);
            usage.cache_write_input_tokens = Some(0);
        }
        usage
    }
}

/// How generating ended.
#[derive(Debug, Clone, Copy)]
struct Ended {
    why: Why,
    tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Why {
    Finished,
    MaxTokens,
    ContextFull,
    /// The grammar let nothing follow.
    Malformed,
}

impl Ended {
    fn ending(self, output: &Output, usage: Usage) -> Ending {
        let stop = output.stop();
        let stop_reason = match self.why {
            Why::Finished if output.is_call() => "tool_use",
            Why::Finished if stop.is_some() => "stop_sequence",
            Why::Finished => "end_turn",
            Why::MaxTokens => "max_tokens",
            Why::ContextFull => "model_context_window_exceeded",
            Why::Malformed => "malformed_model_output",
        };
        Ending {
            stop_reason,
            additional_fields: stop.map(|stop| json!({"stop_sequence": stop})),
            usage,
        }
    }
}

fn has_cache_point(body: &Value) -> bool {
    match body {
        Value::Object(members) => {
            members.contains_key("cachePoint") || members.values().any(has_cache_point)
        }
        Value::Array(items) => items.iter().any(has_cache_point),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The channel has room for all that an answer can have, so only a client that left fails it.
fn send(events: &Sender<Event>, event: Event) -> Result<(), Failure> {
    events.try_send(event).map_err(|_closed| Failure::Left)
}
