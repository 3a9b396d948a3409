//! Content blocks, both ways.

mod media;
mod read;
mod tool;
mod write;

pub use self::write::{block, text};
pub(super) use self::{
    read::{Place, blocks, cache_ttl},
    tool::result as tool_result,
    write::{citation, message, s3_object, tool_call},
};

#[cfg(test)]
mod tests;
