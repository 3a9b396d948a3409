//! Phrases to choose from: what the persona says where the prompt gives it nothing.

pub(super) const CAPITALS: &[(&str, &str)] = &[
    ("Australia", "Canberra"),
    ("Austria", "Vienna"),
    ("Brazil", "Brasília"),
    ("Canada", "Ottawa"),
    ("China", "Beijing"),
    ("France", "Paris"),
    ("Germany", "Berlin"),
    ("India", "New Delhi"),
    ("Italy", "Rome"),
    ("Japan", "Tokyo"),
    ("Spain", "Madrid"),
    ("Switzerland", "Bern"),
];

pub(super) const JOKES: &[&str] = &[
    "Why did the client close the stream? It had heard enough.\n\nThe server did not mind: it was \
     already cancelled.",
    "A TCP packet walks into a bar and says, \"I'd like a beer.\" The barman says, \"You'd like a \
     beer?\" \"Yes,\" says the packet, \"I'd like a beer.\"",
    "How many Rust programmers does it take to change a light bulb? None: the lamp is still borrowed.",
];

pub(super) const OFFERS: &[&str] = &[
    "Shall I go into one of these?",
    "Ask me why or how, and I will go deeper.",
    "If you tell me what you are building, I can be more specific.",
    "I can also show a little code for it.",
];

pub(super) const GENERAL: &[&str] = &[
    "Start with why {topic} matters to you, in one sentence.",
    "Write down what you already know about {topic}, and what you only believe.",
    "Find somebody who has done it before, and ask what they would do differently.",
    "Try the smallest version of it that could fail.",
    "Decide beforehand how you will tell whether it worked.",
    "Keep notes; what is obvious today will not be in a month.",
    "Set a date on which you look at {topic} again.",
    "Leave out whatever does not change the result.",
    "Tell others early, while it is still easy to change.",
    "Stop when it is good enough, and say so.",
    "Look for the step that everybody skips.",
    "Celebrate, briefly.",
];
