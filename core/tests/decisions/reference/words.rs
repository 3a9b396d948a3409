//! Words that say who spoke, so that they can be found again.

use std::{collections::BTreeSet, sync::Arc};

use taiwa_core::{Block, Message, tool::ToolResultBlock};

/// The words of a text that say who spoke: a letter and a number.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace()
        .filter(|word| word.starts_with(['u', 'm', 'r']) && word[1..].parse::<u64>().is_ok())
        .map(str::to_owned)
}

pub(super) fn tokens(content: &[Block]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for block in content {
        match block {
            Block::Text(text) => found.extend(words(text)),
            Block::CitedText(cited) => cited
                .texts
                .iter()
                .for_each(|text| found.extend(words(text))),
            Block::ToolResult(result) => found.extend(result_tokens(&result.content)),
            _ => {}
        }
    }
    found
}

pub(super) fn result_tokens(content: &[ToolResultBlock]) -> BTreeSet<String> {
    let texts = content.iter().filter_map(|block| match block {
        ToolResultBlock::Text(text) => Some(text),
        _ => None,
    });
    texts.flat_map(|text| words(text)).collect()
}

pub(super) fn tokens_of(messages: &[Arc<Message>]) -> BTreeSet<String> {
    messages
        .iter()
        .flat_map(|message| tokens(&message.content))
        .collect()
}
