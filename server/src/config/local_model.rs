//! The language model that answers offline, where the program was built with one.

use std::{
    error,
    path::{Path, PathBuf},
};

use taiwa_simulator::Model;

use super::{Args, Error};

/// What stands for no model at all.
const PERSONA: &str = "persona";

/// What stands for the model that `bedrock-simulator model` brought.
#[cfg(feature = "local-model")]
const FETCHED: &str = "default";

type Whatever = Box<dyn error::Error + Send + Sync>;

/// Loads the language model that is to answer offline, if one is; it takes a second or so.
///
/// Unless one is named, it is the one that was fetched: a person who built it in and fetched it
/// wants to talk with it. A model id or a scenario that is named is wanted instead.
pub(super) fn chosen(args: &Args) -> Result<Option<Model>, Error> {
    let Some(place) = &args.offline_model else {
        let is_free = args.offline && args.model.is_none() && args.offline_scenario.is_none();
        return match is_free.then(fetched).flatten() {
            Some(file) => load(file).map(Some),
            None => Ok(None),
        };
    };
    if !args.offline {
        return Err(Error::Needs {
            option: "--offline-model",
            other: "--offline",
        });
    }
    if place == PERSONA {
        return Ok(None);
    }
    load(place.into()).map(Some)
}

fn load(place: PathBuf) -> Result<Model, Error> {
    read(&place).map_err(|source| Error::LocalModel { place, source })
}

#[cfg(feature = "local-model")]
fn fetched() -> Option<PathBuf> {
    use taiwa_simulator::local::shelf::Shelf;

    Shelf::of_user().ok()?.usual().ok()
}

#[cfg(feature = "local-model")]
fn read(place: &Path) -> Result<Model, Whatever> {
    use taiwa_simulator::local::{Settings, shelf::Shelf};

    let file = if place.as_os_str() == FETCHED {
        Shelf::of_user()?.usual()?
    } else {
        place.to_owned()
    };
    Ok(Model::load(Settings::of(file))?)
}

#[cfg(not(feature = "local-model"))]
fn fetched() -> Option<PathBuf> {
    None
}

#[cfg(not(feature = "local-model"))]
fn read(_place: &Path) -> Result<Model, Whatever> {
    Err(taiwa_simulator::local::MISSING.into())
}
