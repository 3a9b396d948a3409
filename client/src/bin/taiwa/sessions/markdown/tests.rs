//! Messages in, Markdown out.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn what_was_said_stands_open_and_what_tools_did_is_folded() {
    let call = Block::ToolCall(pb::ToolCall {
        tool_name: "weather".to_owned(),
        input_json: r#"{"city":"Bern"}"#.to_owned(),
        ..Default::default()
    });
    let result = Block::ToolResult(pb::ToolResult {
        text: "no such ```city```".to_owned(),
        is_error: true,
        ..Default::default()
    });
    let thought = Block::Reasoning(pb::Reasoning {
        text: "The user wants <weather>.".to_owned(),
        ..Default::default()
    });
    check(
        &[
            message(pb::Role::User, [text("Weather in *Bern*?\n")]),
            message(pb::Role::Assistant, [thought, text("I look."), call]),
            message(pb::Role::User, [result]),
            message(pb::Role::Assistant, [text("I do not know.")]),
        ],
        expect![[r#"
            # Session s1

            - Agent: assistant
            - Made: 1970-01-01T00:01:00Z
            - Labels: a=1, b=2

            ## User

            Weather in *Bern*?

            ## Assistant

            <details>
            <summary>Reasoning</summary>

            ```
            The user wants <weather>.
            ```

            </details>

            I look.

            <details>
            <summary>Tool call: weather</summary>

            ```json
            {"city":"Bern"}
            ```

            </details>

            ## Tool results

            <details>
            <summary>Tool result: failed</summary>

            ````
            no such ```city```
            ````

            </details>

            ## Assistant

            I do not know.
        "#]],
    );
}

#[test]
fn bytes_are_named_and_sources_are_linked() {
    let image = Block::Image(pb::Image {
        media_type: "image/png".to_owned(),
        source: Some(pb::MediaSource {
            source: Some(pb::media_source::Source::Data(b"png".as_slice().into())),
        }),
        ..Default::default()
    });
    let document = Block::Document(pb::Document {
        name: "notes".to_owned(),
        body: Some(pb::document::Body::Text("Buy milk.".to_owned())),
        ..Default::default()
    });
    let cited = Block::CitedText(pb::CitedText {
        texts: vec!["Milk ".to_owned(), "is white.".to_owned()],
        citations: vec![pb::Citation {
            title: "Milk".to_owned(),
            location: Some(pb::citation::Location::Web(pb::WebLocation {
                url: "https://example.com/milk".to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        }],
    });
    let mut summary = message(pb::Role::User, [text("They spoke of milk.")]);
    summary.summary = true;
    summary.create_time = Some(prost_types::Timestamp {
        seconds: 61,
        nanos: 5,
    });
    check(
        &[
            summary,
            message(pb::Role::User, [image, document]),
            message(pb::Role::Assistant, [cited]),
        ],
        expect![[r#"
            # Session s1

            - Agent: assistant
            - Made: 1970-01-01T00:01:00Z
            - Labels: a=1, b=2

            ## Summary of what came before (1970-01-01T00:01:01Z)

            They spoke of milk.

            ## User

            *[image, image/png, 3 bytes]*

            <details>
            <summary>A document "notes"</summary>

            ```
            Buy milk.
            ```

            </details>

            ## Assistant

            Milk is white.

            > Source: [Milk](https://example.com/milk)
        "#]],
    );
}

#[track_caller]
fn check(messages: &[pb::Message], expected: Expect) {
    let labels = [("b", "2"), ("a", "1")];
    let session = pb::Session {
        session_id: "s1".to_owned(),
        agent_id: "assistant".to_owned(),
        create_time: Some(prost_types::Timestamp {
            seconds: 60,
            nanos: 0,
        }),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..Default::default()
    };
    expected.assert_eq(&document(&session, messages));
}

fn message(role: pb::Role, blocks: impl IntoIterator<Item = Block>) -> pb::Message {
    let blocks = blocks.into_iter().map(Some);
    pb::Message {
        role: role.into(),
        content: blocks.map(|block| pb::ContentBlock { block }).collect(),
        ..Default::default()
    }
}

fn text(text: &str) -> Block {
    Block::Text(text.to_owned())
}
