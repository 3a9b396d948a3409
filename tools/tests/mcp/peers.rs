//! The reference servers, which nobody here wrote: every tool that they list is called.
//!
//! `tools/tests/peers/npm.sh` installs them. Without them these tests say that they are left out; in CI
//! they fail.

use std::{
    collections::BTreeSet,
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taiwa_core::{media::ImageFormat, tool::ToolResultBlock};
use taiwa_tools::{Error, Source as _, mcp};
use tokio::{net::TcpStream, process::Command};

use crate::{call, eventually, json, names, run, start, text, tool, variables};

/// The file that starts a reference server, where it is installed.
fn installed(server: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = env::var_os("TAIWA_TOOLS").map_or_else(|| root.join(".tools"), PathBuf::from);
    let modules = tools.join("tools-peers/node_modules/@modelcontextprotocol");
    let file = modules.join(server).join("dist/index.js");
    if file.exists() {
        return Some(file);
    }
    let missing = format!(
        "{} is missing: tools/tests/peers/npm.sh installs it",
        file.display()
    );
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
    eprintln!("LEFT OUT: {missing}");
    None
}

fn node(script: &Path, args: &[&str]) -> mcp::Transport {
    let script = [script.display().to_string()];
    mcp::Transport::Stdio {
        command: "node".into(),
        args: script
            .into_iter()
            .chain(args.iter().map(|arg| (*arg).to_owned()))
            .collect(),
        env: variables([]),
        cwd: None,
    }
}

#[tokio::test]
async fn everything_over_pipes() {
    let Some(script) = installed("server-everything") else {
        return;
    };
    let source = start(node(&script, &["stdio"])).await;
    call_everything(&source).await;
    source.stop().await;
}

#[tokio::test]
async fn everything_over_http_and_after_its_restart() {
    let Some(script) = installed("server-everything") else {
        return;
    };
    // The server does not tell which port it was given, so it is told one that was free just now.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
    let port = port.expect("a port is free").port();
    let listen = || async {
        let mut command = Command::new("node");
        command
            .arg(&script)
            .arg("streamableHttp")
            .env("PORT", port.to_string());
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let server = command.spawn().expect("node can be started");
        eventually("the server listens", || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        server
    };
    let mut server = listen().await;
    let source = start(mcp::Transport::Http {
        url: format!("http://127.0.0.1:{port}/mcp"),
        headers: http::HeaderMap::new(),
        bearer: None,
        forward_metadata: Vec::new(),
    })
    .await;
    call_everything(&source).await;
    // One session is lost without a connection being refused in between.
    server.kill().await.expect("it can be killed");
    let server = listen().await;
    let again = run(&source, "echo", json!({"message": "again"})).await;
    assert_eq!(again.map(|output| text(&output)), Ok("Echo: again".into()));
    source.stop().await;
    drop(server);
}

/// Calls each tool of the reference server, and compares what it gives.
async fn call_everything(source: &mcp::Source) {
    let listed: BTreeSet<String> = names(&source.tools().borrow()).into_iter().collect();
    let mut called = BTreeSet::new();
    let mut run = async |name: &'static str, input: Value| {
        called.insert(name.to_owned());
        let schema = tool(source, name).definition().schema.clone();
        assert_eq!(schema.check(&input), Ok(()), "the input of {name}");
        run(source, name, input).await
    };

    let echo = run("echo", json!({"message": "hello"}))
        .await
        .expect("it echoes");
    assert_eq!(text(&echo), "Echo: hello");
    let sum = run("get-sum", json!({"a": 2, "b": 3.5}))
        .await
        .expect("it adds");
    assert_eq!(text(&sum), "The sum of 2 and 3.5 is 5.5.");
    let variables = run("get-env", json!({}))
        .await
        .expect("it tells its environment");
    assert!(text(&variables).contains("PATH"));
    let image = run("get-tiny-image", json!({}))
        .await
        .expect("it gives an image");
    let is_png = |block: &ToolResultBlock| matches!(block, ToolResultBlock::Image(image) if image.format == ImageFormat::Png);
    assert_eq!(
        image.content.iter().filter(|block| is_png(block)).count(),
        1
    );
    let annotated = json!({"messageType": "error", "includeImage": true});
    let annotated = run("get-annotated-message", annotated)
        .await
        .expect("it gives a message");
    assert!(annotated.content.iter().any(is_png) && text(&annotated).contains("Error"));
    let weather = run("get-structured-content", json!({"location": "Chicago"})).await;
    let weather = weather.expect("it knows the weather");
    assert!(json(&weather)["temperature"].is_number());
    assert_eq!(
        weather.content.len(),
        1,
        "the same is not said twice: {weather:?}"
    );
    let links = run("get-resource-links", json!({"count": 2}))
        .await
        .expect("it gives links");
    assert_eq!(
        text(&links).matches("demo://resource/").count(),
        2,
        "{links:?}"
    );
    for (kind, shown) in [("Text", "demo://resource/"), ("Blob", "demo://resource/")] {
        let input = json!({"resourceType": kind, "resourceId": 1});
        let resource = run("get-resource-reference", input)
            .await
            .expect("it gives a resource");
        assert!(text(&resource).contains(shown), "{resource:?}");
    }
    for kind in ["resourceLink", "resource"] {
        let input = json!({"name": "a.gz", "data": "data:text/plain,hello", "outputType": kind});
        let file = run("gzip-file-as-resource", input).await.expect("it packs");
        assert!(text(&file).contains("application/gzip"), "{file:?}");
    }
    for name in ["toggle-simulated-logging", "toggle-subscriber-updates"] {
        for _ in ["on", "off"] {
            let toggled = run(name, json!({})).await.expect("it is toggled");
            assert!(!toggled.is_error, "{toggled:?}");
        }
    }
    // It runs only as a task, which we do not offer: the model is told.
    let research = run("simulate-research-query", json!({"topic": "tea"})).await;
    let refusal = match &research {
        Ok(output) if output.is_error => text(output),
        Err(Error::Failed(why)) => why.clone(),
        other => panic!("it takes no plain call: {other:?}"),
    };
    assert!(refusal.contains("task"), "{refusal}");

    called.insert("trigger-long-running-operation".into());
    assert_eq!(listed, called, "each tool that is listed is called");

    let (long, mut progress) = call(json!({"duration": 0.4, "steps": 4}));
    let operation = tool(source, "trigger-long-running-operation");
    let running = tokio::spawn(operation.call(long));
    let mut told = Vec::new();
    while let Some(piece) = progress.next().await {
        told.push(piece);
    }
    assert_eq!(told.last().map(String::as_str), Some("4/4"), "{told:?}");
    let done = running.await.expect("it runs").expect("it succeeds");
    assert!(text(&done).contains("completed"), "{done:?}");

    let (endless, mut progress) = call(json!({"duration": 600, "steps": 6000}));
    let running = tokio::spawn(operation.call(endless));
    progress.next().await.expect("it has begun");
    let begin = Instant::now();
    running.abort();
    assert!(running.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(progress.next().await, None);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let echo = crate::run(source, "echo", json!({"message": "still there"})).await;
    assert_eq!(
        echo.map(|output| text(&output)),
        Ok("Echo: still there".into())
    );
}

#[tokio::test]
async fn a_file_is_written_read_and_listed_and_none_outside_is() {
    let Some(script) = installed("server-filesystem") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("it is there");
    let path = |name: &str| folder.join(name).display().to_string();
    let source = start(node(&script, &[&path("")])).await;
    let listed: BTreeSet<String> = names(&source.tools().borrow()).into_iter().collect();
    let mut called = BTreeSet::new();
    let mut run = async |name: &'static str, input: Value| {
        called.insert(name.to_owned());
        let output = run(&source, name, input).await.expect("the server answers");
        assert!(!output.is_error, "{name}: {output:?}");
        output
    };

    run("create_directory", json!({"path": path("notes")})).await;
    let note = path("notes/tea.txt");
    run(
        "write_file",
        json!({"path": note, "content": "green\nblack\n"}),
    )
    .await;
    assert_eq!(
        fs::read_to_string(&note).ok().as_deref(),
        Some("green\nblack\n")
    );
    let edit = json!([{"oldText": "black", "newText": "white"}]);
    run("edit_file", json!({"path": note, "edits": edit})).await;
    for name in ["read_file", "read_text_file"] {
        let read = run(name, json!({"path": note})).await;
        let read = format!("{:?}", read.content);
        assert!(
            read.contains("green") && read.contains("white"),
            "{name}: {read}"
        );
    }
    fs::write(path("dot.png"), b"\x89PNG\r\n\x1a\n").expect("the folder can be written to");
    let media = run("read_media_file", json!({"path": path("dot.png")})).await;
    let is_image = |block: &ToolResultBlock| matches!(block, ToolResultBlock::Image(_));
    assert!(media.content.iter().any(is_image), "{media:?}");
    let moved = path("notes/coffee.txt");
    run("move_file", json!({"source": note, "destination": moved})).await;
    for (name, input) in [
        ("read_multiple_files", json!({"paths": [moved]})),
        ("list_directory", json!({"path": path("notes")})),
        ("list_directory_with_sizes", json!({"path": path("notes")})),
        ("directory_tree", json!({"path": path("")})),
        (
            "search_files",
            json!({"path": path(""), "pattern": "**/coffee*"}),
        ),
    ] {
        let output = run(name, input).await;
        assert!(
            format!("{output:?}").contains("coffee.txt"),
            "{name}: {output:?}"
        );
    }
    let info = run("get_file_info", json!({"path": moved})).await;
    assert!(format!("{info:?}").contains("size"), "{info:?}");
    let allowed = run("list_allowed_directories", json!({})).await;
    assert!(format!("{allowed:?}").contains(&folder.display().to_string()));
    assert_eq!(listed, called, "each tool that is listed is called");

    let outside = json!({"path": "/etc/passwd"});
    let outside = crate::run(&source, "read_text_file", outside)
        .await
        .expect("it answers");
    assert!(
        outside.is_error && text(&outside).contains("denied"),
        "{outside:?}"
    );
    source.stop().await;
}
