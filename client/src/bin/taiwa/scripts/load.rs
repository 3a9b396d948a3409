//! From flags and files to scripts.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use taiwa_client::pb;

use super::Script;
use crate::{
    args::{Answers, Approval},
    failure::{Exit, Failure},
};

/// How far into a script its description is looked for.
const HEAD: u64 = 4 << 10;

/// Takes any object.
const ANYTHING: &str = r#"{"type":"object"}"#;

/// A file of tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tools {
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    #[serde(default)]
    description: String,
    command: Command,
    /// As a table, or as JSON text.
    schema: Option<Value>,
    schema_file: Option<PathBuf>,
    timeout: Option<String>,
    approval: Option<Approval>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Command {
    Program(String),
    WithArguments(Vec<String>),
}

/// All scripts that are named, in the order of the flags.
pub(super) fn all(answers: &Answers) -> Result<Vec<Script>, Failure> {
    let mut scripts = Vec::new();
    for (name, program) in &answers.scripts {
        scripts.push(alone(name, program)?);
    }
    for path in &answers.tool_files {
        let refused = |what: String| {
            let what = format!("the tools in {} cannot be used: {what}", path.display());
            Failure::new(Exit::Usage, what)
        };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let file: Tools = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        for tool in file.tools {
            let name = tool.name.clone();
            let script = tool.script(path.parent().unwrap_or(Path::new("")));
            scripts.push(script.map_err(|what| refused(format!("{name}: {what}")))?);
        }
    }
    Ok(scripts)
}

/// A script of which nothing is known but its name.
fn alone(name: &str, program: &Path) -> Result<Script, Failure> {
    let head = File::open(program).map_err(|error| {
        let what = format!("{} cannot be read: {error}", program.display());
        Failure::new(Exit::Usage, what)
    })?;
    Ok(Script {
        spec: spec(name, &description(&head), ANYTHING.to_owned()),
        // A name without a folder would be looked for among the installed programs.
        program: Path::new(".").join(program).into(),
        arguments: Vec::new(),
        timeout: None,
    })
}

/// The first line of the comment at the head of a script, after the line that names its
/// interpreter; none of a program that is not text.
fn description(script: &File) -> String {
    let lines = BufReader::new(script.take(HEAD)).lines();
    let lines = lines.map_while(Result::ok).enumerate();
    let head = lines.filter(|(at, line)| *at > 0 || !line.starts_with("#!"));
    let comments = head.map_while(|(_, line)| {
        let marks = ["#", "//", "--", ";"];
        let is_comment = marks.iter().any(|mark| line.starts_with(mark));
        let said = line.trim_start_matches(['#', '/', '-', ';']).trim();
        (is_comment || said.is_empty()).then(|| said.to_owned())
    });
    let mut comments = comments.filter(|said| !said.is_empty());
    comments.next().unwrap_or_default()
}

fn spec(name: &str, description: &str, schema: String) -> pb::ToolSpec {
    pb::ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(schema)),
        ..Default::default()
    }
}

impl Tool {
    /// The script; its paths begin where the file is.
    fn script(self, folder: &Path) -> Result<Script, String> {
        let schema = self.schema(folder)?;
        let mut spec = spec(&self.name, &self.description, schema);
        let timeout = self.timeout.as_deref().map(humantime::parse_duration);
        let timeout = timeout
            .transpose()
            .map_err(|error| format!("timeout: {error}"))?;
        if let Some(approval) = self.approval {
            spec.set_approval(approval.mode());
        }
        spec.timeout = timeout.map(wire).transpose()?;
        let mut words = match self.command {
            Command::Program(program) => vec![program],
            Command::WithArguments(words) => words,
        }
        .into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or("command: names no program")?;
        Ok(Script {
            spec,
            program: beside(folder, &program),
            arguments: words.collect(),
            timeout,
        })
    }

    fn schema(&self, folder: &Path) -> Result<String, String> {
        let text = match (&self.schema, &self.schema_file) {
            (None, None) => return Ok(ANYTHING.to_owned()),
            (Some(_), Some(_)) => {
                return Err("schema and schema_file exclude each other".to_owned());
            }
            (Some(Value::String(text)), None) => text.clone(),
            (Some(schema), None) => schema.to_string(),
            (None, Some(path)) => std::fs::read_to_string(folder.join(path))
                .map_err(|error| format!("schema_file: {error}"))?,
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(_)) => Ok(text),
            Ok(_) => Err("schema: must be an object".to_owned()),
            Err(error) => Err(format!("schema: {error}")),
        }
    }
}

