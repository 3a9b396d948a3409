//! Asks a server that runs how it is, as `grpc.health.v1.Health` tells it.

use std::time::Duration;

use http::uri::Authority;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// A question for the health of a server as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Host and port of the server; it is asked in plain text.
    pub address: Authority,
    /// How long it may take to answer, with looking its name up and connecting.
    pub timeout: Duration,
}

/// Why a server is not known to serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It says so itself, as one does that was asked to stop.
    #[error("{address} says {status}")]
    NotServing {
        /// The server.
        address: Authority,
        /// What it says, in the words of the protocol.
        status: &'static str,
    },
    /// Nothing listens there, or nothing that speaks HTTP/2.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The server.
        address: Authority,
        /// What stood in the way.
        #[source]
        source: tonic::transport::Error,
    },
    /// Something listens there, and did not answer in time.
    #[error("no answer from {address} within {}", humantime::format_duration(*timeout))]
    Silent {
        /// The server.
        address: Authority,
        /// The time that it had.
        timeout: Duration,
    },
    /// It answers, and does not tell its health.
    #[error("{address} does not tell its health: {code:?}, {message:?}")]
    Refused {
        /// The server.
        address: Authority,
        /// What it answers.
        code: Code,
        /// And its words.
        message: String,
    },
}

impl Check {
    /// Asks once; returns when the server says that it serves.
    ///
    /// # Errors
    ///
    /// When it says anything else, or nothing in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the connection.
    pub async fn ask(self) -> Result<(), Error> {
        let Self { address, timeout } = self;
        let answer = tokio::time::timeout(timeout, status(&address)).await;
        match answer.unwrap_or(Err(Error::Silent {
            address: address.clone(),
            timeout,
        }))? {
            ServingStatus::Serving => Ok(()),
            other @ (ServingStatus::Unknown
            | ServingStatus::NotServing
            | ServingStatus::ServiceUnknown) => Err(Error::NotServing {
                address,
                status: other.as_str_name(),
            }),
        }
    }
}

async fn status(address: &Authority) -> Result<ServingStatus, Error> {
    let unreachable = |source| Error::Unreachable {
        address: address.clone(),
        source,
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(unreachable)?;
    let channel = endpoint.connect().await.map_err(unreachable)?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map_err(|status| Error::Refused {
            address: address.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        })?;
    Ok(answer.into_inner().status())
}
