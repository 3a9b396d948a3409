//! Finds a calculation in a prompt and does it.

/// The calculation that the prompt holds and its result, if it holds one.
pub(super) fn solve(prompt: &str) -> Option<(String, f64)> {
    let mut text = prompt.to_lowercase();
    for (words, sign) in [
        ("% of", "/100*"),
        ("percent of", "/100*"),
        ("multiplied by", "*"),
        ("divided by", "/"),
        ("times", "*"),
        ("plus", "+"),
        ("minus", "-"),
        ("over", "/"),
        ("×", "*"),
        ("÷", "/"),
        ("−", "-"),
    ] {
        text = text.replace(words, sign);
    }
    let runs = text.split(|it: char| !(it.is_ascii_digit() || "+-*/(). ,^%".contains(it)));
    let longest = runs.map(|run| run.trim_matches(|it: char| " .,".contains(it)));
    let expression = longest.max_by_key(|run| run.len())?.replace(',', "");
    let digits = expression.chars().any(|it| it.is_ascii_digit());
    let operators = expression
        .trim_start_matches('-')
        .chars()
        .any(|it| "+-*/^%".contains(it));
    if !digits || !operators || looks_like_date(&expression) {
        return None;
    }
    let mut parser = Parser {
        rest: &expression,
        depth: 0,
    };
    let value = parser.sum()?;
    let whole = parser.rest.trim().is_empty();
    (whole && value.is_finite()).then(|| (tidy(&expression), value))
}

/// Writes a number without needless decimals.
pub(super) fn show(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `2026-11-22`, which nobody wants subtracted.
fn looks_like_date(expression: &str) -> bool {
    let parts: Vec<&str> = expression.split('-').collect();
    matches!(parts[..], [year, month, day] if year.len() == 4 && month.len() == 2 && day.len() == 2)
}

fn tidy(expression: &str) -> String {
    let mut tidy = String::new();
    for letter in expression.chars().filter(|it| *it != ' ') {
        match letter {
            '*' => tidy.push_str(" × "),
            '+' | '-' | '/' | '%' if !tidy.is_empty() && !tidy.ends_with(['(', ' ']) => {
                tidy.push_str(&format!(" {letter} "));
            }
            _ => tidy.push(letter),
        }
    }
    tidy
}

/// Deepest nesting of brackets, signs and powers that is followed.
const MAX_DEPTH: usize = 32;

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.eat('+') {
                value += self.product()?;
            } else if self.eat('-') {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.power()?;
        loop {
            if self.eat('*') {
                value *= self.power()?;
            } else if self.eat('/') {
                value /= self.power()?;
            } else if self.eat('%') {
                value %= self.power()?;
            } else {
                return Some(value);
            }
        }
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.number()?;
        if self.eat('^') {
            Some(base.powf(self.deeper(Self::power)?))
        } else {
            Some(base)
        }
    }

    fn number(&mut self) -> Option<f64> {
        if self.eat('-') {
            return Some(-self.deeper(Self::number)?);
        }
        if self.eat('(') {
            let value = self.deeper(Self::sum)?;
            return self.eat(')').then_some(value);
        }
        let rest = self.rest.trim_start();
        let end = rest
            .find(|it: char| !(it.is_ascii_digit() || it == '.'))
            .unwrap_or(rest.len());
        let (number, rest) = rest.split_at(end);
        self.rest = rest;
        number.parse().ok()
    }

    fn deeper(&mut self, parse: fn(&mut Self) -> Option<f64>) -> Option<f64> {
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH {
            None
        } else {
            parse(self)
        };
        self.depth -= 1;
        value
    }

    fn eat(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calculations_are_found_and_done() {
        for (prompt, expected) in [
            ("What is 12 * 7 + 3?", Some("12 × 7 + 3 = 87")),
            ("what's (2+3)^2 / 10", Some("(2 + 3)^2 / 10 = 2.5")),
            ("17 times 3 please", Some("17 × 3 = 51")),
            ("1,000 minus -1", Some("1000 - -1 = 1001")),
            ("10 / 4", Some("10 / 4 = 2.5")),
            ("How much is 17% of 80?", Some("17 / 100 × 80 = 13.6")),
            ("1 / 0", None),
            ("On 2026-11-22 I was there", None),
            ("Give me 3 ideas", None),
            ("I have 5 + apples", None),
            ("((((((((((((((((((((((((((((((((((((((((1+1", None),
        ] {
            let solved = solve(prompt).map(|(text, value)| format!("{text} = {}", show(value)));
            assert_eq!(solved.as_deref(), expected, "{prompt}");
        }
    }
}
