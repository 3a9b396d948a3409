//! Content blocks, both ways.

mod media;
mod read;
mod tool;
mod write;

pub use self::write::{block, message, text};
pub(super) use self::{
    read::{Place, blocks, cache_ttl, citation as read_citation},
    tool::result as tool_result,
    write::{citation, s3_object, tool_call, tool_result as tool_result_of},
};

#[cfg(test)]
mod tests;
