//! What a log may hold.

/// Bounds of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most bytes held for readers that lag behind. Default 4 MiB.
    ///
    /// Beyond it the oldest events go, and a reader that had not read them is cut off.
    pub max_bytes: usize,
    /// Bytes kept after every reader has read them, for replay. Default 1 MiB.
    pub keep_bytes: usize,
    /// Bytes that all logs of the process may keep together; beyond it each keeps only what its
    /// readers have not read. Default 256 MiB.
    pub keep_bytes_overall: usize,
    /// Bytes that a pacing reader may lag behind before the model is held. Default 64 KiB.
    pub window_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 4 << 20,
            keep_bytes: 1 << 20,
            keep_bytes_overall: 256 << 20,
            window_bytes: 64 << 10,
        }
    }
}
