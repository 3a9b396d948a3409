//! A program with one of everything that a command line can have.

use std::{collections::BTreeMap, ffi::OsString, fs, process};

use clap::{CommandFactory as _, Parser, ValueEnum as _, builder::BoolishValueParser};

use super::*;

/// Sees to things.
///
/// More of it.
#[derive(Debug, Parser)]
#[command(name = "probe", version = "1.2.3")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where to look
    #[arg(long, global = true, env = "TAIWA_CLI_PROBE_PLACE")]
    place: Option<u16>,
    /// Whether to look
    #[arg(long, env = "PATH", value_parser = BoolishValueParser::new())]
    looks: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Packaging(Packaging),
    /// Works on
    Work {
        /// How often
        #[arg(long, default_value_t = 3)]
        times: u8,
        #[command(subcommand)]
        part: Option<Part>,
    },
    #[command(hide = true)]
    Secret,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Only one
    Single,
}

const EXIT_CODES: ExitCodes = ExitCodes(&[(0, "done"), (130, "'twas interrupted")]);

#[test]
fn each_shell_learns_the_flags() {
    for shell in Shell::value_variants() {
        let script = completions::script(Args::command(), *shell);
        let script = String::from_utf8(script).unwrap();
        for name in ["place", "times", "completions"] {
            assert!(script.contains(name), "{shell}: {name} in {script}");
        }
    }
}

#[test]
fn bash_takes_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.bash");
    fs::write(&path, completions::script(Args::command(), Shell::Bash)).unwrap();
    let script = r#"source "$0" && COMP_WORDS=(probe work --t) COMP_CWORD=2 && \
        _probe probe --t work && printf '%s\n' "${COMPREPLY[@]}""#;
    let output = process::Command::new("bash")
        .args(["-c", script])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "--times\n",
        "{output:?}"
    );
}

#[test]
fn each_command_has_a_page_of_its_own() {
    let pages = written();
    let names: Vec<_> = pages.keys().map(String::as_str).collect();
    let expected = [
        "probe-completions.1",
        "probe-man.1",
        "probe-work-single.1",
        "probe-work.1",
        "probe.1",
    ];
    assert_eq!(names, expected);

    let probe = &pages["probe.1"];
    for part in [
        ".TH probe 1 \"\" \"probe 1.2.3\" Taiwa\n",
        ".SH NAME\nprobe \\- Sees to things\n",
        ".SH DESCRIPTION\nSees to things.\n.PP\nMore of it",
        "\\fB\\-\\-place\\fR",
        "\\fBTAIWA_CLI_PROBE_PLACE\\fR",
        ".SH SUBCOMMANDS\n",
        "probe\\-work(1)\n",
        ".SH \"EXIT CODES\"\n",
        ".TP\n\\fB130\\fR\n\\*(Aqtwas interrupted\n",
    ] {
        assert!(probe.contains(part), "{part} in {probe}");
    }
    assert!(!probe.contains("secret"), "{probe}");
}

#[test]
fn what_all_commands_share_is_told_once() {
    let pages = written();
    for name in ["probe-work.1", "probe-work-single.1"] {
        let page = &pages[name];
        assert!(!page.contains("\\-\\-place"), "{page}");
        assert!(page.contains(".SH \"GLOBAL OPTIONS\"\n"), "{page}");
        assert!(
            page.contains(".SH \"SEE ALSO\"\n\\fBprobe\\fR(1)"),
            "{page}"
        );
    }
    let work = &pages["probe-work.1"];
    assert!(work.contains("\\-\\-times"), "{work}");
    assert!(
        work.contains(".TH probe-work 1 \"\" \"probe 1.2.3\" Taiwa\n"),
        "{work}"
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let man = Packaging::Man {
        folder: file.join("man"),
    };
    let error = man.run(Args::command(), EXIT_CODES).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot write {}", file.join("man").display())
    );
}

#[test]
fn variables_do_not_disturb_a_command_that_stands_apart() {
    let parsed = |arguments: &[&str]| {
        let arguments = [&["probe"][..], arguments].concat();
        let is_packaging = |args: &Args| matches!(args.command, Some(Command::Packaging(_)));
        parse::<Args>(arguments.into_iter().map(OsString::from), is_packaging)
    };
    // PATH says neither yes nor no.
    for arguments in [&["work"][..], &[]] {
        let error = parsed(arguments).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation);
    }
    let args = parsed(&["completions", "bash"]).unwrap();
    assert!(!args.looks);
    let help = parsed(&["--help"]).unwrap_err().to_string();
    assert!(help.contains("TAIWA_CLI_PROBE_PLACE"), "{help}");
}

#[test]
fn the_help_lists_the_exit_codes() {
    let help = "Exit codes:\n  0    done\n  130  'twas interrupted";
    assert_eq!(EXIT_CODES.help(), help);
}

/// The pages, by their file's name.
fn written() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("share/man/man1");
    Packaging::Man {
        folder: man.clone(),
    }
    .run(Args::command(), EXIT_CODES)
    .unwrap();
    fs::read_dir(&man)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}
