//! A gRPC service that goes away as a killed process does, and comes back at the same address.

use std::{net::SocketAddr, thread, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::service::Routes;

/// The health service of a server, in a runtime of its own.
pub(crate) struct Watchman {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Watchman {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Self {
            address: listener.local_addr().expect("it is bound"),
            runtime: Some(listen(listener)),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it, in the midst of whatever it does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits until its tasks are dropped, and their sockets with them; not on a thread of
            // another runtime, which may not wait.
            thread::scope(|scope| {
                scope.spawn(|| runtime.shutdown_timeout(Duration::from_secs(5)));
            });
        }
    }

    /// Has it listen again.
    pub(crate) fn revive(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).expect("its port is still free");
        self.runtime = Some(listen(listener));
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(listener: std::net::TcpListener) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("there are threads");
    listener.set_nonblocking(true).expect("it can be");
    runtime.spawn(async {
        let listener = TcpListener::from_std(listener).expect("it is nonblocking");
        let (_reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors are right");
        let routes = Routes::new(health).add_service(reflection).prepare();
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(routes.clone());
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new()).http2_only();
                // Whoever is cut off sees it.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    runtime
}
