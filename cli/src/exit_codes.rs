//! The codes with which a program ends.

use std::fmt::Write as _;

use clap_mangen::roff::{Roff, bold, roman};

/// The codes with which a program ends, each with what it says; in the order of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCodes(pub &'static [(u8, &'static str)]);

impl ExitCodes {
    /// The part of a program's help that lists them.
    pub fn help(self) -> String {
        let mut help = "Exit codes:".to_owned();
        for (code, meaning) in self.0 {
            // Writing to a string does not fail.
            let _ = write!(help, "\n  {code:<4} {meaning}");
        }
        help
    }

    /// Adds the section of a man page that lists them.
    pub(crate) fn render(self, page: &mut Roff) {
        page.control("SH", ["EXIT CODES"]);
        for (code, meaning) in self.0 {
            page.control("TP", []);
            page.text([bold(code.to_string())]);
            page.text([roman(*meaning)]);
        }
    }
}
