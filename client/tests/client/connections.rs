//! Addresses, connections, TLS; and a proxy whose connections break at will.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use taiwa_client::{Client, Code, Error};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    fake::{Fake, quick},
    script::reply,
};

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let error = Client::connect(&endpoint).await.unwrap_err();

    let Error::Unreachable { endpoint: told, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*told, endpoint);
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.is_retryable(), "nothing happened");
}

#[tokio::test]
async fn a_lazy_client_tells_it_with_the_first_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let builder = Client::builder(&endpoint).reconnect(quick());
    let client = builder.connect_lazy().unwrap();
    let error = client.invoke("hi").await.unwrap_err();

    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_that_cannot_be_called_is_told_apart() {
    for endpoint in ["127.0.0.1:50051", "ftp://localhost", "", "http://"] {
        let error = Client::connect(endpoint).await.unwrap_err();
        assert!(
            matches!(error, Error::Endpoint { .. }),
            "{endpoint}: {error:?}"
        );
    }
    let plain = Client::builder("http://localhost:1").domain_name("example.com");
    let error = plain.connect().await.unwrap_err();
    assert!(matches!(error, Error::Endpoint { .. }), "{error:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply(&"x".repeat(100_000))) })
        .start()
        .await;
    let builder = Client::builder(&server.endpoint).max_message_bytes(10_000);

    let error = builder
        .connect()
        .await
        .unwrap()
        .invoke("hi")
        .await
        .unwrap_err();

    assert_eq!(error.code(), Code::OutOfRange, "{error:?}");
}

#[tokio::test]
async fn compression_is_offered_only_when_asked_for() {
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("")) })
        .start()
        .await;
    for gzip in [false, true] {
        let client = Client::builder(&server.endpoint)
            .gzip(gzip)
            .connect()
            .await
            .unwrap();
        client.invoke("hi").await.unwrap();
    }

    let offered = server.headers();
    let offered: Vec<_> = offered
        .iter()
        .map(|headers| headers.get("grpc-accept-encoding").is_some())
        .collect();

    assert_eq!(offered, [false, true]);
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_was_given_and_by_no_other() {
    let (ours, pem) = authority();
    let (_, stranger) = authority();
    let (certificate, key) = certified_by(&ours, "localhost");
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("safe")) })
        .start_with_tls(&certificate, &key)
        .await;

    let trusting = Client::builder(&server.endpoint).ca_certificate(&pem);
    let client = trusting.connect().await.unwrap();
    assert_eq!(client.invoke("hi").await.unwrap().text, "safe");

    for builder in [
        Client::builder(&server.endpoint).ca_certificate(&stranger),
        Client::builder(&server.endpoint),
        Client::builder(&server.endpoint)
            .ca_certificate(&pem)
            .domain_name("elsewhere.example"),
    ] {
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_the_clients() {
    let (ours, pem) = authority();
    let (certificate, key) = certified_by(&ours, "localhost");
    let (client_certificate, client_key) = certified_by(&ours, "client");
    let server = Fake::default()
        .invoke(|_| async { Ok(reply("known")) })
        .start_with_mutual_tls(&certificate, &key, &pem)
        .await;
    let trusting = Client::builder(&server.endpoint)
        .reconnect(quick())
        .ca_certificate(&pem);

    let known = trusting
        .clone()
        .client_identity(client_certificate, client_key);
    let client = known.connect().await.unwrap();
    assert_eq!(client.invoke("hi").await.unwrap().text, "known");

    // With TLS 1.3 the server may refuse only after the client thinks it is connected.
    let refused = match trusting.connect().await {
        Ok(client) => client.invoke("hi").await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
}

fn authority() -> (CertifiedIssuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let pem = issuer.pem();
    (issuer, pem)
}

fn certified_by(issuer: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Passes bytes on until told to break off.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    target: Arc<Mutex<String>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(String::new()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (to, list) = (target.clone(), connections.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((mut inbound, _)) = listener.accept().await {
                let address = to.lock().unwrap().clone();
                let passing = tokio::spawn(async move {
                    let mut outbound = TcpStream::connect(address).await.unwrap();
                    let _ = copy_bidirectional(&mut inbound, &mut outbound).await;
                });
                list.lock().unwrap().push(passing.abort_handle());
            }
        });
        Self {
            endpoint,
            target,
            connections,
            accepting: accepting.abort_handle(),
        }
    }

    pub(crate) fn lead_to(&self, endpoint: &str) {
        let address = endpoint.trim_start_matches("http://").to_owned();
        *self.target.lock().unwrap() = address;
    }

    pub(crate) fn break_connections(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_connections();
    }
}
