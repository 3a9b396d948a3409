//! A method as a tool.

mod result;

use std::{error::Error as _, fmt, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, uri::PathAndQuery};
use prost::DecodeError;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;
use taiwa_core::tool::Schema;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Request, Status, client::Grpc, metadata::MetadataMap};

use self::result::Answers;
use super::{
    Config, StartError,
    channel::Link,
    codec::{DynamicCodec, Sent},
    comments::Comments,
    json, names,
    schema::Shape,
    status,
};
use crate::{Call, Definition, Error, Output, Tool, Tools};

/// A method of a service.
#[derive(Clone)]
struct Method {
    definition: Arc<Definition>,
    method: MethodDescriptor,
    path: PathAndQuery,
    shape: Arc<Shape>,
    config: Arc<Config>,
    link: Link,
}

/// Why an exchange gave no answer.
enum Failure {
    /// The service said so, or the connection broke.
    Status(Status),
    /// The answer is damaged.
    Undecodable(DecodeError),
    /// The answer has no JSON.
    NoJson(serde_json::Error),
    /// It is not answered in time.
    Deadline,
    /// The method answered without a message.
    NoMessage,
}

/// Makes tools of methods, in their order.
pub(super) fn tools(
    methods: &[MethodDescriptor],
    link: &Link,
    config: &Arc<Config>,
) -> Result<Tools, StartError> {
    let mut comments = Comments::default();
    let named = methods.iter().zip(names::for_methods(methods));
    named
        .map(|(method, name)| {
            let tool = Method::new(method, name, &mut comments, link, config);
            tool.map(|tool| Arc::new(tool) as Arc<dyn Tool>)
        })
        .collect()
}

