//! Times and spans of time.

use std::time::{Duration, SystemTime};

use super::violations::Violations;

/// Longest span that `google.protobuf.Duration` holds.
///
/// <https://github.com/protocolbuffers/protobuf/blob/v29.0/src/google/protobuf/duration.proto>
const MAX_SECONDS: i64 = 315_576_000_000;

/// Writes a calendar time.
pub(super) fn timestamp(at: SystemTime) -> prost_types::Timestamp {
    at.into()
}

/// Writes a span.
pub(in crate::grpc) fn span(span: Duration) -> prost_types::Duration {
    let longest = prost_types::Duration {
        seconds: MAX_SECONDS,
        nanos: 0,
    };
    prost_types::Duration::try_from(span).unwrap_or(longest)
}

/// Reads a span that is not negative, as the field that is being looked at.
pub(super) fn duration(
    wire: prost_types::Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    let prost_types::Duration { seconds, nanos } = wire;
    if seconds < 0 || nanos < 0 {
        violations.refuse("must not be negative");
        return None;
    }
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(whole), Ok(nanos)) if seconds <= MAX_SECONDS && nanos < 1_000_000_000 => {
            Some(Duration::new(whole, nanos))
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            violations
                .refuse("must have at most 315576000000 seconds and at most 999999999 nanoseconds");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_written_and_bad_ones_refused() {
        let cases = [
            (1, 5, Some(Duration::new(1, 5))),
            (0, 0, Some(Duration::ZERO)),
            (-1, 0, None),
            (0, -1, None),
            (i64::MAX, 0, None),
            (0, 1_000_000_000, None),
            (MAX_SECONDS, 0, Some(Duration::new(315_576_000_000, 0))),
        ];
        for (seconds, nanos, expected) in cases {
            let mut violations = Violations::default();
            let read = violations.within("timeout", |violations| {
                duration(prost_types::Duration { seconds, nanos }, violations)
            });
            assert_eq!(read, expected, "{seconds} s {nanos} ns");
            assert_eq!(violations.finish(()).is_ok(), expected.is_some());
        }
        assert_eq!(
            span(Duration::new(3, 4)),
            prost_types::Duration {
                seconds: 3,
                nanos: 4
            }
        );
        assert_eq!(span(Duration::MAX).seconds, MAX_SECONDS);
    }
}
