//! How a model's file comes to its place, and all that keeps it from there.

use std::{fs, net::SocketAddr, process::Command, sync::Arc};

use sha2::{Digest, Sha256};
use taiwa_simulator::local::{
    Error as LoadError,
    fetch::{self, fetch},
    shelf::{self, Known},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Bytes that stand for a model, and what is known of them.
fn known(bytes: &[u8]) -> Known {
    let sum = Sha256::digest(bytes);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    Known {
        file: "tiny.gguf",
        size_bytes: bytes.len() as u64,
        sha256: hex.leak(),
        repository: "someone/tiny",
        revision: "main",
    }
}

fn weights_of(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

/// What a server does with a download.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Sends up to this many bytes of each answer, then drops the connection.
    DropsAfter(usize),
    /// Sends everything from the start, whatever is asked for, and drops the first answer half-way.
    IgnoresRange,
    /// Sends to another path first.
    Redirects,
    /// Has no such file.
    Lacks,
}

/// A server of one file, and the requests that it got.
struct Server {
    address: SocketAddr,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Server {
    async fn start(bytes: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let head = read_head(stream, &bytes, manner, &seen).await;
                seen.lock().unwrap().push(head);
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}/tiny.gguf", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads one request, answers it, and closes the connection.
async fn read_head(
    stream: TcpStream,
    bytes: &[u8],
    manner: Manner,
    seen: &std::sync::Mutex<Vec<String>>,
) -> String {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return head;
        }
    }
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    let is_first = seen.lock().unwrap().is_empty();
    let (from, most) = match manner {
        Manner::DropsAfter(most) => (range.unwrap_or(0), most),
        Manner::IgnoresRange if is_first => (0, bytes.len() / 2),
        Manner::IgnoresRange | Manner::Redirects => (0, bytes.len()),
        Manner::Lacks => (0, 0),
    };
    let status = match manner {
        Manner::Lacks => "HTTP/1.1 404 Not Found\r\ncontent-length: 0".to_owned(),
        Manner::Redirects if head.starts_with("GET /tiny.gguf ") => {
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0".to_owned()
        }
        _ if from > 0 => format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}",
            bytes.len() - from,
            bytes.len() - 1,
            bytes.len(),
        ),
        _ => format!("HTTP/1.1 200 OK\r\ncontent-length: {}", bytes.len()),
    };
    let is_empty = status.contains("content-length: 0");
    let answer = format!("{status}\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    if !is_empty {
        let end = (from + most).min(bytes.len());
        // The client may have what it needs, and be gone.
        drop(stream.write_all(&bytes[from..end]).await);
    }
    drop(stream.shutdown().await);
    head
}

#[tokio::test]
async fn a_download_goes_on_where_the_connection_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::within(folder.path());
    let bytes = weights_of(300_000);
    let known = known(&bytes);
    let server = Server::start(bytes.clone(), Manner::DropsAfter(130_000)).await;
    let mut told = Vec::new();
    let url = server.url();
    let place = fetch(&shelf, &known, &url, |done, all| told.push((done, all)));
    let place = place.await.unwrap();
    assert_eq!(place, shelf.place(&known));
    assert!(place.ends_with(format!("taiwa/models/{}/tiny.gguf", &known.sha256[..12])));
    assert_eq!(fs::read(&place).unwrap(), bytes);
    assert!(!place.with_extension("gguf.part").exists());
    assert_eq!(told.last(), Some(&(300_000, 300_000)));
    let heads = server.heads();
    assert_eq!(heads.len(), 3, "{heads:?}");
    assert!(!heads[0].contains("range:"));
    assert!(heads[1].contains("range: bytes=130000-"), "{}", heads[1]);
    assert!(heads[2].contains("range: bytes=260000-"), "{}", heads[2]);

    fetch(&shelf, &known, &server.url(), |_, _| {})
        .await
        .unwrap();
    assert_eq!(server.heads().len(), 3, "it was there already");
}

#[tokio::test]
async fn a_download_that_was_given_up_goes_on_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::within(folder.path());
    let bytes = weights_of(100_000);
    let known = known(&bytes);
    let part = shelf.place(&known).with_extension("gguf.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &bytes[..60_000]).unwrap();
    let server = Server::start(bytes.clone(), Manner::DropsAfter(usize::MAX / 2)).await;
    let place = fetch(&shelf, &known, &server.url(), |_, _| {})
        .await
        .unwrap();
    assert_eq!(fs::read(place).unwrap(), bytes);
    assert!(server.heads()[0].contains("range: bytes=60000-"));
}

