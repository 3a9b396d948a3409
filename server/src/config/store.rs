//! Where sessions are kept.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What a path of an SQLite file is marked with.
const SQLITE: &str = "sqlite:";

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// In this process; they end with it.
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
}

/// A place that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be memory, or sqlite: and the path of a file")]
pub struct StorePlaceError;

impl FromStr for StorePlace {
    type Err = StorePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(SQLITE) {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            None if text == "memory" => Ok(Self::Memory),
            Some(_) | None => Err(StorePlaceError),
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "{SQLITE}{}", path.display()),
        }
    }
}

/// The file in the user's state directory; `None` for a user without a home.
///
/// <https://specifications.freedesktop.org/basedir-spec/latest/>
pub(super) fn usual() -> Option<StorePlace> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(StorePlace::Sqlite(
        state?.join(Path::new("taiwa/sessions.sqlite3")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_memory_or_a_file_and_is_shown_as_it_is_read() {
        for text in ["memory", "sqlite:/tmp/a.db", "sqlite:a b.db"] {
            assert_eq!(text.parse::<StorePlace>().unwrap().to_string(), text);
        }
        for text in ["", "sqlite:", "sqlite", "/tmp/a.db", "Memory", "redis:a"] {
            assert_eq!(text.parse::<StorePlace>(), Err(StorePlaceError), "{text}");
        }
    }
}
