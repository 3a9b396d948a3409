//! gRPC services as tools: listed methods of a service become tools of a model.
//!
//! What a service is made of is asked from itself by server reflection, or read from a file that
//! its compiler wrote. The comments on a method and on its fields tell the model when and how to
//! use it; reflection seldom has them.
//!
//! A call sends along how much time is left (`grpc-timeout`), a key by which the service can tell
//! that a call is made again (`idempotency-key`), and of the caller's metadata what the
//! configuration lists. Dropping the call resets its stream, so that the service sees it cancelled.
//!
//! Methods to which the client streams are no tools: a model calls with one input.

mod channel;
mod codec;
mod comments;
mod config;
mod json;
mod method;
mod names;
mod reader;
mod reflection;
mod schema;
mod selection;
mod status;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::{ClientCertificate, Config, StartError, StreamResult, Tls};
use self::reader::Reader;
use crate::{Source as ToolSource, Tools};

/// The tools of a gRPC service.
///
/// While it lives, it reads the service's description again whenever the service was not reachable
/// and is again, and gives other tools where they changed. Tools already taken can be called for
/// longer.
#[derive(Debug)]
pub struct Source {
    endpoint: String,
    tools: watch::Sender<Tools>,
    _reader: Option<AbortOnDropHandle<()>>,
}

impl Source {
    /// Checks the configuration, and makes the tools.
    ///
    /// A service that cannot be reached within a few seconds starts without tools, which appear
    /// when it is there; with a descriptor set the tools are known without it.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the configuration has a fault: it names the field and what to do. What
    /// only the service can say is found at start if it is reached then, and is logged otherwise.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when the future is dropped.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let endpoint = config.endpoint.clone();
        let (tools, _) = watch::channel(Tools::from([]));
        let reader = match reader::start(Arc::new(config), &tools).await? {
            Reader::Done => None,
            Reader::Watching(task) => Some(AbortOnDropHandle::new(tokio::spawn(
                task.run(tools.clone()),
            ))),
        };
        Ok(Self {
            endpoint,
            tools,
            _reader: reader,
        })
    }

    /// Where the service is, as it was configured.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl ToolSource for Source {
    fn tools(&self) -> watch::Receiver<Tools> {
        self.tools.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use protox::{
        Compiler, Error,
        file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
    };

    /// The descriptors, with comments, of a file; in proto3, unless it says otherwise.
    pub(crate) fn pool(text: &str) -> DescriptorPool {
        let mut resolver = ChainFileResolver::new();
        resolver.add(GoogleFileResolver::new());
        resolver.add(Text(if text.contains("syntax =") {
            text.to_owned()
        } else {
            format!("syntax = \"proto3\";\n{text}")
        }));
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_source_info(true).include_imports(true);
        compiler
            .open_file("test.proto")
            .expect("the test's file is right");
        compiler.descriptor_pool()
    }

    struct Text(String);

    impl FileResolver for Text {
        fn open_file(&self, name: &str) -> Result<File, Error> {
            if name == "test.proto" {
                File::from_source(name, &self.0)
            } else {
                Err(Error::file_not_found(name))
            }
        }
    }
}
