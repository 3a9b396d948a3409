//! A phrase book.

use super::{
    prompt::Reading,
    speech::{capitalized, shorten},
};

/// Phrases that it can translate, in English, French, German, Spanish and Italian.
const PHRASES: &[[&str; 5]] = &[
    [
        "good morning",
        "bonjour",
        "guten Morgen",
        "buenos días",
        "buongiorno",
    ],
    [
        "good night",
        "bonne nuit",
        "gute Nacht",
        "buenas noches",
        "buonanotte",
    ],
    [
        "how are you",
        "comment allez-vous",
        "wie geht es dir",
        "cómo estás",
        "come stai",
    ],
    ["thank you", "merci", "danke", "gracias", "grazie"],
    [
        "i love you",
        "je t'aime",
        "ich liebe dich",
        "te quiero",
        "ti amo",
    ],
    [
        "where is the station",
        "où est la gare",
        "wo ist der Bahnhof",
        "dónde está la estación",
        "dov'è la stazione",
    ],
    [
        "goodbye",
        "au revoir",
        "auf Wiedersehen",
        "adiós",
        "arrivederci",
    ],
    [
        "please",
        "s'il vous plaît",
        "bitte",
        "por favor",
        "per favore",
    ],
    ["friend", "ami", "Freund", "amigo", "amico"],
    ["water", "eau", "Wasser", "agua", "acqua"],
    ["hello", "bonjour", "hallo", "hola", "ciao"],
    ["world", "monde", "Welt", "mundo", "mondo"],
    ["yes", "oui", "ja", "sí", "sì"],
    ["no", "non", "nein", "no", "no"],
];

pub(super) fn answer(prompt: &str, reading: &Reading) -> String {
    let languages = ["english", "french", "german", "spanish", "italian"];
    let target = languages
        .iter()
        .position(|language| reading.has_word(language));
    let (Some(target), language) = (target, target.and_then(|at| languages.get(at)).copied())
    else {
        return "Which language should I translate to? I know a few phrases of French, German, \
                Spanish and Italian."
            .to_owned();
    };
    let language = capitalized(language.unwrap_or("english"));
    let known: Vec<String> = PHRASES
        .iter()
        .filter(|phrase| {
            phrase
                .iter()
                .any(|form| mentions(&reading.lower, &form.to_lowercase()))
        })
        .filter_map(|phrase| Some(format!("- {} → **{}**", phrase[0], phrase.get(target)?)))
        .take(4)
        .collect();
    if known.is_empty() {
        return format!(
            "I would gladly put \"{}\" into {language}, but I am a simulator with a phrase book of \
             {} entries, and none of them fits. Greetings, thanks and a few everyday words are in it.",
            shorten(prompt),
            PHRASES.len()
        );
    }
    format!(
        "In {language}:\n\n{}\n\nThat is what my phrase book has for it.",
        known.join("\n")
    )
}

fn mentions(text: &str, phrase: &str) -> bool {
    let words = text.split(|it: char| !(it.is_alphanumeric() || it == '\''));
    let words: Vec<&str> = words
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .collect();
    format!(" {} ", words.join(" ")).contains(&format!(" {phrase} "))
}
