//! Messages as protobuf's JSON, one a line.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::failure::{Exit, Failure};

/// Writes messages of the contract as JSON, as protobuf maps them: names in camel case, 64-bit numbers as text.
#[derive(Debug)]
pub(crate) struct Json {
    pool: DescriptorPool,
}

impl Json {
    pub(crate) fn new() -> Result<Self, Failure> {
        let pool = DescriptorPool::decode(taiwa::FILE_DESCRIPTOR_SET).map_err(broken)?;
        Ok(Self { pool })
    }

    /// The message, whose name in `taiwa.v1` is `name`, as a line.
    pub(crate) fn line(&self, name: &str, message: &impl Message) -> Result<String, Failure> {
        let Some(descriptor) = self.pool.get_message_by_name(&format!("taiwa.v1.{name}")) else {
            return Err(broken(format!("no message {name}")));
        };
        let mut dynamic = DynamicMessage::new(descriptor);
        dynamic.transcode_from(message).map_err(broken)?;
        let options = SerializeOptions::new();
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        dynamic
            .serialize_with_options(&mut serializer, &options)
            .map_err(broken)?;
        line.push(b'\n');
        String::from_utf8(line).map_err(broken)
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Other,
        format!("the answer cannot be written as JSON: {error}"),
    )
}
