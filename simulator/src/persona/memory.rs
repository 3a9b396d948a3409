//! What the conversation itself says about the user, and questions about it.

use serde_json::Value;

use super::prompt::Reading;
use crate::wire::message_text;

/// The answer to a question about what was said before, or to being told something.
pub(super) fn answer(messages: &[Value], reading: &Reading) -> Option<String> {
    let lower = reading.lower.as_str();
    let (earlier, _) = split_last_user(messages);
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));

    if says(&[
        "what is my name",
        "what's my name",
        "whats my name",
        "who am i",
        "remember my name",
        "know my name",
    ]) {
        return Some(match name(earlier) {
            Some(name) => format!(
                "Your name is {name}. You told me earlier in this conversation, and I can see \
                 everything that was said in it."
            ),
            None => "You have not told me your name yet. If you do, I will remember it for the \
                     rest of this conversation."
                .to_owned(),
        });
    }
    if says(&[
        "what did i ask",
        "what did i say",
        "my first question",
        "my last question",
        "my previous question",
    ]) {
        let first = lower.contains("first");
        let mut asked = earlier
            .iter()
            .filter(|message| message["role"] == "user")
            .map(message_text);
        let asked = if first {
            asked.next()
        } else {
            asked.next_back()
        };
        return Some(match asked {
            Some(text) => format!(
                "{} you wrote: \"{}\". Would you like me to go on from there?",
                if first {
                    "At the beginning"
                } else {
                    "Before this"
                },
                shorten(&text, 200)
            ),
            None => "This is the first message of our conversation, so there is nothing before it."
                .to_owned(),
        });
    }
    if says(&[
        "what did you say",
        "repeat that",
        "say that again",
        "your last answer",
        "previous answer",
    ]) {
        let said = earlier
            .iter()
            .rfind(|message| message["role"] == "assistant")
            .map(message_text);
        return Some(match said {
            Some(text) => format!("I said: \"{}\"", shorten(&text, 400)),
            None => {
                "I have not said anything yet; this is the start of our conversation.".to_owned()
            }
        });
    }
    if let Some(subject) = asked_possession(lower) {
        return fact(earlier, &subject).map(|fact| {
            format!(
                "You told me that your {subject} is {fact}. That was earlier in this conversation."
            )
        });
    }
    if let Some(name) = told_name(&last_user_text(messages)) {
        return Some(format!(
            "Nice to meet you, {name}. I will remember your name for as long as this conversation \
             lasts. What would you like to talk about?"
        ));
    }
    if let Some((subject, fact)) = told_fact(&last_user_text(messages)) {
        return Some(format!(
            "Noted: your {subject} is {fact}. Ask me about it later in this conversation and I \
             will know."
        ));
    }
    None
}

/// The name that the user gave, the latest if there are several.
pub(super) fn name(messages: &[Value]) -> Option<String> {
    let texts = messages
        .iter()
        .filter(|message| message["role"] == "user")
        .map(message_text);
    texts.filter_map(|text| told_name(&text)).next_back()
}

fn split_last_user(messages: &[Value]) -> (&[Value], &[Value]) {
    let last = messages
        .iter()
        .rposition(|message| message["role"] == "user")
        .unwrap_or(0);
    messages.split_at(last)
}

fn last_user_text(messages: &[Value]) -> String {
    let (_, rest) = split_last_user(messages);
    rest.first().map_or_else(String::new, message_text)
}

fn told_name(text: &str) -> Option<String> {
    let rest = after(
        text,
        &["my name is ", "my name's ", "call me ", "i am called "],
    )?;
    let words: Vec<&str> = rest.split_whitespace().take(3).collect();
    let mut name = Vec::new();
    for word in words {
        let clean = word.trim_matches(|it: char| !it.is_alphanumeric());
        let capital = clean.chars().next().is_some_and(char::is_uppercase);
        if !(name.is_empty() || capital) || clean.is_empty() {
            break;
        }
        name.push(clean);
        if clean.len() < word.len() {
            break;
        }
    }
    (!name.is_empty()).then(|| name.join(" "))
}

/// "my favourite colour is green" gives the colour.
fn told_fact(text: &str) -> Option<(String, String)> {
    let rest = after(text, &["my "])?;
    let (subject, rest) = rest.split_once(" is ")?;
    let plain = subject.split_whitespace().count() <= 3 && !text.trim_end().ends_with('?');
    let fact = rest.split(['.', ',', '!', ';', '\n']).next()?.trim();
    (plain && !fact.is_empty() && fact.split_whitespace().count() <= 8)
        .then(|| (subject.to_lowercase(), fact.to_owned()))
}

fn fact(messages: &[Value], subject: &str) -> Option<String> {
    let texts = messages
        .iter()
        .filter(|message| message["role"] == "user")
        .map(message_text);
    let facts = texts.filter_map(|text| told_fact(&text));
    facts
        .filter(|(about, _)| about == subject)
        .map(|(_, fact)| fact)
        .next_back()
}

fn asked_possession(lower: &str) -> Option<String> {
    let rest = after(lower, &["what is my ", "what's my ", "which is my "])?;
    let subject = rest.trim_end_matches(['?', '.', '!', ' ']);
    (!subject.is_empty()).then(|| subject.to_owned())
}

/// The text behind the first of the phrases that occurs as words of its own.
fn after<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    // ASCII folding keeps byte positions.
    let lower = text.to_ascii_lowercase();
    phrases.iter().find_map(|phrase| {
        let at = lower.find(phrase)?;
        let starts_word = text
            .get(..at)?
            .chars()
            .next_back()
            .is_none_or(|it| !it.is_alphanumeric());
        if starts_word {
            text.get(at + phrase.len()..)
        } else {
            None
        }
    })
}

fn shorten(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    let cut: String = line.chars().take(limit).collect();
    format!("{}…", cut.trim_end())
}
