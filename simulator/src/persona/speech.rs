//! Puts answers into words.

use serde_json::Value;

use super::{
    arithmetic, code, knowledge, memory,
    phrases::{CAPITALS, GENERAL, JOKES, OFFERS},
    prompt::{Kind, Reading, Side, topic},
    translation,
};
use crate::wire::{Request, array, message_text};

/// The text of an answer.
pub(super) fn answer(request: &Request) -> String {
    let messages = request.messages();
    let prompt = request.prompt();
    let reading = Reading::of(&prompt);
    if let Some(text) = media(messages, &prompt) {
        return text;
    }
    if let Some(text) = memory::answer(messages, &reading) {
        return text;
    }
    if let Some((expression, value)) = arithmetic::solve(&prompt) {
        return format!(
            "**{expression} = {}**\n\nI worked that out step by step, brackets and powers first, \
             then products, then sums.",
            arithmetic::show(value)
        );
    }
    if let Some((country, capital)) = CAPITALS.iter().find(|(country, _)| {
        reading
            .lower
            .contains(&format!("capital of {}", country.to_lowercase()))
    }) {
        return format!(
            "The capital of {country} is **{capital}**. That is one of the few facts of geography \
             that I know; my field is gRPC, Rust and Amazon Bedrock."
        );
    }
    let name = memory::name(messages);
    match reading.kind() {
        Kind::Greeting => greet(name, messages.len()),
        Kind::Thanks => "You're welcome! If anything is still unclear, ask away.".to_owned(),
        Kind::Farewell => match name {
            Some(name) => format!("Goodbye, {name}! It was nice to talk to you."),
            None => "Goodbye! It was nice to talk to you.".to_owned(),
        },
        Kind::Identity => identity(&request.model_id),
        Kind::Translation => translation::answer(&prompt, &reading),
        Kind::Summary => summarize(&prompt, messages),
        Kind::Code => code::answer(&reading),
        Kind::Poem => poem(&topic(&prompt)),
        Kind::Joke => pick(&prompt, JOKES).to_owned(),
        Kind::List => list(&reading, &prompt),
        Kind::Comparison => compare(&reading, &prompt),
        Kind::Explanation(side) => explain(side, &reading, &prompt, messages),
    }
}

/// Shortens or reshapes an answer as the system prompt asks for it.
pub(super) fn obey(system: &str, text: String) -> String {
    let system = system.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| system.contains(phrase));
    let mut text = text;
    if says(&["one sentence", "single sentence"]) {
        text = sentences(&text).into_iter().next().unwrap_or(text);
    } else if says(&[
        "two sentences",
        "briefly",
        "be brief",
        "be concise",
        "concise answers",
        "short answers",
    ]) {
        text = sentences(&text)
            .into_iter()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
    }
    if says(&["upper case", "uppercase", "all caps", "capital letters"]) {
        text = text.to_uppercase();
    }
    if says(&["no markdown", "plain text", "without markdown"]) {
        text = text.replace("**", "").replace('`', "");
    }
    if says(&["like a pirate", "as a pirate", "are a pirate"]) {
        text = format!("Arr! {text}");
    }
    text
}

fn greet(name: Option<String>, turns: usize) -> String {
    let hello = match (name, turns) {
        (Some(name), _) => format!("Hello, {name}!"),
        (None, 0..=1) => "Hello! Nice to meet you.".to_owned(),
        (None, _) => "Hello again!".to_owned(),
    };
    format!(
        "{hello} I can talk about gRPC, Rust and Amazon Bedrock, do some arithmetic, show a little \
         code, and remember what you tell me during this conversation. What would you like to do?"
    )
}

fn identity(model_id: &str) -> String {
    format!(
        "I am a simulator of Amazon Bedrock, and there is no language model behind me. My answers \
         come from rules and a small store of knowledge, so that you can try a client or a server \
         without an account and without cost. You asked for the model `{model_id}`; on the real \
         service that model would answer here, over the same API and with the same stream of events."
    )
}

