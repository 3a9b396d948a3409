//! What stands in for a local model where the program was built without one.

use crate::{exception::Exception, live::Live, wire::Request};

/// What to say to whoever asks for a local model.
pub const MISSING: &str = "this program was built without local models; `cargo build --features \
    taiwa-server/local-model,taiwa-simulator/local-model` builds them in, which needs a C++ \
    compiler, cmake and libclang (Debian: apt install g++ cmake libclang-dev)";

/// A language model on this machine; this build has none, so there can be no value of it.
///
/// Build with the feature `local-model` to load one.
#[derive(Debug, Clone)]
pub enum Model {}

impl Model {
    /// The model id that asks for it.
    #[must_use]
    pub fn id(&self) -> &str {
        match *self {}
    }

    pub(crate) fn ask(&self, _request: &Request) -> Result<Live, Exception> {
        match *self {}
    }
}
