//! The command on a terminal: keys in, what it draws out.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use taiwa_client::pb;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
};

use super::{command, echo, sessions::kept};
use crate::fake::{Fake, Running, soon};

#[tokio::test]
async fn ctrl_c_between_answers_clears_the_line_or_else_ends_as_the_header_says() {
    let server = echo().await;
    let mut terminal = Terminal::start(&server, &["chat"]);
    let header = terminal.until("Ctrl-D ends").await;
    assert!(header.contains("Ctrl-C stops the answer, else clears the line or ends"));

    terminal.types("half");
    terminal.until("half").await;
    terminal.types("\x03whole\r");
    let answer = terminal.until("1: ").await;
    assert!(!answer.contains("halfwhole"), "{answer}");
    terminal.until("1: whole").await;

    terminal.types("\x03");
    assert!(terminal.end().await.success());
}

#[tokio::test]
async fn sessions_are_listed_below_a_header() {
    let server = Fake::default()
        .list_sessions(|_| {
            Ok(pb::ListSessionsResponse {
                sessions: vec![kept("s1")],
                ..Default::default()
            })
        })
        .start()
        .await;
    let mut terminal = Terminal::start(&server, &["sessions"]);

    let table = terminal.until("k=v").await.replace('\r', "");

    let expected = "\
session  agent      state    messages       updated               labels
s1       assistant  idle        2 messages  1970-01-01T00:02:00Z  k=v";
    assert_eq!(table.trim_end(), expected);
    assert!(terminal.end().await.success());
}

/// A command on a terminal of 100 columns and 40 rows.
pub(super) struct Terminal {
    pub(super) child: Child,
    keys: File,
    pieces: mpsc::Receiver<String>,
    /// What was drawn since keys were typed last.
    pub(super) seen: String,
}

impl Terminal {
    pub(super) fn start(server: &Running, arguments: &[&str]) -> Self {
        Self::with(server, arguments, |_| {})
    }

    pub(super) fn with(
        server: &Running,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let tty = open(&*name, flags, Mode::empty()).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&tty, size).unwrap();
        let end = |tty: &OwnedFd| Stdio::from(tty.try_clone().unwrap());
        let mut command = command(server, arguments);
        command
            .env("NO_COLOR", "1")
            .env_remove("EDITOR")
            .stdin(end(&tty))
            .stdout(end(&tty))
            .stderr(end(&tty));
        change(&mut command);
        let child = command.spawn().unwrap();
        // It holds the terminal's ends open, as the child does.
        drop(command);
        drop(tty);
        let keys = File::from(user);
        let mut screen = keys.try_clone().unwrap();
        let (tx, pieces) = mpsc::channel(64);
        // Ends when the command has ended, which closes the terminal.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(bytes) = screen.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..bytes]).into_owned();
                if bytes == 0 || tx.blocking_send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            pieces,
            seen: String::new(),
        }
    }

    pub(super) fn types(&mut self, keys: &str) {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text was drawn since keys were typed last; gives all that was drawn.
    pub(super) async fn until(&mut self, text: &str) -> String {
        while self.seen.is_empty() || !self.seen.contains(text) {
            self.more().await;
        }
        self.seen.clone()
    }

    pub(super) async fn more(&mut self) {
        let Some(piece) = soon(self.pieces.recv()).await else {
            panic!("nothing more comes after {:?}", self.seen);
        };
        self.seen.push_str(&piece);
    }

    pub(super) async fn end(mut self) -> ExitStatus {
        soon(async {
            while self.pieces.recv().await.is_some() {}
            self.child.wait().await.unwrap()
        })
        .await
    }
}
