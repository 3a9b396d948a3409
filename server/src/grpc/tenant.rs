//! Whose a call is.

use std::sync::Arc;

use taiwa_core::{Failure, Reason};
use tonic::metadata::MetadataMap;

/// Longest tenant name, in characters.
const MAX_TENANT_CHARS: usize = 128;

/// How a call's tenant is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantSource {
    /// There is one, whose name is empty.
    Single,
    /// By a metadata key, which a trusted proxy sets.
    Header(http::HeaderName),
}

impl TenantSource {
    /// Tells a call's tenant.
    ///
    /// # Errors
    ///
    /// `TenantRequired` when the call names none, `InvalidRequest` when it names no fit one.
    pub(super) fn tenant(&self, metadata: &MetadataMap) -> Result<Arc<str>, Failure> {
        let Self::Header(header) = self else {
            return Ok("".into());
        };
        let name = header.as_str();
        let mut given = metadata.get_all(name).iter();
        let Some(value) = given.next() else {
            let text = format!("the metadata key {name} must name the tenant");
            return Err(Failure::new(Reason::TenantRequired, text).fact("metadata_key", name));
        };
        let refused = |text: &str| Failure::invalid(format!("metadata.{name}"), text);
        if given.next().is_some() {
            return Err(refused("must be set once"));
        }
        let value = value.to_str().ok().filter(|value| {
            let fits = (1..=MAX_TENANT_CHARS).contains(&value.len());
            fits && value.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let value = value.ok_or_else(|| refused("must be 1 to 128 printable characters"))?;
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> TenantSource {
        TenantSource::Header(http::HeaderName::from_static("x-tenant"))
    }

    fn metadata(values: &[&'static str]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("x-tenant", value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn a_tenant_is_told_by_its_header_where_there_is_one() {
        let given = metadata(&["acme"]);
        assert_eq!(&*TenantSource::Single.tenant(&given).unwrap(), "");
        assert_eq!(&*source().tenant(&given).unwrap(), "acme");
    }

    #[test]
    fn a_call_without_a_fit_tenant_is_refused() {
        let reason = |values: &[&'static str]| source().tenant(&metadata(values)).unwrap_err();
        assert_eq!(reason(&[]).reason, Reason::TenantRequired);
        for values in [&[""][..], &["a b"], &["a", "a"]] {
            let failure = reason(values);
            assert_eq!(failure.reason, Reason::InvalidRequest, "{values:?}");
            assert_eq!(failure.violations[0].field, "metadata.x-tenant");
        }
    }
}
