//! Durations and sizes as people write them.

use std::{fmt, num::NonZeroUsize, str::FromStr, time::Duration};

use serde::Deserialize;

/// Longest duration: beyond what anybody means, and within what clocks can add.
const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Largest size: what the length of a gRPC message can say.
const MAX_SIZE_BYTES: usize = u32::MAX as usize;

const UNITS: [(&str, usize); 6] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Why a text is no duration or size.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("not a duration, such as 500ms, 30s, 5m or 1h30m")]
    Span(#[from] humantime::DurationError),
    /// Zero where it makes no sense.
    #[error("must be more than zero")]
    Zero,
    /// Too long a duration.
    #[error("must be at most 366 days")]
    TooLong,
    /// Not a size.
    #[error("not a size: a whole number of B, kB, MB, KiB, MiB or GiB, such as 64KiB")]
    Size,
    /// Too large a size.
    #[error("must be less than 4GiB")]
    TooLarge,
}

/// A duration that is not zero: `500ms`, `30s`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Span {
    /// Wraps a default.
    pub(super) const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.parse()? {
            SpanOrZero(Duration::ZERO) => Err(UnitError::Zero),
            SpanOrZero(duration) => Ok(Self(duration)),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A duration that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanOrZero(Duration);

impl SpanOrZero {
    /// Wraps a default.
    pub(super) const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for SpanOrZero {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let duration = humantime::parse_duration(text)?;
        if duration > MAX_SPAN {
            return Err(UnitError::TooLong);
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for SpanOrZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A size that is not zero: `64KiB`, `4MiB`, `512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(NonZeroUsize);

impl Size {
    /// Wraps a default; zero counts as one byte.
    pub(super) const fn new(bytes: usize) -> Self {
        match NonZeroUsize::new(bytes) {
            Some(bytes) => Self(bytes),
            None => Self(NonZeroUsize::MIN),
        }
    }

    /// The size in bytes.
    pub fn bytes(self) -> usize {
        self.0.get()
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let digits = text
            .find(|one: char| !one.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim_start() {
            "" => 1,
            unit => UNITS
                .iter()
                .find_map(|(name, bytes)| name.eq_ignore_ascii_case(unit).then_some(*bytes))
                .ok_or(UnitError::Size)?,
        };
        if number.is_empty() {
            return Err(UnitError::Size);
        }
        // Digits alone fail to parse only by being too many.
        let bytes = number
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| *bytes <= MAX_SIZE_BYTES)
            .ok_or(UnitError::TooLarge)?;
        NonZeroUsize::new(bytes).map(Self).ok_or(UnitError::Zero)
    }
}

impl TryFrom<String> for Size {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let (name, unit) = UNITS
            .into_iter()
            .find(|(_, unit)| bytes.is_multiple_of(*unit))
            .unwrap_or(("B", 1));
        write!(f, "{}{name}", bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_whole_numbers_of_a_unit() {
        let read = |text: &str| text.parse::<Size>().map(Size::bytes);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("64KiB"), Ok(65_536));
        assert_eq!(read("4 MiB"), Ok(4_194_304));
        assert_eq!(read("5mb"), Ok(5_000_000));
        assert_eq!(read("0"), Err(UnitError::Zero));
        assert_eq!(read("4GiB"), Err(UnitError::TooLarge));
        assert_eq!(read("99999999999999999999"), Err(UnitError::TooLarge));
        for text in ["", "KiB", "1.5MiB", "-1", "1 K", "1KiB ", "٣"] {
            assert_eq!(read(text), Err(UnitError::Size), "{text:?}");
        }
    }

    #[test]
    fn spans_are_neither_zero_nor_beyond_a_clock() {
        let read = |text: &str| text.parse::<Span>().map(Span::duration);
        assert_eq!(read("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read("0s"), Err(UnitError::Zero));
        assert_eq!("0s".parse(), Ok(SpanOrZero(Duration::ZERO)));
        assert_eq!(read("2y"), Err(UnitError::TooLong));
        assert!(matches!(read("soon"), Err(UnitError::Span(_))));
        assert!(matches!(read("30"), Err(UnitError::Span(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in 1..=MAX_SIZE_BYTES, millis in 1..=MAX_SPAN.as_millis() as u64) {
            let size = Size::new(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let span = Span::new(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<Size>(), text.parse::<Span>());
        }
    }
}
