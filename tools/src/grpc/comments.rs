//! What the authors of a service wrote beside its names.

use std::collections::HashMap;

use prost_reflect::FileDescriptor;

/// Longest comment that is passed on, in bytes: a guess at what still helps a model.
const MAX_BYTES: usize = 4 * 1024;

/// The comments of files, read once each.
#[derive(Debug, Default)]
pub(super) struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    /// The comment on what stands at `path` of `file`, without its marks.
    ///
    /// `None` where there is none, or where the descriptors were made without comments.
    pub(super) fn on(&mut self, file: &FileDescriptor, path: &[i32]) -> Option<&str> {
        if !self.0.contains_key(file.name()) {
            self.0.insert(file.name().to_owned(), comments_of(file));
        }
        self.0.get(file.name())?.get(path).map(String::as_str)
    }
}

fn comments_of(file: &FileDescriptor) -> HashMap<Vec<i32>, String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let locations = info.into_iter().flat_map(|info| &info.location);
    locations
        .filter_map(|location| {
            let text = [location.leading_comments(), location.trailing_comments()]
                .into_iter()
                .map(tidy)
                .find(|text| !text.is_empty())?;
            Some((location.path.clone(), text))
        })
        .collect()
}

/// Takes off the space that follows the comment's mark, and blank ends.
fn tidy(comment: &str) -> String {
    let lines = comment
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    let mut text = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
    text.truncate(text.floor_char_boundary(MAX_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_blank_ends_are_taken_off() {
        assert_eq!(tidy(" One.\n\n   two\n three. \n"), "One.\n\n  two\nthree.");
        assert_eq!(tidy(" \n"), "");
    }
}
