//! Consent asked for on standard error and answered in lines of standard input.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use taiwa_client::{Decision, pb};
use tokio::io::{AsyncBufReadExt as _, BufReader, Stdin};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

use super::{
    dialog::{Dialog, Step},
    editor,
};

/// The lines of standard input.
pub(crate) type Lines = tokio::io::Lines<BufReader<Stdin>>;

/// Lines from what is not read yet.
pub(crate) fn lines() -> Lines {
    BufReader::new(tokio::io::stdin()).lines()
}

/// Asks one question after another.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    output: &'a Output,
    editor: Option<String>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(output: &'a Output, editor: Option<String>) -> Self {
        Self { output, editor }
    }

    /// Asks, and waits for the answer; the end of input is a refusal.
    pub(crate) async fn ask(
        &self,
        request: &pb::ApprovalRequest,
        lines: &mut Lines,
    ) -> Result<Decision, Failure> {
        let mut dialog = Dialog::new(request.clone());
        self.begin(&dialog);
        let answered = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(decision) = self.answer(&mut dialog, &line).await? {
                    return Ok(decision);
                }
            }
            Ok(Decision::refuse(request))
        };
        let expires = request
            .expire_time
            .and_then(|at| SystemTime::try_from(at).ok());
        // A clock that is ahead of the server's must not end what was only asked.
        let Some(left) = expires.and_then(|at| at.duration_since(SystemTime::now()).ok()) else {
            return answered.await;
        };
        let answered = tokio::time::timeout(left, answered).await;
        answered.unwrap_or_else(|_elapsed| {
            self.output.remark("");
            Err(Failure::new(Exit::Deadline, "nobody consented in time"))
        })
    }

    /// Puts the question.
    pub(crate) fn begin(&self, dialog: &Dialog) {
        for line in dialog.question() {
            self.output.remark(&line);
        }
        self.prompt(dialog);
    }

    /// Takes a line for an answer; gives the decision when it is one.
    pub(crate) async fn answer(
        &self,
        dialog: &mut Dialog,
        line: &str,
    ) -> Result<Option<Decision>, Failure> {
        let mut step = dialog.answer(line);
        if let (Step::Edit(draft), Some(editor)) = (&step, &self.editor) {
            step = match editor::edit(editor, draft).await {
                Ok(edited) => dialog.answer(&edited),
                Err(error) => {
                    dialog.back();
                    Step::Again(error)
                }
            };
        }
        match step {
            Step::Decided(decision, said) => {
                self.output.remark(&said);
                return Ok(Some(decision));
            }
            Step::Again(why) => self.output.remark(&why),
            Step::Ask | Step::Edit(_) => {}
        }
        self.prompt(dialog);
        Ok(None)
    }

    fn prompt(&self, dialog: &Dialog) {
        self.output.remark(&dialog.prompt(SystemTime::now()));
        // A standard error that is closed leaves nobody to ask, and no answer comes.
        let _ = write!(io::stderr().lock(), "› ");
    }
}
