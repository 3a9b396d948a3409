//! Error reasons as the strings that travel in `google.rpc.ErrorInfo.reason`.

use crate::v1::ErrorReason;

/// What the enum's names on the wire begin with, as protobuf style demands,
/// and `ErrorInfo.reason` leaves out.
const PREFIX: &str = "ERROR_REASON_";

impl ErrorReason {
    /// Names the reason as `google.rpc.ErrorInfo.reason` does: `MODEL_THROTTLED`.
    #[must_use]
    pub fn wire_name(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix(PREFIX).unwrap_or(name)
    }

    /// Finds the reason that `google.rpc.ErrorInfo.reason` names.
    ///
    /// `None` for a name that this version does not know; a client treats it as
    /// [`ErrorReason::Unspecified`] and decides by the status code.
    #[must_use]
    pub fn from_wire_name(name: &str) -> Option<Self> {
        let full_name = [PREFIX, name].concat();
        Self::from_str_name(&full_name)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::FILE_DESCRIPTOR_SET;

    #[test]
    fn every_reason_has_a_name_without_prefix_that_leads_back_to_it() {
        for reason in every_reason() {
            let name = reason.wire_name();
            assert_eq!(
                reason.as_str_name(),
                format!("ERROR_REASON_{name}"),
                "{reason:?}"
            );
            assert_eq!(ErrorReason::from_wire_name(name), Some(reason), "{name}");
        }
    }

    #[test]
    fn a_reason_is_named_as_the_contract_says() {
        assert_eq!(ErrorReason::ModelThrottled.wire_name(), "MODEL_THROTTLED");
    }

    #[test]
    fn a_name_with_prefix_and_an_unknown_name_are_no_reasons() {
        assert_eq!(
            ErrorReason::from_wire_name("ERROR_REASON_MODEL_THROTTLED"),
            None
        );
        assert_eq!(ErrorReason::from_wire_name("MODEL_ASLEEP"), None);
        assert_eq!(ErrorReason::from_wire_name(""), None);
    }

    fn every_reason() -> Vec<ErrorReason> {
        let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let reasons: Vec<_> = descriptors
            .file
            .iter()
            .flat_map(|file| &file.enum_type)
            .filter(|declared| declared.name() == "ErrorReason")
            .flat_map(|declared| &declared.value)
            .map(|value| ErrorReason::try_from(value.number()).unwrap())
            .collect();
        assert!(reasons.len() > 1, "the contract declares its reasons");
        reasons
    }
}