/// Says what was attached, when a message brings more than text.
fn media(messages: &[Value], prompt: &str) -> Option<String> {
    let content = array(&messages.last()?["content"]);
    let kinds = ["image", "document", "video", "audio"];
    let named: Vec<String> = content
        .iter()
        .filter_map(|block| {
            let kind = kinds.iter().find(|kind| block.get(**kind).is_some())?;
            let medium = &block[*kind];
            let format = medium["format"].as_str().unwrap_or("unknown");
            let size = medium["source"]["bytes"]
                .as_str()
                .map_or(0, |base64| base64.len() / 4 * 3);
            Some(match medium["name"].as_str() {
                Some(name) => format!("the {kind} \"{name}\" ({format}, about {size} bytes)"),
                None => format!(
                    "{} {kind} in {format} format of about {size} bytes",
                    article(kind)
                ),
            })
        })
        .collect();
    if named.is_empty() {
        return None;
    }
    let about = if prompt.is_empty() {
        String::new()
    } else {
        format!(" and your words about {}", topic(prompt))
    };
    Some(format!(
        "I received {}{about}. I am a simulator and cannot look inside, but everything arrived \
         whole and in order, which is what you would want to see in a test.",
        named.join(", and ")
    ))
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn explain(side: Side, reading: &Reading, prompt: &str, messages: &[Value]) -> String {
    let earlier = messages
        .split_last()
        .map_or(&[][..], |(_, earlier)| earlier);
    let subject = knowledge::find(&reading.lower).or_else(|| {
        // "And why is that?" is about what was last talked about.
        let points_back = ["it", "that", "this", "they", "those"]
            .iter()
            .any(|it| reading.has_word(it));
        let topic_words = reading.topic_words().len();
        let follows = topic_words == 0 || topic_words <= 2 && points_back;
        let texts = earlier
            .iter()
            .rev()
            .filter(|it| follows && it["role"] == "user")
            .map(message_text);
        texts
            .into_iter()
            .find_map(|text| knowledge::find(&text.to_lowercase()))
    });
    let Some(subject) = subject else {
        return improvise(side, prompt);
    };
    let told = earlier
        .iter()
        .any(|it| it["role"] == "assistant" && message_text(it).contains(subject.what));
    let (first, second) = match side {
        Side::Why => (subject.why, subject.how),
        Side::How => (subject.how, subject.why),
        Side::What | Side::Statement if told => (subject.how, subject.why),
        Side::What | Side::Statement => (subject.what, subject.why),
    };
    let points = list_of(subject.points.iter().take(3).copied(), "- ");
    format!(
        "{first}\n\n{second}\n\nWhat matters in practice:\n\n{points}\n\n{}",
        pick(prompt, OFFERS)
    )
}

fn list(reading: &Reading, prompt: &str) -> String {
    let count = reading.count().unwrap_or(5);
    let (title, points): (String, Vec<String>) = match knowledge::find(&reading.lower) {
        Some(subject) => {
            let extra = [subject.what, subject.why, subject.how]
                .into_iter()
                .flat_map(sentences);
            let points = subject.points.iter().map(|&it| it.to_owned()).chain(extra);
            (subject.title.to_owned(), points.take(count).collect())
        }
        None => {
            let topic = topic(prompt);
            let points = GENERAL
                .iter()
                .take(count)
                .map(|point| point.replace("{topic}", &topic));
            let points = points.collect();
            (topic, points)
        }
    };
    let numbered: Vec<String> = points
        .iter()
        .zip(1..)
        .map(|(it, at)| format!("{at}. {it}"))
        .collect();
    format!(
        "Here is what I would put on a list about {title}:\n\n{}\n\nThe order is roughly that of \
         importance.",
        numbered.join("\n")
    )
}

fn compare(reading: &Reading, prompt: &str) -> String {
    let subjects = knowledge::all(&reading.lower);
    if let [one, other, ..] = subjects[..] {
        return format!(
            "**{}.** {}\n\n**{}.** {}\n\nThey answer different questions, so the choice depends on \
             what you need: {} The other one has its own strength: {}",
            capitalized(one.title),
            one.what,
            capitalized(other.title),
            other.what,
            one.why,
            other.why
        );
    }
    let words = reading.topic_words();
    let (one, other) = match words[..] {
        [one, other, ..] => (one, other),
        _ => ("the first", "the second"),
    };
    format!(
        "To compare {one} and {other} I would look at three things:\n\n- **Purpose:** what {one} was \
         made for, and what {other} was made for.\n- **Cost:** what each takes in time, money and \
         attention.\n- **Change:** how hard it is to go from {one} to {other} later.\n\nI am a \
         simulator and know neither in depth, but asked about \"{}\" a good answer would cover these.",
        shorten(prompt)
    )
}

/// An answer about something that the persona knows nothing about.
fn improvise(side: Side, prompt: &str) -> String {
    let topic = topic(prompt);
    let lead = match side {
        Side::Why => {
            format!("There is rarely one reason; with {topic}, I would look at three sides.")
        }
        Side::How => format!("Taking {topic} step by step usually works best."),
        Side::What => format!("You are asking about {topic}, and a good answer has three parts."),
        Side::Statement => format!("I see that this is about {topic}."),
    };
    let body = match side {
        Side::Why => format!(
            "- **History:** how {topic} came to be as it is.\n- **Incentives:** who gains from it.\n- \
             **Constraints:** what could not have been done otherwise."
        ),
        Side::How => format!(
            "1. Say what a good result with {topic} would look like.\n2. Do the smallest part of it \
             that can be checked.\n3. Check it, keep what works, and go on from there."
        ),
        Side::What | Side::Statement => format!(
            "- **What it is:** a short definition of {topic} in plain words.\n- **What it is not:** \
             the thing it is most often mistaken for.\n- **An example:** one case, worked out to the end."
        ),
    };
    format!(
        "{lead}\n\n{body}\n\nI have no model behind me, so I can't fill these in with facts about \
         {topic}. Ask me about gRPC, Rust or Amazon Bedrock and I can say a good deal more."
    )
}

fn summarize(prompt: &str, messages: &[Value]) -> String {
    let behind = prompt.split_once(':').map_or("", |(_, text)| text).trim();
    let conversation = messages
        .split_last()
        .map_or(&[][..], |(_, earlier)| earlier);
    if behind.split_whitespace().count() < 8 {
        let asked: Vec<String> = conversation
            .iter()
            .filter(|message| message["role"] == "user")
            .map(|message| format!("- You asked: \"{}\"", shorten(&message_text(message))))
            .collect();
        if asked.is_empty() {
            return "Send me the text behind a colon, as in \"Summarize: …\", and I will pick out its \
                    most important sentences."
                .to_owned();
        }
        return format!(
            "In short, this is what we talked about:\n\n{}",
            asked.join("\n")
        );
    }
    let parts = sentences(behind);
    let words = behind.split_whitespace().count();
    let key = parts
        .iter()
        .max_by_key(|sentence| Reading::of(sentence).topic_words().len());
    let first = parts.first().cloned().unwrap_or_default();
    let middle = key
        .filter(|key| **key != first)
        .map(|key| format!(" {key}"))
        .unwrap_or_default();
    format!(
        "**Summary** ({words} words in {} sentences): {first}{middle}\n\nIt is mostly about {}.",
        parts.len(),
        topic(behind)
    )
}

fn poem(topic: &str) -> String {
    format!(
        "*{}*\n\nWord by word it comes,\na stream that carries {topic};\nthen the last one: stop.",
        capitalized(topic)
    )
}

/// One of several wordings, the same for the same prompt.
fn pick<'a>(prompt: &str, from: &[&'a str]) -> &'a str {
    let position = (crc32fast::hash(prompt.as_bytes()) as usize).checked_rem(from.len());
    position.and_then(|at| from.get(at)).copied().unwrap_or("")
}

fn list_of<'a>(points: impl Iterator<Item = &'a str>, mark: &str) -> String {
    points
        .map(|point| format!("{mark}{point}"))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(super) fn capitalized(text: &str) -> String {
    // Names such as gRPC keep their spelling.
    if text
        .split(' ')
        .next()
        .is_some_and(|first| first.contains(char::is_uppercase))
    {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 80 {
        return line;
    }
    let cut: String = line.chars().take(80).collect();
    format!("{}…", cut.trim_end())
}

/// Splits a text into sentences, lists and line ends included.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut current = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        current.push(letter);
        let stops =
            ".!?".contains(letter) && letters.peek().is_none_or(|next| next.is_whitespace());
        if stops || letter == '\n' {
            let done = std::mem::take(&mut current);
            let done = done.trim();
            if !done.is_empty() {
                sentences.push(done.to_owned());
            }
        }
    }
    if !current.trim().is_empty() {
        sentences.push(current.trim().to_owned());
    }
    sentences
}
