//! The caller's deadline, for the whole of a call.

use std::time::Duration;

use taiwa_core::{Failure, Reason};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Reads `grpc-timeout`, counted from now; `None` when the caller set none.
///
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>: at most 8 digits and a unit.
///
/// # Errors
///
/// `InvalidRequest` when the value has another form.
pub(super) fn of(metadata: &MetadataMap) -> Result<Option<Instant>, Failure> {
    let Some(value) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
        Failure::invalid(
            "grpc-timeout",
            "must be 1 to 8 digits and a unit: H, M, S, m, u or n",
        )
    })?;
    // A deadline beyond what the clock can hold is none.
    Ok(Instant::now().checked_add(timeout))
}

/// The failure of a call whose deadline passed.
pub(super) fn passed() -> Failure {
    Failure::new(Reason::DeadlineExceeded, "the call's deadline passed")
}

/// Waits no longer than to the deadline, where there is one.
///
/// # Errors
///
/// `DeadlineExceeded` when the deadline passes first.
pub(super) async fn within<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match deadline {
        None => future.await,
        Some(deadline) => tokio::time::timeout_at(deadline, future)
            .await
            .unwrap_or_else(|_| Err(passed())),
    }
}

fn parse(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_the_protocol_are_read() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(parse("1n"), Some(Duration::from_nanos(1)));
        assert_eq!(parse("0S"), Some(Duration::ZERO));
    }

    #[test]
    fn anything_else_is_refused() {
        for value in ["", "S", "1", "123456789S", "-1S", "1.5S", "1s", "1é", "+1S"] {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }
}
