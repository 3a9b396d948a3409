//! Markdown in, painted lines out; `{1}` stands for the escape sequence of SGR 1.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Renderer, dotted};

#[test]
fn a_row_of_parts_is_broken_between_them_alone() {
    let parts = ["tokens: 7 in, 5 out", "0.52 s in all", "session s1"].map(str::to_owned);

    assert_eq!(
        dotted(&parts, usize::MAX),
        ["tokens: 7 in, 5 out · 0.52 s in all · session s1"]
    );
    assert_eq!(
        dotted(&parts, 35),
        ["tokens: 7 in, 5 out · 0.52 s in all", "  session s1"]
    );
    assert_eq!(
        dotted(&parts, 34),
        ["tokens: 7 in, 5 out", "  0.52 s in all · session s1"]
    );
    assert_eq!(
        dotted(&parts, 5),
        ["tokens: 7 in, 5 out", "  0.52 s in all", "  session s1"]
    );
}

#[test]
fn a_paragraph_is_wrapped_and_its_emphasis_painted() {
    check(
        "Some **bold** and *italic* words, `code` and ~~not this~~ that go over a line.",
        expect![[r#"
            Some {1}bold{0} and {3}italic{0} words,
            {33}code{0} and {9}not{0}{9} {0}{9}this{0} that go over
            a line."#]],
    );
}

#[test]
fn headings_stand_apart_from_what_follows() {
    check(
        "# One\nfirst\n## Two\nsecond",
        expect![[r#"
            {1;4;36}One{0}

            first

            {1;36}Two{0}

            second"#]],
    );
}

#[test]
fn lists_keep_numbers_and_indents() {
    check(
        "Steps:\n\n3. mix all of the flour with the water slowly\n4. bake\n   - hot\n   - [x] long\n\nDone.",
        expect![[r#"
            Steps:

            3. mix all of the flour with
               the water slowly
            4. bake
               • hot
               • [x] long

            Done."#]],
    );
}

#[test]
fn code_keeps_its_spaces_and_is_not_wrapped() {
    check(
        "Run:\n```rust\nfn main() {\n\n    let x = \"a long line that does not fit\";\n}\n```\nThat is all.",
        expect![[r#"
            Run:

              {36}fn main() {{0}

              {36}    let x = "a long line that does not fit";{0}
              {36}}{0}

            That is all."#]],
    );
}

#[test]
fn links_show_where_they_lead() {
    check(
        "See [the docs](https://a.b) or <https://c.d>.",
        expect![[r#"
            See {4;34}the{0}{4;34} {0}{4;34}docs{0}{2} {0}{2}(https://a.b){0} or
            {4;34}https://c.d{0}."#]],
    );
}

#[test]
fn link_definitions_that_come_late_stay_to_be_looked_up() {
    let pieces = [
        "See [the docs][1].\n\n",
        "[1]: https://a.b\n",
        "[2]: https://c.d\n",
    ];
    expect![[r#"
        See [the docs][1].

        {2}[1]: https://a.b{0}
        {2}[2]: https://c.d{0}"#]]
    .assert_eq(&render(&pieces));
}

#[test]
fn tables_are_aligned() {
    check(
        "| a | long head |\n|---|---|\n| wide cell | 1 |\n| 日本 | 2 |\n",
        expect![[r#"
            {1}a{0}        {2} │ {0}{1}long head{0}
            {2}──────────┼──────────{0}
            wide cell{2} │ {0}1
            日本     {2} │ {0}2"#]],
    );
}

#[test]
fn quotes_and_rules_are_drawn() {
    check(
        "> wise\n>\n> words\n\n---\nend",
        expect![[r#"
            {2}│ {0}wise
            {2}│{0}
            {2}│ {0}words

            {2}──────────────────────────────{0}

            end"#]],
    );
}

#[test]
fn control_characters_of_the_model_do_not_reach_the_terminal() {
    check("a\u{1b}[2Jb\u{7}c", expect!["a[2Jbc"]);
    check("```\na\u{1b}[2J\n```", expect!["  {36}a[2J{0}"]);
}

#[test]
fn a_word_longer_than_a_line_is_broken() {
    check(
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
        expect![[r#"
            abcdefghijklmnopqrstuvwxyzabcd
            efghijklmnopqrstuvwxyz"#]],
    );
}

#[test]
fn what_is_finished_is_handed_out_before_the_end() {
    let mut renderer = Renderer::new(30);
    let mut log = Vec::new();
    for piece in [
        "One",
        " para",
        "graph.\n",
        "\nTwo **bo",
        "ld**\n\n- a\n- b\n",
        "- c",
    ] {
        renderer.push(piece);
        let finished = show(&renderer.take_finished()).replace('\n', "⏎");
        let unfinished = show(&renderer.unfinished()).replace('\n', "⏎");
        log.push(format!("{finished:?} then {unfinished:?}"));
    }
    expect![[r#"
        "" then "One"
        "" then "One para"
        "" then "One paragraph."
        "One paragraph." then "⏎Two **bo"
        "⏎Two {1}bold{0}⏎⏎• a" then "• b"
        "" then "• b⏎• c""#]]
    .assert_eq(&log.join("\n"));
}

proptest! {
    #[test]
    fn no_letter_is_lost_however_odd_the_markdown(
        // Letters that stand for nothing in Markdown, among all that do; no
        // fences, whose info string is not shown, and no tables, whose rows
        // lose the cells that their header has no column for.
        source in "[xyzß日 \n#*_>~.0-9()!-]{0,160}",
        size in 1..7_usize,
    ) {
        let characters: Vec<char> = source.replace("~~~", "~~").chars().collect();
        prop_assume!(!String::from_iter(&characters).contains("~~~"));
        let pieces: Vec<String> = characters.chunks(size).map(String::from_iter).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let letters = |text: &str| text.chars().filter(|c| "xyzß日".contains(*c)).collect::<String>();
        prop_assert_eq!(letters(&render(&pieces)), letters(&pieces.concat()));
    }

    #[test]
    fn nothing_that_a_model_writes_is_a_panic(
        pieces in proptest::collection::vec("[a日 \t\r\n#*_`|>~.1:<&\\[\\]()!\u{1b}-]{0,6}", 0..40),
    ) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        render(&pieces);
    }
}

/// Renders in one piece, and makes sure that any pieces give the same lines.
#[track_caller]
fn check(source: &str, expected: Expect) {
    let whole = render(&[source]);
    expected.assert_eq(&whole);
    let characters: Vec<String> = source.chars().map(String::from).collect();
    let pieces: Vec<&str> = characters.iter().map(String::as_str).collect();
    assert_eq!(render(&pieces), whole, "character by character");
    for size in [2, 3, 7] {
        let pieces: Vec<String> = characters
            .chunks(size)
            .map(|piece| piece.concat())
            .collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(render(&pieces), whole, "in pieces of {size}");
    }
}

fn render(pieces: &[&str]) -> String {
    let mut renderer = Renderer::new(30);
    let mut lines = Vec::new();
    for piece in pieces {
        renderer.push(piece);
        lines.extend(renderer.take_finished());
    }
    renderer.end();
    lines.extend(renderer.take_finished());
    show(&lines)
}

fn show(lines: &[String]) -> String {
    let mut shown = String::new();
    let joined = lines.join("\n");
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        let (code, after) = after.split_once('m').expect("every sequence is SGR");
        shown.push_str(before);
        shown.push_str(&format!("{{{code}}}"));
        rest = after;
    }
    shown.push_str(rest);
    shown
}
