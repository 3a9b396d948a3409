//! The language model that answers offline, where the program was built with one.

use std::{error, path::PathBuf};

use taiwa_simulator::Model;

use super::Error;

/// What stands for the model that `bedrock-simulator model fetch` brought.
#[cfg(feature = "local-model")]
const FETCHED: &str = "default";

/// Loads the model of a GGUF file, or the one that was fetched; it takes a second or so.
pub(super) fn load(place: &str) -> Result<Model, Error> {
    read(place).map_err(|source| Error::LocalModel {
        place: PathBuf::from(place),
        source,
    })
}

#[cfg(feature = "local-model")]
fn read(place: &str) -> Result<Model, Box<dyn error::Error + Send + Sync>> {
    use taiwa_simulator::local::{
        Settings,
        shelf::{Shelf, USUAL},
    };

    let file = if place == FETCHED {
        Shelf::of_user()?
            .find(&USUAL)
            .ok_or("there is no local model yet; bring one with `bedrock-simulator model fetch`")?
    } else {
        place.into()
    };
    Ok(Model::load(Settings::of(file))?)
}

#[cfg(not(feature = "local-model"))]
fn read(_place: &str) -> Result<Model, Box<dyn error::Error + Send + Sync>> {
    Err(
        "this program was built without local models; build it with \
         `cargo build --features taiwa-server/local-model`, which needs a C++ compiler, cmake and \
         libclang"
            .into(),
    )
}
