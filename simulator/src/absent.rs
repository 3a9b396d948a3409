//! What stands in for a local model where the program was built without one.

use crate::{exception::Exception, live::Live, wire::Request};

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
