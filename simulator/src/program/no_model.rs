//! What the program says of local models where it was built without them.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use taiwa_simulator::{Model, local::MISSING};

use super::ModelCommand;

#[expect(clippy::unused_async, reason = "as the one that downloads")]
pub(super) async fn run(_command: ModelCommand) -> anyhow::Result<()> {
    Err(missing())
}

#[expect(clippy::unused_async, reason = "as the one that loads")]
pub(super) async fn load(
    _file: Option<PathBuf>,
    _context: NonZeroU32,
    _threads: Option<NonZeroUsize>,
) -> anyhow::Result<Model> {
    Err(missing())
}

fn missing() -> anyhow::Error {
    anyhow::anyhow!(MISSING)
}