/// A program's path beside the file that names it; one without a folder is an installed program.
fn beside(folder: &Path, program: &str) -> OsString {
    let path = Path::new(program);
    if path.components().count() < 2 && !program.starts_with('.') {
        return OsStr::new(program).to_owned();
    }
    Path::new(".").join(folder).join(path).into()
}

fn wire(timeout: Duration) -> Result<prost_types::Duration, String> {
    timeout
        .try_into()
        .map_err(|_| "timeout: too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_described_by_its_first_comment() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("#!/bin/sh\n# Tells the time.\n# More.\n", "Tells the time."),
            ("## Tells the time.\n", "Tells the time."),
            (
                "#!/usr/bin/env node\n// Tells the time.\n",
                "Tells the time.",
            ),
            ("#!/bin/sh\n\n#\n#   Tells the time.\n", "Tells the time."),
            ("#!/bin/sh\necho\n# later\n", ""),
            ("", ""),
            ("#!/bin/sh", ""),
            ("\u{7f}ELF", ""),
        ] {
            let path = folder.path().join("script");
            std::fs::write(&path, text).unwrap();
            let script = alone("now", &path).unwrap();
            assert_eq!(script.spec.description, expected, "{text:?}");
        }
        std::fs::write(folder.path().join("binary"), [0x7f, 0xff, b'\n', b'#']).unwrap();
        let script = alone("now", &folder.path().join("binary")).unwrap();
        assert_eq!(script.spec.description, "");
    }

    #[test]
    fn a_file_says_all_there_is_to_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.toml");
        let text = r#"
            [[tools]]
            name = "pay"
            description = "Pays."
            command = ["./pay.sh", "--now"]
            schema = { type = "object", required = ["sum"] }
            timeout = "90s"
            approval = "always"

            [[tools]]
            name = "date"
            command = "date"
        "#;
        std::fs::write(&path, text).unwrap();
        let answers = answers(&path);

        let [pay, date] = &all(&answers).unwrap()[..] else {
            panic!("two tools");
        };

        let mut spec = spec(
            "pay",
            "Pays.",
            r#"{"type":"object","required":["sum"]}"#.to_owned(),
        );
        spec.set_approval(pb::ApprovalMode::Always);
        spec.timeout = Some(prost_types::Duration {
            seconds: 90,
            nanos: 0,
        });
        assert_eq!(pay.spec, spec);
        assert_eq!(pay.program, folder.path().join("./pay.sh").as_os_str());
        assert_eq!(pay.arguments, ["--now"]);
        assert_eq!(pay.timeout, Some(Duration::from_secs(90)));
        assert_eq!(date.spec, super::spec("date", "", ANYTHING.to_owned()));
        assert_eq!(date.program, "date");
    }

    #[test]
    fn what_a_file_must_not_say_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.toml");
        for (text, expected) in [
            ("nme = 1", "nme"),
            ("command = []", "names no program"),
            ("command = 'x'\nschema = 1", "must be an object"),
            ("command = 'x'\nschema = '{'", "schema: EOF"),
            (
                "command = 'x'\nschema = '{}'\nschema_file = 'x'",
                "exclude each other",
            ),
            ("command = 'x'\nschema_file = 'nowhere'", "schema_file: "),
            ("command = 'x'\ntimeout = 'soon'", "timeout: "),
            ("command = 'x'\napproval = 'sometimes'", "sometimes"),
        ] {
            std::fs::write(&path, format!("[[tools]]\nname = 'pay'\n{text}\n")).unwrap();
            let failure = all(&answers(&path)).unwrap_err();
            assert!(failure.line().contains(expected), "{}", failure.line());
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    fn answers(path: &Path) -> Answers {
        Answers {
            scripts: Vec::new(),
            tool_files: vec![path.to_owned()],
            yes_to: Vec::new(),
            editor: None,
        }
    }
}
