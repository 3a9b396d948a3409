//! The same answer by all three calls, piece for piece as the model sent it.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use taiwa::v1::{self as pb, StopReason, TurnStatus};
use taiwa_e2e::{
    World,
    call::{self, prompt},
};

use crate::views::{Views, asked, blocks, pieces, text};

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

#[tokio::test]
async fn any_chunks_come_through_as_they_are() {
    let mut random = StdRng::seed_from_u64(42);
    for round in 0..12 {
        let chunks: Vec<String> = (0..random.random_range(1..120))
            .map(|_| chunk(&mut random))
            .collect();
        let list = serde_json::to_string(&chunks).unwrap();
        let world = World::start(&format!("[[reply]]\ntext = {list}")).await;
        let views = Views::of(&world, &prompt("go")).await;
        assert_eq!(text(&views.agreed()), chunks.concat(), "round {round}");
        let expected: Vec<String> = chunks.iter().map(|it| format!("text:{it}")).collect();
        for streamed in [&views.stream, &views.converse] {
            assert_eq!(pieces(streamed), expected, "round {round}");
        }
    }
}

/// Up to eight characters, of one to four bytes each.
fn chunk(random: &mut StdRng) -> String {
    const CHARS: &[char] = &[
        'a', ' ', '\n', '"', '\\', '\u{1}', 'é', '\u{301}', '世', '\u{fffd}', '🌍', '\u{200d}',
    ];
    let length = random.random_range(0..=8);
    (0..length)
        .map(|_| CHARS[random.random_range(0..CHARS.len())])
        .collect()
}

#[tokio::test]
async fn what_a_reader_leaves_out_changes_nothing_else() {
    let scenario = r#"
        [[reply]]
        content = [
            { reasoning = { text = ["Let me ", "think."], signature = "c2lnbmVk" } },
            { text = ["Do", "ne."] },
        ]
    "#;
    let world = World::start(scenario).await;
    let mut client = world.client().await;
    for (omit_reasoning, omit_deltas, expected) in [
        (true, false, &["text:Do", "text:ne."][..]),
        (false, true, &[]),
        (true, true, &[]),
    ] {
        let stream = pb::StreamOptions {
            omit_reasoning,
            omit_deltas,
            ..pb::StreamOptions::default()
        };
        let request = pb::InvokeRequest {
            stream: Some(stream),
            ..prompt("go")
        };
        let streamed = call::invoke_stream(&mut client, request).await;
        assert!(streamed.end.is_ok());
        assert_eq!(pieces(&streamed), expected);
        let numbers = streamed.events.iter().map(|event| event.sequence);
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "gaps, but no disorder"
        );
        let has_reasoning = blocks(streamed.result()).len() == 2;
        assert_eq!(has_reasoning, !omit_reasoning);
        assert_eq!(text(streamed.result()), "Done.");
    }
}
