//! Finds whom a message answers when the message is too large to be kept.

use rmcp::model::RequestId;

/// Longest id that is looked at, in bytes; ours are numbers.
const MAX_ID_BYTES: usize = 32;

/// Reads a JSON object piece by piece, and keeps its top-level `id` alone.
#[derive(Debug, Default)]
pub(super) struct Outline {
    depth: usize,
    string: Option<Escape>,
    /// After a colon of the outermost object, and before the next comma.
    in_value: bool,
    key: Vec<u8>,
    id: Vec<u8>,
}

/// Where in a string the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Plain,
    AfterBackslash,
}

impl Outline {
    /// Reads the next piece.
    pub(super) fn read(&mut self, piece: &[u8]) {
        piece.iter().for_each(|byte| self.step(*byte));
    }

    /// The id, where the object had one.
    pub(super) fn id(&self) -> Option<RequestId> {
        serde_json::from_slice(&self.id).ok()
    }

    fn step(&mut self, byte: u8) {
        if let Some(escape) = self.string {
            self.string = match (escape, byte) {
                (Escape::AfterBackslash, _) => Some(Escape::Plain),
                (Escape::Plain, b'\\') => Some(Escape::AfterBackslash),
                (Escape::Plain, b'"') => None,
                (Escape::Plain, _) => Some(Escape::Plain),
            };
            self.keep(byte);
            return;
        }
        match byte {
            b'"' => {
                self.string = Some(Escape::Plain);
                self.keep(byte);
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.in_value = true,
            b',' if self.depth == 1 => {
                self.in_value = false;
                self.key.clear();
            }
            _ => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth != 1 {
            return;
        }
        if !self.in_value {
            // One byte over what is looked for tells a longer key from it.
            if self.key.len() <= br#""id""#.len() && !byte.is_ascii_whitespace() {
                self.key.push(byte);
            }
        } else if self.key == br#""id""# && self.id.len() < MAX_ID_BYTES {
            self.id.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, id: Option<RequestId>) {
        for cut in 0..=text.len() {
            let mut outline = Outline::default();
            outline.read(&text.as_bytes()[..cut]);
            outline.read(&text.as_bytes()[cut..]);
            assert_eq!(outline.id(), id, "{text}, cut at {cut}");
        }
    }

    #[test]
    fn the_id_is_found_before_and_after_what_is_large() {
        let seven = Some(RequestId::Number(7));
        check(
            r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#,
            seven.clone(),
        );
        check(
            r#"{ "result" : {"x":["id",{"id":8}]} , "id" : 7 }"#,
            seven.clone(),
        );
        check(r#"{"result":"\",\"id\":9","id":7}"#, seven.clone());
        check(r#"{"idea":8,"id":7}"#, seven);
        check(
            r#"{"id":"a,b","result":1}"#,
            Some(RequestId::String("a,b".into())),
        );
    }

    #[test]
    fn a_message_without_id_has_none() {
        check(r#"{"method":"x","params":{"id":7}}"#, None);
        check("no json", None);
    }
}
