//! What a gRPC source is told, and what can be wrong with it.

use std::{fmt, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName};

/// Which methods of which service become tools, and how they are called.
///
/// Its `Debug` leaves the values of [`Config::metadata`] out.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Where the service is: `http://host:port`, or `https://host:port` for TLS.
    pub endpoint: String,
    /// The methods that become tools: `shop.v1.Inventory/GetStock`, or `shop.v1.Inventory/*` for
    /// all of a service. What is not listed is not called.
    pub methods: Vec<String>,
    /// A file with a `google.protobuf.FileDescriptorSet` of the service and all it imports.
    ///
    /// `None` asks the service itself, by `grpc.reflection.v1` or else `v1alpha`. A file made by
    /// `protoc --include_imports --include_source_info --descriptor_set_out=FILE`, or by
    /// `buf build -o FILE.binpb`, has the comments, which become descriptions.
    pub descriptor_set: Option<PathBuf>,
    /// Metadata of every call, also of reflection; may hold secrets.
    pub metadata: HeaderMap,
    /// Names of the caller's metadata that are sent along with its calls, such as `authorization`
    /// or `traceparent`; nothing else is.
    pub forward_metadata: Vec<HeaderName>,
    /// How the service is known and who we are to it; for an `https` endpoint alone.
    ///
    /// `None` trusts the roots of this machine.
    pub tls: Option<Tls>,
    /// What the result of a streaming method is.
    pub stream_result: StreamResult,
    /// Longest wait for a connection, its TLS included. More than zero; default 5 s.
    pub connect_timeout: Duration,
    /// Largest message that is taken from the service, in bytes. More than zero; default 4 MiB.
    ///
    /// A call holds up to this much, and about three times as much while it becomes JSON.
    pub max_message_bytes: usize,
}

/// How a service proves who it is, and how we do. The files are read at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities to trust, in PEM; `None` means the roots of this machine.
    pub ca: Option<PathBuf>,
    /// What we prove ourselves with; `None` means nothing.
    pub client: Option<ClientCertificate>,
    /// Name to look for in the service's certificate; `None` means the endpoint's host.
    pub server_name: Option<String>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// What the result of a method is that answers with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamResult {
    /// Its last message.
    #[default]
    Last,
    /// All its messages, as far as they fit a result: `{"items": [...], "itemsLeftOut": 0}`.
    All,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The endpoint is no address.
    #[error("endpoint: {reason}; write it as http://host:port or https://host:port")]
    Endpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is to become a tool.
    #[error("methods: none is listed; list them as package.Service/Method or package.Service/*")]
    NoMethods,
    /// It names no method.
    #[error(
        "methods: `{pattern}` names no method; write package.Service/Method or package.Service/*"
    )]
    Pattern {
        /// As it was written.
        pattern: String,
    },
    /// It would give reflection itself to the model.
    #[error("methods: `{pattern}` is the reflection service, which is no tool; take it off")]
    Reflection {
        /// As it was written.
        pattern: String,
    },
    /// The service is not there.
    #[error("methods: `{pattern}`: there is no service {service}; there are: {}", list(.known))]
    UnknownService {
        /// As it was written.
        pattern: String,
        /// Its part before the slash.
        service: String,
        /// The services that are there.
        known: Vec<String>,
    },
    /// The service has no such method.
    #[error("methods: `{pattern}`: the service has no such method; it has: {}", list(.known))]
    UnknownMethod {
        /// As it was written.
        pattern: String,
        /// The methods that it has.
        known: Vec<String>,
    },
    /// The client streams to it.
    #[error(
        "methods: `{pattern}`: the client streams to {}, which a tool cannot; {}",
        list(.streaming),
        fix_of_streaming(.pattern)
    )]
    ClientStreaming {
        /// As it was written.
        pattern: String,
        /// Names of the methods that it covers and that cannot be tools.
        streaming: Vec<String>,
    },
    /// The file of descriptors cannot be used.
    #[error("descriptor_set: {}: {reason}", .path.display())]
    DescriptorSet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The service's descriptors cannot be used.
    #[error("endpoint: the service's descriptors cannot be used: {reason}")]
    Descriptors {
        /// What is wrong with them.
        reason: String,
    },
    /// The service does not let us ask what it is made of.
    #[error("endpoint: the service refuses reflection: {reason}; {fix}")]
    ReflectionRefused {
        /// What it said.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
    /// TLS cannot be set up.
    #[error("tls: {reason}")]
    Tls {
        /// What is wrong, in which file.
        reason: String,
    },
    /// It is set by us or by gRPC itself.
    #[error("{field}: `{name}` is set by each call itself; take it off")]
    ReservedMetadata {
        /// The field: `metadata` or `forward_metadata`.
        field: &'static str,
        /// The name.
        name: HeaderName,
    },
    /// It has two sources, and it would not be clear whose is sent.
    #[error("forward_metadata: `{name}` is in metadata as well; take it off one of them")]
    MetadataTwice {
        /// The name.
        name: HeaderName,
    },
    /// It must be more than zero.
    #[error("{field}: zero; set it to more, or leave it at its default")]
    Zero {
        /// The field.
        field: &'static str,
    },
}

