//! A service that proves who it is, and asks who we are.

use std::fs;

use futures_util::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use taiwa_tools::grpc::{ClientCertificate, Config, Source, Tls};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{
    names, run,
    shop::{Options, Shop},
    sku, started, told,
};

const ALL: [&str; 1] = ["shop.v1.Inventory/*"];

#[tokio::test]
async fn a_service_is_known_by_its_authority_and_knows_us_by_our_certificate() {
    let folder = tempfile::tempdir().expect("there is room");
    let authority = authority();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("there is room");
        path
    };
    let (service, service_key) = certificate(&authority, "shop.internal");
    let (ours, our_key) = certificate(&authority, "taiwa");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(service, service_key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let shop = Shop::with(Options {
        tls: Some(tls),
        ..Options::default()
    });
    let mut config = Config::new(format!("https://{}", shop.address), ALL);
    let known = Tls {
        ca: Some(write("ca.pem", authority.pem())),
        client: Some(ClientCertificate {
            certificate: write("ours.pem", ours),
            key: write("ours.key", our_key.clone()),
        }),
        server_name: Some("shop.internal".to_owned()),
    };
    config.tls = Some(known.clone());

    let source = started(config.clone()).await;

    assert_eq!(told(run(&source, "GetStock", sku("a")).await)["sku"], "a");
    let strangers = [
        Tls {
            server_name: None,
            ..known.clone()
        },
        Tls {
            client: None,
            ..known.clone()
        },
        Tls {
            ca: Some(write("other.pem", self::authority().pem())),
            ..known.clone()
        },
    ];
    let sources = strangers.map(|tls| {
        started(Config {
            tls: Some(tls),
            ..config.clone()
        })
    });
    for source in join_all(sources).await {
        assert_eq!(names(&source), [""; 0]);
    }

    let wrong = Tls {
        client: Some(ClientCertificate {
            certificate: write("no.pem", our_key),
            key: folder.path().join("ours.key"),
        }),
        ..known
    };
    let told = refusal(&config, wrong).await;
    assert!(told.starts_with("tls: client.certificate: "), "{told}");
    assert!(
        told.ends_with("no.pem holds no CERTIFICATE in PEM"),
        "{told}"
    );
}

async fn refusal(config: &Config, tls: Tls) -> String {
    let mut config = config.clone();
    config.tls = Some(tls);
    let error = Source::start(config).await.expect_err("it is refused");
    error.to_string()
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there is randomness");
    CertifiedIssuer::self_signed(params, key).expect("it can sign")
}

/// A certificate and its key, in PEM.
fn certificate(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("there is randomness");
    let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
    let certificate = params.signed_by(&key, authority).expect("it can sign");
    (certificate.pem(), key.serialize_pem())
}