impl Method {
    fn new(
        method: &MethodDescriptor,
        name: String,
        comments: &mut Comments,
        link: &Link,
        config: &Arc<Config>,
    ) -> Result<Self, StartError> {
        let refused = |reason: String| StartError::Descriptors {
            reason: format!("{}: {reason}", method.full_name()),
        };
        let service = method.parent_service().full_name();
        let path = format!("/{service}/{}", method.name())
            .parse()
            .map_err(|_| refused("its name is no path".to_owned()))?;
        let shape = Shape::of(&method.input(), comments);
        let schema =
            Schema::parse(&shape.schema.to_string()).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            definition: Arc::new(Definition {
                name,
                description: description(method, comments, config),
                schema,
            }),
            method: method.clone(),
            path,
            shape: Arc::new(shape),
            config: Arc::clone(config),
            link: link.clone(),
        })
    }

    async fn run(self, call: Call) -> Result<Output, Error> {
        let request = self.request(&call)?;
        let sent = Sent::default();
        let exchange = self.exchange(request, &call, sent.clone());
        let failure = match timeout_at(call.deadline.into(), exchange).await {
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(failure)) => failure,
            Err(_elapsed) => Failure::Deadline,
        };
        self.failed(failure, &sent, call.max_result_bytes)
    }

    fn request(&self, call: &Call) -> Result<Request<DynamicMessage>, Error> {
        let did_not_run =
            |reason: String| Error::Failed(format!("{reason}; {} did not run", self.method.name()));
        let message = json::request(self.method.input(), &self.shape, call.input.clone())
            .map_err(|error| did_not_run(format!("the input is not taken: {error}")))?;
        let left = Instant::from_std(call.deadline).duration_since(Instant::now());
        if left.is_zero() {
            return Err(did_not_run("no time was left".to_owned()));
        }
        let key = HeaderValue::from_str(&call.idempotency_key)
            .map_err(|_| did_not_run("the call's key is no header".to_owned()))?;
        let mut headers = self.fixed_metadata();
        for name in &self.config.forward_metadata {
            for value in call.caller.metadata.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers.insert("idempotency-key", key);
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        request.set_timeout(left);
        Ok(request)
    }

    fn fixed_metadata(&self) -> HeaderMap {
        let mut metadata = self.config.metadata.clone();
        for value in metadata.values_mut() {
            // Keeps it out of the connection's table of headers, and of logs.
            value.set_sensitive(true);
        }
        metadata
    }

    /// Sends the request and takes the answers. A unary method is called as one whose stream has
    /// one message, which is the same on the wire.
    async fn exchange(
        &self,
        request: Request<DynamicMessage>,
        call: &Call,
        sent: Sent,
    ) -> Result<Output, Failure> {
        let mut client = Grpc::new(self.link.channel.clone())
            .max_decoding_message_size(self.config.max_message_bytes);
        client
            .ready()
            .await
            .map_err(|error| Failure::Status(Status::from_error(error.into())))?;
        let codec = DynamicCodec::new(self.method.output(), sent);
        let mut stream = client
            .server_streaming(request, self.path.clone(), codec)
            .await?
            .into_inner();
        let mut answers = Answers::new(self.config.stream_result, call.max_result_bytes);
        while let Some(message) = stream.message().await? {
            let message = message.map_err(Failure::Undecodable)?;
            let answer = json::answer(message).map_err(Failure::NoJson)?;
            if self.method.is_server_streaming() {
                call.progress.report(answer.to_string());
                answers.add(answer);
            } else {
                answers.set(answer);
            }
        }
        if self.method.is_server_streaming() {
            Ok(answers.into_stream_output())
        } else {
            answers.into_output().ok_or(Failure::NoMessage)
        }
    }

    /// Tells a failure by what is known of what the call did.
    fn failed(&self, failure: Failure, sent: &Sent, max_bytes: usize) -> Result<Output, Error> {
        let name = self.method.name();
        if let Failure::Status(status) = &failure
            && is_loss(status)
        {
            self.link.note_loss();
        }
        if let Failure::Status(status) = &failure
            && let Some(sizes) = too_large(status)
        {
            return Err(Error::Failed(format!(
                "{name} ran, and its answer is too large to be taken: {sizes}. Ask it for less; \
                 max_message_bytes of its configuration allows more"
            )));
        }
        let unsure = match failure {
            Failure::Status(status) if is_loss(&status) => status::reason(&status),
            Failure::Deadline => "it did not answer in time".to_owned(),
            Failure::NoMessage => "it answered without a message".to_owned(),
            Failure::Status(status)
                if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) =>
            {
                status::words(&status)
            }
            Failure::Status(status) => {
                return Ok(Output {
                    is_error: true,
                    ..result::cut_text(status::words(&status), max_bytes)
                });
            }
            Failure::Undecodable(error) => {
                return Err(Error::Failed(format!(
                    "{name} ran, and its answer is damaged: {error}"
                )));
            }
            Failure::NoJson(error) => {
                return Err(Error::Failed(format!(
                    "{name} ran, and its answer cannot be told in JSON: {error}"
                )));
            }
        };
        if !sent.is_sent() {
            return Err(Error::Failed(format!(
                "{} was not reached ({unsure}); {name} did not run",
                self.method.parent_service().full_name()
            )));
        }
        Err(match self.idempotency() {
            IdempotencyLevel::NoSideEffects => Error::Failed(format!(
                "{name} gave no answer: {unsure}. It changes nothing, and may be called again"
            )),
            IdempotencyLevel::Idempotent => Error::Unknown(format!(
                "{name} gave no answer: {unsure}. Whether it took effect is not known; \
                 it may be called again with the same input"
            )),
            IdempotencyLevel::IdempotencyUnknown => Error::Unknown(format!(
                "{name} gave no answer: {unsure}. Whether it took effect is not known; \
                 find out before it is called again"
            )),
        })
    }

    fn idempotency(&self) -> IdempotencyLevel {
        let options = self.method.method_descriptor_proto().options.as_ref();
        options.map_or(IdempotencyLevel::IdempotencyUnknown, |options| {
            options.idempotency_level()
        })
    }
}

impl Tool for Method {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, Error>> {
        self.clone().run(call).boxed()
    }
}

/// Descriptors are left out: theirs has no end where types are recursive.
impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.definition.name)
            .field("path", &self.path)
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The author's words, or else some made of the names.
fn description(method: &MethodDescriptor, comments: &mut Comments, config: &Config) -> String {
    let service = method.parent_service();
    let comment = comments.on(&method.parent_file(), method.path());
    let mut text = match comment {
        Some(comment) => comment.to_owned(),
        None => format!(
            "Calls {} of the service {} with a {}; gives a {}.",
            method.name(),
            service.full_name(),
            method.input().name(),
            method.output().name()
        ),
    };
    if method.is_server_streaming() {
        text.push('\n');
        text.push_str(result::told_of(config.stream_result));
    }
    text
}

/// True when a status was made on this side, or between, because the service's own did not come.
fn is_loss(status: &Status) -> bool {
    // What the service says has no source. The texts are those of the gRPC library for an answer
    // that ends without a status.
    status.source().is_some()
        || (matches!(status.code(), Code::Unknown | Code::Internal)
            && ["protocol error: ", "grpc-status header missing"]
                .iter()
                .any(|text| status.message().starts_with(text)))
}

/// What the gRPC library says of a message that it refused to take, by its text: there is no other
/// sign.
fn too_large(status: &Status) -> Option<&str> {
    let text = status.message();
    text.strip_prefix("Error, decoded message length too large: ")
        .filter(|_| status.code() == Code::OutOfRange)
}
