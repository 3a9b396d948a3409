//! Man pages, one for each command of a program.

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::ExitCodes;

/// The section of the manual in which programs are.
const SECTION: &str = "1";

/// A page of the manual.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) file_name: String,
    pub(crate) text: Vec<u8>,
}

/// The page of a program, then those of its commands.
pub(crate) fn pages(program: Command, exit_codes: ExitCodes) -> Vec<Page> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let book = Book {
        name: program.get_name().to_owned(),
        version: program.get_version().unwrap_or_default().to_owned(),
    };
    let mut rest = Roff::new();
    exit_codes.render(&mut rest);
    let mut pages = vec![book.page(program.clone(), &rest)];
    book.add_commands(&program, &mut pages);
    pages
}

/// What the pages of a program have in common.
struct Book {
    name: String,
    version: String,
}

impl Book {
    fn add_commands(&self, parent: &Command, pages: &mut Vec<Page>) {
        let shown = parent
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help");
        for command in shown {
            pages.push(self.command_page(command.clone()));
            self.add_commands(command, pages);
        }
    }

    /// The page of a command, without the options that it shares with all others.
    fn command_page(&self, command: Command) -> Page {
        let mut rest = Roff::new();
        if command.get_arguments().any(clap::Arg::is_global_set) {
            rest.control("SH", ["GLOBAL OPTIONS"]);
            rest.text([
                roman("The options of "),
                bold(&self.name),
                roman("(1) may be given too."),
            ]);
        }
        rest.control("SH", ["SEE ALSO"]);
        rest.text([bold(&self.name), roman(format!("({SECTION})"))]);
        let own = command.mut_args(|argument| {
            let hidden = argument.is_hide_set() || argument.is_global_set();
            argument.hide(hidden)
        });
        self.page(own, &rest)
    }

    fn page(&self, command: Command, rest: &Roff) -> Page {
        let has_commands = command.has_subcommands();
        let man = Man::new(command)
            .section(SECTION)
            // None; left empty it would not be written, and what follows would take its place.
            .date("\"\"")
            .source(format!("{} {}", self.name, self.version))
            .manual("Taiwa");
        let mut text = Vec::new();
        // Nothing that writes to memory fails.
        let _ = man
            .render_title(&mut text)
            .and_then(|()| man.render_name_section(&mut text))
            .and_then(|()| man.render_synopsis_section(&mut text))
            .and_then(|()| man.render_description_section(&mut text))
            .and_then(|()| man.render_options_section(&mut text))
            .and_then(|()| match has_commands {
                true => man.render_subcommands_section(&mut text),
                false => Ok(()),
            })
            .and_then(|()| rest.to_writer(&mut text));
        Page {
            file_name: man.get_filename(),
            text,
        }
    }
}
