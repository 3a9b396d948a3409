//! Clients that do less than tonic's own: no deadlines of their own, small windows, cut wires.

use std::net::SocketAddr;

use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use taiwa::v1::agent_service_client::AgentServiceClient;
use taiwa_e2e::{Client, World};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tonic::{body::Body, transport::Endpoint};

/// A client that sends `grpc-timeout` and leaves it to the server to hold it.
pub(crate) type Patient = AgentServiceClient<HyperClient<HttpConnector, Body>>;

/// Makes a client that leaves deadlines to the server.
pub(crate) fn patient(world: &World) -> Patient {
    let mut connector = HttpConnector::new();
    // Else a request may wait 40 ms for the acknowledgement of the one before.
    connector.set_nodelay(true);
    let client = HyperClient::builder(TokioExecutor::new())
        .http2_only(true)
        .build(connector);
    let origin = format!("http://{}", world.server.local_addr());
    AgentServiceClient::with_origin(client, origin.parse().unwrap())
}

/// A client whose streams take no more than 4 KiB ahead of their reader.
pub(crate) async fn narrow(world: &World) -> Client {
    narrow_to(world.server.local_addr()).await
}

/// As [`narrow`], to any server.
pub(crate) async fn narrow_to(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(4_096)
        .initial_connection_window_size(16 << 20);
    Client::new(endpoint.connect().await.unwrap())
}

/// A connection that can be cut.
pub(crate) struct Wire {
    relay: JoinHandle<()>,
    pub(crate) client: Client,
}

impl Wire {
    /// Connects through a relay.
    pub(crate) async fn open(world: &World) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = world.server.local_addr();
        let relay = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            // Either side may end it; the other side's test says whether it should have.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        let client = narrow_to(address).await;
        Self { relay, client }
    }

    /// Cuts the connection.
    pub(crate) fn cut(&self) {
        self.relay.abort();
    }
}
