//! The tree keeps its shape: sizes, names, and who may name what.

use std::{fs, path::Path};

/// Lines of code a file may have; tests, comments and blank lines are not counted.
const MOST_LINES: usize = 400;

/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = [
    "utils", "util", "helpers", "common", "misc", "types", "prelude",
];

/// Who alone may name a crate: its name in code, where that is, and why nobody else.
const FENCES: [Fence; 3] = [
    Fence {
        names: &["aws_sdk_bedrockruntime"],
        inside: &[
            "server/src/model/bedrock.rs",
            "server/src/model/bedrock/",
            "simulator/tests/",
            // A sample in an answer about code.
            "simulator/src/persona/code.rs",
            "client/tests/",
            "e2e/",
            "bench/",
        ],
        reason: "one module speaks with Bedrock",
    },
    Fence {
        names: &["tonic", "tonic_types", "tonic_health", "tonic_reflection"],
        inside: &[
            "build.rs",
            "src/",
            "tests/",
            "server/build.rs",
            "server/src/app.rs",
            "server/src/app/",
            "server/src/grpc.rs",
            "server/src/grpc/",
            "server/src/transport.rs",
            "server/src/transport/",
            "server/tests/",
            "tools/src/grpc.rs",
            "tools/src/grpc/",
            "tools/tests/",
            "client/",
            "e2e/",
            "bench/",
            "fuzz/",
        ],
        reason: "errors and streams become gRPC at the edge",
    },
    Fence {
        names: &["clap_complete", "clap_mangen"],
        inside: &["cli/"],
        reason: "the programs give completions and man pages in one way",
    },
];

struct Fence {
    names: &'static [&'static str],
    inside: &'static [&'static str],
    reason: &'static str,
}

#[test]
fn files_are_short_enough_to_read() {
    let mut long = Vec::new();
    for file in rust_files() {
        let lines = code_lines(&file.text).count();
        if !file.is_test() && lines > MOST_LINES && !is_excused(&file.path) {
            long.push(format!("{}: {lines} lines of code", file.path));
        }
    }
    for (path, _reason) in LONG_FILES {
        let excused = rust_files().into_iter().find(|file| file.path == path);
        let is_long = excused.is_some_and(|file| code_lines(&file.text).count() > MOST_LINES);
        if !is_long {
            long.push(format!("{path}: on the list of long files without need"));
        }
    }
    assert_none(&long, "split by state or by direction");
}

#[test]
fn modules_are_named_after_what_they_hold() {
    let mut bad = Vec::new();
    for file in rust_files() {
        let path = Path::new(&file.path);
        if path.ends_with("mod.rs") {
            bad.push(format!("{}: foo.rs beside foo/ instead", file.path));
        }
        let names = path.with_extension("");
        for name in names.iter().filter_map(|name| name.to_str()) {
            if EMPTY_NAMES.contains(&name) {
                bad.push(format!("{}: {name} says nothing", file.path));
            }
        }
        for line in code_lines(&file.text) {
            let declared = line.trim_start().split("mod ").nth(1);
            let name = declared.and_then(|rest| rest.split([' ', ';', '{']).next());
            if let Some(name) = name.filter(|name| EMPTY_NAMES.contains(name)) {
                bad.push(format!("{}: module {name} says nothing", file.path));
            }
        }
    }
    assert_none(&bad, "a function lives with the type it is about");
}

#[test]
fn lines_end_where_they_end() {
    let mut bad = Vec::new();
    // Rust is left to rustfmt: there, such a line stands in a string, and is data.
    for file in files(&["md", "proto", "toml", "yaml"]) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.contains('\t') || line.ends_with([' ', '\r']) {
                bad.push(format!("{}:{number}", file.path));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            bad.push(format!("{}: no line end at the end", file.path));
        }
    }
    assert_none(
        &bad,
        "a tab, a space before the line's end, or none at the file's",
    );
}

#[test]
fn crates_are_named_inside_their_fences_only() {
    let mut bad = Vec::new();
    for file in rust_files() {
        for fence in FENCES {
            let is_inside = fence
                .inside
                .iter()
                .any(|place| file.path.starts_with(place));
            let text_lines = file.text.lines().filter(|line| !is_comment(line));
            for line in text_lines.filter(|_| !is_inside) {
                if fence.names.iter().any(|name| names_crate(line, name)) {
                    bad.push(format!("{}: {} ({})", file.path, line.trim(), fence.reason));
                }
            }
        }
    }
    assert_none(&bad, "outside of its fence");
}

struct File {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }
}

fn rust_files() -> Vec<File> {
    let files = files(&["rs"]);
    assert!(files.len() > 10, "the tree is found");
    files
}

fn files(extensions: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the tree can be read") {
            let path = entry.expect("and its entries").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = !["target", "node_modules"].contains(&name.as_ref());
            if path.is_dir() && is_ours && !name.starts_with('.') {
                folders.push(path);
            } else if extensions.iter().any(|e| name.ends_with(&format!(".{e}"))) {
                let place = path.strip_prefix(root).expect("below the root");
                files.push(File {
                    path: place.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path).expect("a source file is text"),
                });
            }
        }
    }
    files
}

/// The lines before the unit tests that are neither blank nor comment.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim().is_empty() && !is_comment(line))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn is_excused(path: &str) -> bool {
    LONG_FILES.iter().any(|(long, _reason)| *long == path)
}

/// Whether the line has a path that begins at this crate.
fn names_crate(line: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        !before.is_some_and(|c| is_word(c) || c == '"')
            && (after.starts_with("::") || after.starts_with(" as "))
    })
}

#[track_caller]
fn assert_none(bad: &[String], rule: &str) {
    assert!(bad.is_empty(), "{rule}:\n{}", bad.join("\n"));
}
