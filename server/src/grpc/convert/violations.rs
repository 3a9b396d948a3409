//! Collects what is wrong with a request, each fault with the path of its field.

use std::fmt::Write as _;

use taiwa_core::{Failure, Reason, error::FieldViolation};

use crate::grpc::status::VIOLATIONS_TOTAL;

/// Faults that are kept; the rest is only counted.
///
/// A status has room for far fewer, and a request of megabytes may hold a million.
const MAX_KEPT: usize = 64;

/// Longest part of a path that a caller chose, in characters.
const MAX_KEY_CHARS: usize = 64;

/// Length up to which a text goes on to tell faults; statuses and events cut it soon after.
const MESSAGE_BYTES: usize = 480;

/// What is wrong with a request so far, and the field that is being looked at.
#[derive(Debug, Default)]
pub(super) struct Violations {
    path: String,
    kept: Vec<FieldViolation>,
    total: usize,
    malformed: bool,
    unsupported: bool,
    limit_bytes: Option<usize>,
}

impl Violations {
    /// Looks at a field of what is being looked at.
    pub(super) fn within<T>(&mut self, field: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.extend(field.chars().take(MAX_KEY_CHARS));
        let seen = look(self);
        self.path.truncate(outer);
        seen
    }

    /// Looks at one item of a repeated field.
    pub(super) fn within_item<T>(
        &mut self,
        field: &str,
        index: usize,
        look: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.within(field, |violations| {
            // Writing to a string cannot fail.
            let _ = write!(violations.path, "[{index}]");
            look(violations)
        })
    }

    /// Looks at one entry of a map.
    pub(super) fn within_entry<T>(
        &mut self,
        field: &str,
        key: &str,
        look: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.within(field, |violations| {
            let key: String = key.chars().take(MAX_KEY_CHARS).collect();
            // Writing to a string cannot fail.
            let _ = write!(violations.path, "[{key:?}]");
            look(violations)
        })
    }

    /// Refuses the field that is being looked at.
    pub(super) fn refuse(&mut self, description: impl Into<String>) {
        self.malformed = true;
        self.add(description.into());
    }

    /// Refuses a field of what is being looked at.
    pub(super) fn refuse_field(&mut self, field: &str, description: impl Into<String>) {
        self.within(field, |violations| violations.refuse(description));
    }

    /// Refuses the content type that is being looked at.
    pub(super) fn refuse_content(&mut self, description: impl Into<String>) {
        self.unsupported = true;
        self.add(description.into());
    }

    /// Holds the size of the field that is being looked at to a limit.
    pub(super) fn limit_size(&mut self, size_bytes: usize, limit_bytes: usize) {
        if size_bytes > limit_bytes {
            self.limit_bytes.get_or_insert(limit_bytes);
            self.add(format!(
                "must hold at most {limit_bytes} bytes, not {size_bytes}"
            ));
        }
    }

    /// Faults found so far.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Gives `value` when nothing was refused.
    ///
    /// # Errors
    ///
    /// One failure with every fault: `InvalidRequest` if anything is malformed, else
    /// `UnsupportedContent` if a content type is unknown, else `LimitExceeded`.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Failure> {
        let Some(first) = self.kept.first() else {
            return Ok(value);
        };
        let message = self.message();
        let mut failure = match self.limit_bytes {
            _ if self.malformed => Failure::new(Reason::InvalidRequest, message),
            _ if self.unsupported => Failure::new(Reason::UnsupportedContent, message),
            None => Failure::new(Reason::InvalidRequest, message),
            Some(limit_bytes) => Failure::new(Reason::LimitExceeded, message)
                .fact("field", first.field.clone())
                .fact("limit_bytes", limit_bytes.to_string()),
        };
        if self.total > self.kept.len() {
            failure = failure.fact(VIOLATIONS_TOTAL, self.total.to_string());
        }
        failure.violations = self.kept;
        Err(failure)
    }

    /// Tells every fault while there is room: events have no details beside their text.
    fn message(&self) -> String {
        let mut message = String::new();
        let mut told = 0;
        for FieldViolation { field, description } in &self.kept {
            if told > 0 && message.len() + field.len() + description.len() > MESSAGE_BYTES {
                break;
            }
            let separator = if told == 0 { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(message, "{separator}{field}: {description}");
            told += 1;
        }
        if told < self.total {
            // Writing to a string cannot fail.
            let _ = write!(message, " (and {} more)", self.total - told);
        }
        message
    }

    fn add(&mut self, description: String) {
        self.total += 1;
        if self.kept.len() < MAX_KEPT {
            self.kept.push(FieldViolation {
                field: self.path.clone(),
                description,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_the_path_to_its_field() {
        let mut violations = Violations::default();
        violations.within_item("messages", 2, |violations| {
            violations.within_item("content", 0, |violations| {
                violations.refuse_field("image", "must be set");
            });
        });
        violations.within("options", |violations| {
            violations.within_entry("labels", "a\"b", |violations| violations.refuse("is long"));
        });

        let failure = violations.finish(()).unwrap_err();

        let fields: Vec<_> = failure
            .violations
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        assert_eq!(
            fields,
            ["messages[2].content[0].image", r#"options.labels["a\"b"]"#]
        );
        assert_eq!(
            failure.message,
            r#"messages[2].content[0].image: must be set; options.labels["a\"b"]: is long"#
        );
    }

    #[test]
    fn a_malformed_field_outweighs_an_unknown_type_and_that_outweighs_size() {
        let mut violations = Violations::default();
        violations.within("content", |violations| violations.limit_size(9, 8));
        let failure = violations.finish(()).unwrap_err();
        assert_eq!(failure.reason, Reason::LimitExceeded);
        assert_eq!(failure.metadata["limit_bytes"], "8");
        assert_eq!(failure.metadata["field"], "content");

        let mut violations = Violations::default();
        violations.within("content", |violations| {
            violations.limit_size(9, 8);
            violations.refuse_content("is unknown");
        });
        assert_eq!(
            violations.finish(()).unwrap_err().reason,
            Reason::UnsupportedContent
        );

        let mut violations = Violations::default();
        violations.within("content", |violations| {
            violations.refuse_content("is unknown");
            violations.refuse("is empty");
        });
        assert_eq!(
            violations.finish(()).unwrap_err().reason,
            Reason::InvalidRequest
        );
    }

    #[test]
    fn beyond_the_number_kept_faults_are_counted() {
        let mut violations = Violations::default();
        for index in 0..1000 {
            violations.within_item("content", index, |violations| violations.refuse("is empty"));
        }
        let failure = violations.finish(()).unwrap_err();
        assert_eq!(failure.violations.len(), MAX_KEPT);
        assert_eq!(failure.metadata[VIOLATIONS_TOTAL], "1000");
        let told = failure.message.matches("is empty").count();
        let rest = format!(" (and {} more)", 1000 - told);
        assert!(failure.message.ends_with(&rest), "{}", failure.message);
        assert!(failure.message.len() < MESSAGE_BYTES + 64);
    }
}
