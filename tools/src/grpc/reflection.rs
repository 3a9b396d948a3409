//! Asks a service what it is made of.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tonic::{
    Code, Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery,
    metadata::MetadataMap, transport::Channel,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ErrorResponse, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{Config, StartError, channel::Link, selection::Pattern, status};

/// Why a service's description was not read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The service is not there, or not well; it may be later.
    Unreachable(String),
    /// It is there, and what it says does not go with the configuration.
    Refused(StartError),
}

/// The two names under which services offer reflection. Their messages are the same on the wire,
/// so that one's types serve both.
const VERSIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Largest answer, and most that all descriptors of a service may take, in bytes. Google Ads, among
/// the largest there are, takes about 10 MiB.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A talk with the reflection service: one answer for one request.
struct Talk {
    requests: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

/// Reads the files that describe the services of `patterns`.
pub(super) async fn read(
    link: &Link,
    config: &Config,
    patterns: &[Pattern],
) -> Result<DescriptorPool, Failure> {
    let mut refusal = None;
    for version in VERSIONS {
        let reading = Reading {
            link,
            config,
            version,
        };
        match reading.files(patterns).await {
            Err(ReadError::Status(status)) if status.code() == Code::Unimplemented => {
                refusal = Some(status);
            }
            Err(error) => return Err(error.into()),
            Ok(files) => return pool(files),
        }
    }
    let status = refusal.unwrap_or_else(|| Status::unimplemented(""));
    Err(ReadError::Status(status).into())
}

struct Reading<'a> {
    link: &'a Link,
    config: &'a Config,
    version: &'static str,
}

enum ReadError {
    Status(Status),
    Refused(StartError),
}

impl Reading<'_> {
    async fn files(&self, patterns: &[Pattern]) -> Result<Vec<FileDescriptorProto>, ReadError> {
        let mut files = BTreeMap::new();
        let mut size_bytes = 0;
        let mut talk = None;
        for pattern in patterns {
            let symbol = MessageRequest::FileContainingSymbol(pattern.service().to_owned());
            match self.ask(&mut talk, symbol).await {
                Err(ReadError::Status(status)) if status.code() == Code::NotFound => {
                    let known = self.services().await?;
                    return Err(ReadError::Refused(pattern.unknown_service(known)));
                }
                answer => add_files(answer?, &mut files, &mut size_bytes)?,
            }
        }
        // The well-known types are at hand, and a service need not have them.
        let known = DescriptorPool::global();
        loop {
            let needed: BTreeSet<_> = files.values().flat_map(|f| &f.dependency).collect();
            let missing = needed
                .into_iter()
                .find(|name| !files.contains_key(*name) && known.get_file_by_name(name).is_none());
            let Some(name) = missing.cloned() else {
                return Ok(files.into_values().collect());
            };
            let request = MessageRequest::FileByFilename(name.clone());
            let answer = self.ask(&mut talk, request).await;
            let is_there = match answer {
                Err(ReadError::Status(status)) if status.code() == Code::NotFound => false,
                answer => {
                    add_files(answer?, &mut files, &mut size_bytes)?;
                    files.contains_key(&name)
                }
            };
            if !is_there {
                let reason = format!("{name} is imported, and the service does not have it");
                return Err(ReadError::Refused(StartError::Descriptors { reason }));
            }
        }
    }

    async fn services(&self) -> Result<Vec<String>, ReadError> {
        let request = MessageRequest::ListServices("*".to_owned());
        let answer = self.ask(&mut None, request).await?;
        let MessageResponse::ListServicesResponse(list) = answer else {
            return Err(unexpected());
        };
        Ok(list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect())
    }

    async fn ask(
        &self,
        talk: &mut Option<Talk>,
        request: MessageRequest,
    ) -> Result<MessageResponse, ReadError> {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        };
        let open = match talk {
            None => talk.insert(self.open(request).await?),
            Some(open) => {
                // When nobody takes it, the answers say why.
                let _ = open.requests.send(request).await;
                open
            }
        };
        let answer = open.answers.message().await.map_err(ReadError::Status)?;
        match answer.and_then(|answer| answer.message_response) {
            Some(MessageResponse::ErrorResponse(error)) => Err(error.into()),
            Some(answer) => Ok(answer),
            None => Err(unexpected()),
        }
    }

    /// Begins a talk, with its first request: services may say nothing before they have one.
    async fn open(&self, first: ServerReflectionRequest) -> Result<Talk, ReadError> {
        // One: a request follows the answer to the one before.
        let (requests, mut waiting) = mpsc::channel(1);
        let _ = requests.send(first).await;
        let mut request = Request::new(stream::poll_fn(move |cx| waiting.poll_recv(cx)));
        *request.metadata_mut() = MetadataMap::from_headers(self.config.metadata.clone());
        let mut client: Grpc<Channel> =
            Grpc::new(self.link.channel.clone()).max_decoding_message_size(MAX_BYTES);
        client
            .ready()
            .await
            .map_err(|error| ReadError::Status(Status::from_error(error.into())))?;
        let path = PathAndQuery::from_static(self.version);
        let answers = client
            .streaming(request, path, ProstCodec::default())
            .await
            .map_err(ReadError::Status)?
            .into_inner();
        Ok(Talk { requests, answers })
    }
}

fn add_files(
    answer: MessageResponse,
    files: &mut BTreeMap<String, FileDescriptorProto>,
    size_bytes: &mut usize,
) -> Result<(), ReadError> {
    let MessageResponse::FileDescriptorResponse(answer) = answer else {
        return Err(unexpected());
    };
    for encoded in answer.file_descriptor_proto {
        let file = FileDescriptorProto::decode(encoded.as_slice()).map_err(|error| {
            let reason = format!("a file cannot be decoded: {error}");
            ReadError::Refused(StartError::Descriptors { reason })
        })?;
        if files.contains_key(file.name()) {
            continue;
        }
        *size_bytes += encoded.len();
        if *size_bytes > MAX_BYTES {
            let reason = format!("they take more than {MAX_BYTES} bytes");
            return Err(ReadError::Refused(StartError::Descriptors { reason }));
        }
        files.insert(file.name().to_owned(), file);
    }
    Ok(())
}

fn pool(files: Vec<FileDescriptorProto>) -> Result<DescriptorPool, Failure> {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_protos(files).map_err(|error| {
        let reason = error.to_string();
        Failure::Refused(StartError::Descriptors { reason })
    })?;
    Ok(pool)
}

fn unexpected() -> ReadError {
    ReadError::Status(Status::internal(
        "reflection gave no answer to what was asked",
    ))
}

impl From<ErrorResponse> for ReadError {
    fn from(error: ErrorResponse) -> Self {
        Self::Status(Status::new(
            Code::from(error.error_code),
            error.error_message,
        ))
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let status = match error {
            ReadError::Refused(error) => return Self::Refused(error),
            ReadError::Status(status) => status,
        };
        let fix = match status.code() {
            Code::Unimplemented => "serve it, or set descriptor_set",
            Code::Unauthenticated | Code::PermissionDenied => {
                "put a credential into metadata, or set descriptor_set"
            }
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => return Self::Unreachable(status::reason(&status)),
        };
        let reason = status::reason(&status);
        Self::Refused(StartError::ReflectionRefused { reason, fix })
    }
}