impl Config {
    /// A configuration with every other field at its default.
    pub fn new(
        endpoint: impl Into<String>,
        methods: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            methods: methods.into_iter().map(Into::into).collect(),
            descriptor_set: None,
            metadata: HeaderMap::new(),
            forward_metadata: Vec::new(),
            tls: None,
            stream_result: StreamResult::default(),
            connect_timeout: Duration::from_secs(5),
            max_message_bytes: 4 * 1024 * 1024,
        }
    }

    /// Finds what is wrong without a look at files or at the service.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if self.connect_timeout.is_zero() {
            return Err(StartError::Zero {
                field: "connect_timeout",
            });
        }
        if self.max_message_bytes == 0 {
            return Err(StartError::Zero {
                field: "max_message_bytes",
            });
        }
        let fixed = self.metadata.keys().map(|name| ("metadata", name));
        let forwarded = self.forward_metadata.iter();
        for (field, name) in fixed.chain(forwarded.map(|name| ("forward_metadata", name))) {
            if is_reserved(name) {
                let name = name.clone();
                return Err(StartError::ReservedMetadata { field, name });
            }
        }
        let mut forwarded = self.forward_metadata.iter();
        match forwarded.find(|name| self.metadata.contains_key(*name)) {
            Some(name) => Err(StartError::MetadataTwice { name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint)
            .field("methods", &self.methods)
            .field("descriptor_set", &self.descriptor_set)
            .field("metadata", &self.metadata.keys().collect::<Vec<_>>())
            .field("forward_metadata", &self.forward_metadata)
            .field("tls", &self.tls)
            .field("stream_result", &self.stream_result)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .finish()
    }
}

/// Headers that belong to a call or to HTTP, and never to who configures or asks.
///
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grpc-")
        || [
            "idempotency-key",
            "content-type",
            "content-length",
            "te",
            "user-agent",
            "host",
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
        ]
        .contains(&name)
}

fn fix_of_streaming(pattern: &str) -> &'static str {
    if pattern.ends_with("/*") {
        "list the other methods instead"
    } else {
        "take it off"
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn secrets_are_not_in_debug() {
        let mut config = Config::new("http://localhost:1", ["a.B/*"]);
        let token = HeaderValue::from_static("Bearer hush");
        config.metadata.insert("authorization", token);
        let shown = format!("{config:?}");
        assert!(shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn metadata_that_a_call_sets_itself_is_refused() {
        let mut config = Config::new("http://localhost:1", ["a.B/*"]);
        config.forward_metadata = vec![HeaderName::from_static("grpc-timeout")];
        assert_eq!(
            config.check().map_err(|error| error.to_string()),
            Err(
                "forward_metadata: `grpc-timeout` is set by each call itself; take it off"
                    .to_owned()
            )
        );
    }

    #[test]
    fn metadata_with_two_origins_is_refused() {
        let mut config = Config::new("http://localhost:1", ["a.B/*"]);
        config
            .metadata
            .insert("x-user-id", HeaderValue::from_static("1"));
        config.forward_metadata = vec![HeaderName::from_static("x-user-id")];
        let name = HeaderName::from_static("x-user-id");
        assert_eq!(config.check(), Err(StartError::MetadataTwice { name }));
    }

    #[test]
    fn limits_of_zero_are_refused() {
        let mut config = Config::new("http://localhost:1", ["a.B/*"]);
        config.max_message_bytes = 0;
        let field = "max_message_bytes";
        assert_eq!(config.check(), Err(StartError::Zero { field }));
    }
}
