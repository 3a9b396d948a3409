//! Where region, credentials and endpoint come from when none is given by hand.
//!
//! The environment belongs to a whole process, so that each case is a process of its own: the
//! test runs itself again, with another environment.

use std::{env, fs, process::Stdio};

use taiwa_server::model::bedrock::{Bedrock, Config};
use tempfile::TempDir;
use tokio::process::Command;

use crate::peer::{Peer, Reply, hello};

/// Set in the processes that make a call.
const CALLER: &str = "TAIWA_TEST_CALLER";

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

#[tokio::test]
async fn the_standard_chain_is_followed() {
    if env::var_os(CALLER).is_some() {
        let told = Bedrock::connect(Config::default())
            .await
            .open(hello())
            .await;
        println!(
            "told: {:?}",
            told.map(|opened| opened.retries)
                .map_err(|failure| failure.message)
        );
        return;
    }
    let region = ("AWS_REGION", "eu-west-3");

    let told = call(&[region, KEYS[0], KEYS[1]]).await;
    assert_eq!(told.output, "Ok(0)");
    assert!(
        told.authorization
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIDENVIRONMENT/")
    );
    assert!(
        told.authorization
            .contains("/eu-west-3/bedrock/aws4_request")
    );

    let told = call(&[region, ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key")]).await;
    assert_eq!(
        (&*told.output, &*told.authorization),
        ("Ok(0)", "Bearer bedrock-api-key")
    );

    let told = call(&[("AWS_PROFILE", "staging")]).await;
    assert_eq!(told.output, "Ok(0)");
    assert!(
        told.authorization
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIDPROFILE/")
    );
    assert!(told.authorization.contains("/ap-south-1/"));

    let told = call(&[region]).await;
    for named in ["no AWS credentials", "--env-file", "--offline"] {
        assert!(told.output.contains(named), "{}", told.output);
    }
    let told = call(&KEYS).await;
    assert!(told.output.contains("no AWS region"), "{}", told.output);
}

/// What a call came to.
struct Told {
    /// What the caller saw.
    output: String,
    /// What the other side saw; empty when it saw nothing.
    authorization: String,
}

/// Makes a call in a process that has this environment and no other.
async fn call(variables: &[(&str, &str)]) -> Told {
    let mut peer = Peer::start([Reply::stream(&[])]).await;
    let home = TempDir::new().unwrap();
    let profile = "[profile staging]\nregion = ap-south-1\naws_access_key_id = AKIDPROFILE\n\
                   aws_secret_access_key = secret\n";
    fs::write(home.path().join("config"), profile).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "environment::the_standard_chain_is_followed",
            "--nocapture",
        ])
        .env_clear()
        .env(CALLER, "yes")
        .env(
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            format!("http://{}", peer.address),
        )
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", home.path().join("config"))
        .env(
            "AWS_SHARED_CREDENTIALS_FILE",
            home.path().join("credentials"),
        )
        .envs(variables.iter().copied())
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let told = output.lines().find_map(|line| line.split_once("told: "));
    let authorization = peer
        .next_request()
        .map(|request| request.header("authorization"));
    Told {
        output: told.unwrap().1.to_owned(),
        authorization: authorization.unwrap_or_default(),
    }
}
