//! Reads a prompt: its words, its topic, its kind.

/// Words that say nothing about the topic.
const STOP_WORDS: &str = " a about above after again all also am an and any are as at be because \
    been before being between both but by can could describe did do does doing down during each \
    example examples explain few for from further get give had has have he hello her here hi him \
    his how i if in into is it its just know let like list long make many may me mean might more \
    most much must my need no not now of off on once one only or other our out over own please \
    provide same say she should show so some such sum summarise summarize tell than that the \
    their them then there these they thing things think this those three through to too translate \
    called calls compare difference differences haiku idea ideas instead joke poem reason \
    reasons step steps tip tips whats \
    two under until up us use used using very want was way ways we well were what when where \
    which while who why will with work works would write you your five four six seven ten short \
    brief briefly sentence sentences word words ";

/// What a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Greeting,
    Thanks,
    Farewell,
    Identity,
    Translation,
    Summary,
    Code,
    List,
    Poem,
    Joke,
    Comparison,
    Explanation(Side),
}

/// Which side of a subject a prompt asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    What,
    Why,
    How,
    /// It does not ask; it says something.
    Statement,
}

/// A prompt in lower case, split into words.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) lower: String,
    pub(super) words: Vec<String>,
}

impl Reading {
    pub(super) fn of(prompt: &str) -> Self {
        let lower = prompt.to_lowercase();
        let words = lower
            .split(|it: char| !(it.is_alphanumeric() || "-_'+#".contains(it)))
            .map(|word| word.trim_matches(|it: char| "-'".contains(it)).to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        Self { lower, words }
    }

    pub(super) fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has_word(word))
    }

    fn says_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.lower.contains(phrase))
    }

    fn begins(&self, starts: &[&str]) -> bool {
        self.words
            .first()
            .is_some_and(|word| starts.contains(&word.as_str()))
    }

    pub(super) fn kind(&self) -> Kind {
        let short = self.words.len() <= 5;
        if self.says_any(&[
            "who are you",
            "what are you",
            "are you a",
            "are you an",
            "are you real",
            "are you claude",
            "your name",
            "who made you",
            "which model",
            "what model",
            "what can you do",
            "introduce yourself",
            "about yourself",
            "tell me about you",
        ]) {
            Kind::Identity
        } else if self.has_any(&["translate", "translation"]) {
            Kind::Translation
        } else if self.has_any(&["summarize", "summarise", "summary", "tl;dr", "tldr"]) {
            Kind::Summary
        } else if self.has_any(&["haiku", "poem", "limerick", "verse"]) {
            Kind::Poem
        } else if self.has_word("joke") {
            Kind::Joke
        } else if self.asks_for_code() {
            Kind::Code
        } else if self.says_any(&[
            "difference between",
            "differences between",
            " versus ",
            " vs ",
            " vs. ",
        ]) || self.has_word("compare")
        {
            Kind::Comparison
        } else if self.begins(&["list", "name", "enumerate"])
            || self.says_any(&[
                "list of", "give me", "list the", "tips", "steps", "reasons", "ideas",
            ]) && self.count().is_some()
            || self.says_any(&["a list", "bullet"])
        {
            Kind::List
        } else if short
            && self.begins(&[
                "hi",
                "hello",
                "hey",
                "hallo",
                "greetings",
                "good",
                "howdy",
                "moin",
            ])
        {
            Kind::Greeting
        } else if short && self.has_any(&["thanks", "thank", "cheers"]) {
            Kind::Thanks
        } else if short && self.has_any(&["bye", "goodbye", "cya"]) {
            Kind::Farewell
        } else if self.has_word("why") {
            Kind::Explanation(Side::Why)
        } else if self.has_word("how") {
            Kind::Explanation(Side::How)
        } else if self.has_any(&[
            "what", "what's", "which", "explain", "describe", "define", "tell", "who", "when",
            "where",
        ]) || self.lower.trim_end().ends_with('?')
        {
            Kind::Explanation(Side::What)
        } else {
            Kind::Explanation(Side::Statement)
        }
    }

    fn asks_for_code(&self) -> bool {
        let verb = self.has_any(&[
            "write",
            "show",
            "give",
            "implement",
            "code",
            "program",
            "generate",
        ]);
        let noun = self.has_any(&[
            "code",
            "function",
            "program",
            "snippet",
            "script",
            "struct",
            "class",
            "implement",
        ]);
        verb && noun
    }

    /// A number of items that the prompt asks for.
    pub(super) fn count(&self) -> Option<usize> {
        const NUMBERS: [&str; 11] = [
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        ];
        self.words.iter().find_map(|word| {
            let named = NUMBERS.iter().position(|number| number == word);
            named
                .or_else(|| word.parse().ok())
                .filter(|count| (1..=12).contains(count))
        })
    }

    /// The words that say what it is about, in their order, each once.
    pub(super) fn topic_words(&self) -> Vec<&str> {
        let mut topic: Vec<&str> = Vec::new();
        for word in &self.words {
            let known = STOP_WORDS.split_whitespace().any(|stop| stop == word);
            if !known && word.len() > 1 && !topic.contains(&word.as_str()) {
                topic.push(word);
            }
        }
        topic
    }
}

/// What the prompt is about, in a few of its own words.
pub(super) fn topic(prompt: &str) -> String {
    let reading = Reading::of(prompt);
    let words = reading.topic_words();
    if words.is_empty() {
        "this".to_owned()
    } else {
        words[..words.len().min(4)].join(" ")
    }
}
