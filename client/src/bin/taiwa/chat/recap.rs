//! The last of what was said in a conversation, before it goes on.

use taiwa_client::{Client, Error, pb, text_of};

use crate::output::Output;

/// Messages that are recalled: the last two exchanges, where no tools were used.
const RECALLED: usize = 4;

/// Lines of each that are shown.
const LINES: usize = 3;

/// Messages of a page; the most that a server gives.
const PAGE: i32 = 200;

/// A few lines of what was said last; none where the session is new, or cannot be read.
pub(super) async fn of(client: &Client, session_id: &str, output: &Output) -> Vec<String> {
    // Scripts know what they asked.
    if output.json {
        return Vec::new();
    }
    // It is made on first use, and a chat without its recap is still one.
    let recalled = recall(client, session_id).await.unwrap_or_default();
    lines(&recalled, output.width())
}

async fn recall(client: &Client, session_id: &str) -> Result<Vec<pb::Message>, Error> {
    let mut recalled = Vec::new();
    let mut request = pb::ListMessagesRequest {
        session_id: session_id.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    loop {
        let page = client.message_page(request.clone()).await?;
        let said = page.messages.into_iter();
        recalled.extend(said.filter(|message| !text_of(message).trim().is_empty()));
        recalled.drain(..recalled.len().saturating_sub(RECALLED));
        if page.next_page_token.is_empty() {
            return Ok(recalled);
        }
        request.page_token = page.next_page_token;
    }
}

fn lines(messages: &[pb::Message], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for message in messages {
        let lead = match message.role() {
            pb::Role::User | pb::Role::Unspecified => "› ",
            pb::Role::Assistant | pb::Role::System => "  ",
        };
        let text = text_of(message);
        let mut said = text.lines().filter(|line| !line.trim().is_empty());
        for (index, line) in said.by_ref().take(LINES).enumerate() {
            let lead = if index == 0 { lead } else { "  " };
            lines.push(format!("{lead}{}", clipped(line, width.saturating_sub(2))));
        }
        if said.next().is_some() {
            lines.push("  …".to_owned());
        }
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// The line without what a terminal would act on, cut to so many characters.
fn clipped(line: &str, width: usize) -> String {
    let mut shown = line.chars().filter(|character| !character.is_control());
    let mut clipped: String = shown.by_ref().take(width.saturating_sub(1)).collect();
    clipped.extend(shown.next().map(|_| '…'));
    clipped
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_few_lines_of_each_are_recalled() {
        let message = |role: pb::Role, text: &str| pb::Message {
            role: role.into(),
            content: vec![pb::ContentBlock {
                block: Some(pb::content_block::Block::Text(text.to_owned())),
            }],
            ..Default::default()
        };
        let said = [
            message(pb::Role::User, "why is the sky blue, and not green?"),
            message(pb::Role::Assistant, "One.\n\nTwo.\nThree.\nFour."),
        ];
        expect![[r#"
            › why is the sky bl…
              One.
              Two.
              Three.
              …
        "#]]
        .assert_eq(&(lines(&said, 20).join("\n")));
    }
}
