//! The same answer by all three calls, piece for piece as the model sent it.

use taiwa::v1::{StopReason, TurnStatus};
use taiwa_e2e::{World, call::prompt};

use crate::views::{Views, asked, blocks, pieces};

/// One answer of the model and how it must arrive.
struct Case {
    name: &'static str,
    /// The `reply` table of the scenario.
    reply: &'static str,
    /// The pieces as the model sends them.
    pieces: &'static [&'static str],
    /// The blocks that they make.
    blocks: &'static [&'static str],
    stop_reason: StopReason,
}

const CASES: &[Case] = &[
    Case {
        name: "text in chunks of any shape",
        reply: r#"text = ["Hel", "lo", " ", "wörld 🌍", "\n\n", "\"quoted\" \\ and \u0000 null"]"#,
        pieces: &[
            "text:Hel",
            "text:lo",
            "text: ",
            "text:wörld 🌍",
            "text:\n\n",
            "text:\"quoted\" \\ and \0 null",
        ],
        blocks: &["text:Hello wörld 🌍\n\n\"quoted\" \\ and \0 null"],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "chunks with nothing in them",
        reply: r#"text = ["", "a", "", "b"]"#,
        pieces: &["text:", "text:a", "text:", "text:b"],
        blocks: &["text:ab"],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "reasoning with signature, then redacted, then text",
        reply: r#"content = [
            { reasoning = { text = ["Let me ", "think."], signature = "c2lnbmVk" } },
            { redacted_reasoning = "AAECAw==" },
            { text = ["Done."] },
        ]"#,
        pieces: &[
            "reasoning:Let me ",
            "reasoning:think.",
            "signature:c2lnbmVk",
            "redacted:[0, 1, 2, 3]",
            "text:Done.",
        ],
        blocks: &[
            "reasoning:Let me think. signed c2lnbmVk, redacted []",
            "reasoning: signed , redacted [0, 1, 2, 3]",
            "text:Done.",
        ],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "several blocks of text",
        reply: r#"content = [{ text = ["One", "."] }, { text = ["Two."] }, { text = ["Three", "."] }]"#,
        pieces: &["text:One", "text:.", "text:Two.", "text:Three", "text:."],
        blocks: &["text:One.", "text:Two.", "text:Three."],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "citations",
        reply: r#"content = [{ text = ["Water ", "boils."], citations = [
            { title = "Physics", source = "book", sourceContent = [{ text = "at 100" }], location = { documentPage = { documentIndex = 1, start = 3, end = 4 } } },
            { title = "Web", sourceContent = [{ text = "hot" }], location = { web = { url = "https://example.org/w", domain = "example.org" } } },
        ] }]"#,
        pieces: &[
            "text:Water ",
            "text:boils.",
            "citation:Physics by book [\"at 100\"]",
            "citation:Web by  [\"hot\"]",
        ],
        blocks: &["cited:[\"Water boils.\"] Physics+Web"],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "a tool that the provider runs",
        reply: r#"content = [
            { tool_use = { id = "srv_1", name = "nova_code", input = ['{"code"', ':"1+1"}'], run_by_provider = true } },
            { tool_result = { id = "srv_1", kind = "code_result", status = "success", text = "2", json = { exit = 0 } } },
            { text = ["It is 2."] },
        ]"#,
        pieces: &[
            "call:srv_1 {\"code\"",
            "call:srv_1 :\"1+1\"}",
            "result:srv_1 2",
            "result-json:srv_1 {\"exit\":0}",
            "text:It is 2.",
        ],
        blocks: &[
            "call:srv_1 nova_code {\"code\":\"1+1\"} Provider",
            "result:srv_1 code_result false 2+{\"exit\":0}",
            "text:It is 2.",
        ],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "images",
        reply: r#"content = [
            { text = ["Here:"] },
            { image = { format = "webp", base64 = "AAEC" } },
            { image = { format = "png", s3_uri = "s3://bucket/key" } },
            { image = { format = "jpeg", error = "too odd" } },
        ]"#,
        pieces: &[
            "text:Here:",
            "image:[0, 1, 2]  ",
            "image:[] s3://bucket/key ",
            "image:[]  too odd",
        ],
        blocks: &[
            "text:Here:",
            "image:image/webp [0, 1, 2]  ",
            "image:image/png [] s3://bucket/key ",
            "image:image/jpeg []  too odd",
        ],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "nothing at all",
        reply: r#"stop_reason = "end_turn""#,
        pieces: &[],
        blocks: &[],
        stop_reason: StopReason::EndTurn,
    },
    Case {
        name: "a stop sequence",
        reply: r#"text = ["One"]
            stop_reason = "stop_sequence"
            additional_fields = { stop_sequence = "Two" }"#,
        pieces: &["text:One"],
        blocks: &["text:One"],
        stop_reason: StopReason::StopSequence,
    },
    Case {
        name: "the token limit",
        reply: "text = [\"On\"]\nstop_reason = \"max_tokens\"",
        pieces: &["text:On"],
        blocks: &["text:On"],
        stop_reason: StopReason::MaxTokens,
    },
    Case {
        name: "filtered content",
        reply: "text = [\"Sorry\"]\nstop_reason = \"content_filtered\"",
        pieces: &["text:Sorry"],
        blocks: &["text:Sorry"],
        stop_reason: StopReason::ContentFiltered,
    },
    Case {
        name: "output that the provider could not parse",
        reply: "text = [\"<?\"]\nstop_reason = \"malformed_model_output\"",
        pieces: &["text:<?"],
        blocks: &["text:<?"],
        stop_reason: StopReason::MalformedModelOutput,
    },
    Case {
        name: "a tool call that the provider could not parse",
        reply: "text = [\"{\"]\nstop_reason = \"malformed_tool_use\"",
        pieces: &["text:{"],
        blocks: &["text:{"],
        stop_reason: StopReason::MalformedToolUse,
    },
    Case {
        name: "a full context window",
        reply: "text = [\"Long\"]\nstop_reason = \"model_context_window_exceeded\"",
        pieces: &["text:Long"],
        blocks: &["text:Long"],
        stop_reason: StopReason::ContextWindowExceeded,
    },
    Case {
        name: "a guardrail's intervention",
        reply: "text = [\"I can't.\"]\nstop_reason = \"guardrail_intervened\"",
        pieces: &["text:I can't."],
        blocks: &["text:I can't."],
        stop_reason: StopReason::GuardrailIntervened,
    },
];

#[tokio::test]
async fn chunks_in_are_chunks_out_by_every_call() {
    for case in CASES {
        let world = World::start(&format!("[[reply]]\n{}", case.reply)).await;
        let views = Views::of(&world, &prompt("go")).await;
        let name = case.name;

        let result = views.agreed();
        assert_eq!(
            result.status(),
            TurnStatus::Completed,
            "{name}: {result:#?}"
        );
        assert_eq!(result.stop_reason(), case.stop_reason, "{name}");
        assert_eq!(blocks(&result), case.blocks, "{name}");
        assert!(result.error.is_none(), "{name}");

        for streamed in [&views.stream, &views.converse] {
            assert_eq!(pieces(streamed), case.pieces, "{name}");
        }
        let asked = asked(&world);
        assert_eq!(asked.len(), 3, "{name}");
        for entry in &asked {
            assert_eq!(entry.chunks_sent, case.pieces.len() as u64, "{name}");
            assert_eq!(entry.request, asked[0].request, "{name}");
            assert_eq!(entry.model_id, asked[0].model_id, "{name}");
        }
    }
}
