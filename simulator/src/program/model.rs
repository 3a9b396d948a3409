//! Local models on the command line: brought, listed, and loaded.

use std::{
    env,
    io::Write,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use indicatif::{ProgressBar, ProgressStyle};
use taiwa_simulator::{
    Model,
    local::{
        Settings,
        fetch::{HUGGING_FACE, fetch},
        shelf::{Shelf, USUAL},
    },
};

use super::ModelCommand;

pub(super) async fn run(command: ModelCommand) -> anyhow::Result<()> {
    let shelf = Shelf::of_user()?;
    let mut out = std::io::stdout();
    match command {
        ModelCommand::Fetch { from } => {
            let url = from.unwrap_or_else(|| USUAL.url(&endpoint()));
            let bar = bar(USUAL.file);
            let fetched = fetch(&shelf, &USUAL, &url, |done, all| show(&bar, done, all)).await;
            bar.finish_and_clear();
            writeln!(out, "{}", fetched?.display())?;
        }
        ModelCommand::Import { file } => {
            let bar = bar("import");
            let imported = tokio::task::spawn_blocking({
                let bar = bar.clone();
                move || shelf.import(&file, |done, all| show(&bar, done, all))
            });
            let imported = imported.await?;
            bar.finish_and_clear();
            writeln!(out, "{}", imported?.display())?;
        }
        ModelCommand::List => {
            for kept in shelf.list() {
                writeln!(out, "{} {}", kept.size_bytes, kept.path.display())?;
            }
        }
    }
    Ok(())
}

/// Loads the file, or else the model that was fetched.
pub(super) async fn load(
    file: Option<PathBuf>,
    context: NonZeroU32,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<Model> {
    let file = match file {
        Some(file) => file,
        None => Shelf::of_user()?.usual()?,
    };
    let usual = Settings::of(file);
    let settings = Settings {
        context,
        threads: threads.unwrap_or(usual.threads),
        ..usual
    };
    Ok(tokio::task::spawn_blocking(move || Model::load(settings)).await??)
}

/// Hugging Face, or the mirror that its own tools would ask.
fn endpoint() -> String {
    let mirror = env::var_os("HF_ENDPOINT").and_then(|it| it.into_string().ok());
    let mirror = mirror.map(|it| it.trim_end_matches('/').to_owned());
    mirror
        .filter(|it| !it.is_empty())
        .unwrap_or_else(|| HUGGING_FACE.to_owned())
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    // Without its style a bar is still a bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar
}

fn show(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}