#[tokio::test]
async fn a_server_without_ranges_and_one_that_sends_elsewhere_will_do() {
    for manner in [Manner::IgnoresRange, Manner::Redirects] {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::within(folder.path());
        let bytes = weights_of(50_000);
        let known = known(&bytes);
        let server = Server::start(bytes.clone(), manner).await;
        let place = fetch(&shelf, &known, &server.url(), |_, _| {})
            .await
            .unwrap();
        assert_eq!(fs::read(place).unwrap(), bytes, "{manner:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_says_why_and_leaves_nothing_wrong_behind() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::within(folder.path());
    let bytes = weights_of(10_000);
    let known = known(&bytes);
    let part = shelf.place(&known).with_extension("gguf.part");

    let mut spoilt = bytes.clone();
    spoilt[7] ^= 1;
    let server = Server::start(spoilt, Manner::Redirects).await;
    let error = fetch(&shelf, &known, &server.url(), |_, _| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, fetch::Error::Shelf(shelf::Error::Mismatch { .. })),
        "{error}"
    );
    assert!(!part.exists() && shelf.find(&known).is_none());

    let server = Server::start(bytes, Manner::Lacks).await;
    let error = fetch(&shelf, &known, &server.url(), |_, _| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("model import"));

    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}/tiny.gguf");
    let error = fetch(&shelf, &known, &url, |_, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(!part.exists());

    let error = fetch(&shelf, &known, "ftp://example.com/a", |_, _| {})
        .await
        .unwrap_err();
    assert!(matches!(error, fetch::Error::Address { .. }), "{error}");
}

#[tokio::test]
async fn two_do_not_fetch_the_same_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::within(folder.path());
    let bytes = weights_of(1_000);
    let known = known(&bytes);
    let part = shelf.place(&known).with_extension("gguf.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    let held = fs::File::create(&part).unwrap();
    held.lock().unwrap();
    let server = Server::start(bytes, Manner::Redirects).await;
    let error = fetch(&shelf, &known, &server.url(), |_, _| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, fetch::Error::Shelf(shelf::Error::Busy { .. })),
        "{error}"
    );
}

#[test]
fn a_known_file_is_imported_and_any_other_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::within(folder.path());
    let other = folder.path().join("other.gguf");
    fs::write(&other, "GGUF, but not one of ours").unwrap();
    let error = shelf.import(&other, |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("--model-file"), "{error}");
    let error = shelf
        .import(&folder.path().join("none"), |_, _| {})
        .unwrap_err();
    assert!(matches!(error, shelf::Error::Read { .. }), "{error}");
    assert!(shelf.list().is_empty());

    let short = folder.path().join(TINY.file);
    fs::write(&short, "GGUF, and then nothing").unwrap();
    let error = shelf.import(&short, |_, _| {}).unwrap_err().to_string();
    assert!(
        error.contains("22 bytes where 98362432 are right"),
        "{error}"
    );

    let Some(weights) = weights() else { return };
    let place = shelf.import(&weights, |_, _| {}).unwrap();
    assert_eq!(place, shelf.place(&TINY));
    assert_eq!(shelf.list()[0].path, place);

    // One bit of it is enough.
    let mut bytes = fs::read(&place).unwrap();
    bytes[50_000_000] ^= 1;
    fs::remove_file(&place).unwrap();
    fs::write(&other, bytes).unwrap();
    let error = shelf.import(&other, |_, _| {}).unwrap_err();
    assert!(matches!(error, shelf::Error::Mismatch { .. }), "{error}");
    assert!(!place.with_extension("gguf.part").exists() && !place.exists());
}

#[test]
fn a_file_that_is_no_model_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let load = || Model::load(Settings::of(path.clone())).unwrap_err();
    assert!(matches!(load(), LoadError::Read { .. }));
    fs::write(&path, "PK\u{3}\u{4}").unwrap();
    assert!(matches!(load(), LoadError::NotGguf { .. }));

    let Some(weights) = weights() else { return };
    let whole = fs::read(weights).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = load().to_string();
    assert!(
        error.contains("architecture llama") && error.contains("within the file bounds"),
        "{error}"
    );

    let name = b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama";
    let at = whole.windows(name.len()).position(|it| it == name).unwrap();
    let mut strange = whole;
    let end = at + name.len();
    strange[end - 5..end].copy_from_slice(b"zebra");
    fs::write(&path, strange).unwrap();
    let error = load().to_string();
    assert!(
        error.contains("unknown model architecture: 'zebra'"),
        "{error}"
    );
}

/// Runs `model import` of the whole model in a shell that begins so; its words, and what is left.
fn import_under(before: &str, namespaces: &[&str], weights: &Path) -> (String, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_bedrock-simulator");
    let script = format!(
        "{before} && \"$PROGRAM\" model import \"$WEIGHTS\"; code=$?; \
         find \"$XDG_CACHE_HOME\" -type f; exit $code"
    );
    let mut command = Command::new("unshare");
    let done = command
        .args(namespaces)
        .args(["sh", "-c", &script])
        .env("XDG_CACHE_HOME", folder.path())
        .env("PROGRAM", program)
        .env("WEIGHTS", weights)
        .output()
        .unwrap();
    assert!(!done.status.success());
    let left = String::from_utf8(done.stdout).unwrap();
    (
        String::from_utf8(done.stderr).unwrap(),
        left.lines().map(PathBuf::from).collect(),
    )
}

#[test]
fn a_disk_without_room_and_one_that_fails_are_told_and_nothing_stays() {
    let Some(weights) = weights() else { return };
    // A disk of its own takes a namespace of its own; who is not root needs one for users too.
    let namespaces = ["--user", "--map-root-user", "--mount"];
    let probe = Command::new("unshare")
        .args(namespaces)
        .arg("true")
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        lacks("a mount namespace of its own");
        return;
    }
    let mount = "mount -t tmpfs -o size=64k none \"$XDG_CACHE_HOME\"";
    let (said, left) = import_under(mount, &namespaces, &weights);
    assert!(
        said.contains("no space left for") && said.contains("needs 98362432 bytes; make room"),
        "{said}"
    );
    assert_eq!(left, Vec::<PathBuf>::new());

    // Half way through, as a disk that fails would.
    let limit = "trap '' XFSZ && ulimit -f 20000";
    let (said, left) = import_under(limit, &[], &weights);
    assert!(
        said.contains("cannot write") && said.contains("File too large"),
        "{said}"
    );
    assert_eq!(left, Vec::<PathBuf>::new());
}
