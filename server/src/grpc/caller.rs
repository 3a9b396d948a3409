//! Who calls, until when, and what the tools of the agent that is asked are told of it.

use std::sync::Arc;

use taiwa_core::{Agent, Failure};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::{deadline, tenant::TenantSource};
use crate::session::CallFacts;

/// Who calls, and until when.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) tenant: Arc<str>,
    pub(super) deadline: Option<Instant>,
    metadata: MetadataMap,
}

impl Caller {
    /// Reads the metadata of a call.
    ///
    /// # Errors
    ///
    /// Those of [`TenantSource::tenant`] and [`deadline::of`].
    pub(super) fn of(metadata: MetadataMap, tenants: &TenantSource) -> Result<Self, Failure> {
        Ok(Self {
            tenant: tenants.tenant(&metadata)?,
            deadline: deadline::of(&metadata)?,
            metadata,
        })
    }

    /// Takes what an agent's tools are told of the call, which nothing is kept of beside it.
    ///
    /// An agent without tools has nobody to tell; and metadata holds credentials, and would be
    /// kept for as long as a stream is open.
    pub(super) fn take_facts(&mut self, agent: &Agent) -> Arc<CallFacts> {
        let metadata = std::mem::take(&mut self.metadata);
        if !agent.serves_tools {
            return Arc::default();
        }
        Arc::new(CallFacts {
            metadata: metadata.into_headers(),
            depth: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::convert::fixture;

    #[test]
    fn metadata_is_taken_for_the_tools_of_an_agent_that_has_some_and_not_kept_otherwise() {
        let plain = fixture::agent();
        let serving = Agent {
            serves_tools: true,
            ..fixture::agent()
        };
        for (agent, told) in [(plain, None), (serving, Some("Bearer x"))] {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", "Bearer x".parse().unwrap());
            let mut caller = Caller::of(metadata, &TenantSource::Single).unwrap();
            let facts = caller.take_facts(&agent);
            let kept = facts.metadata.get("authorization");
            assert_eq!(kept.map(|value| value.to_str().unwrap()), told);
            assert!(caller.metadata.is_empty());
        }
    }
}
