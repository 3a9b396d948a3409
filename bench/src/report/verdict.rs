//! The goals, and what the figures say of them.

use std::io::{self, Write};

use super::{Results, median};
use crate::{child::Target, measure};

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

/// A figure beside its goal and its gate.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    what: String,
    figure: f64,
    goal: Option<Bound>,
    gate: Option<Bound>,
}

impl Verdict {
    /// Whether it misses its gate.
    pub(crate) fn fails(&self) -> bool {
        self.gate.is_some_and(|gate| !gate.holds(self.figure))
    }

    fn word(&self) -> &'static str {
        if self.fails() {
            return "MISSES THE GATE";
        }
        match self.goal {
            Some(goal) if goal.holds(self.figure) => "meets the goal",
            Some(_) => "misses the goal",
            None if self.gate.is_some() => "passes",
            None => "",
        }
    }
}

/// The verdicts on what was measured.
pub(super) fn of(results: &Results) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (key, goal, gate) in [
        (measure::speed::LONG, Some(0.8), Some(0.6)),
        (measure::speed::SHORT, None, None),
    ] {
        let relay = results.values(key, Target::Relay);
        let taiwa = results.values(key, Target::Taiwa);
        let ratios = by_round(taiwa, relay);
        if !ratios.is_empty() {
            verdicts.push(Verdict {
                what: format!("{}, {} answers: Taiwa / relay", key.metric, key.variant),
                figure: median(&ratios),
                goal: goal.map(Bound::AtLeast),
                gate: gate.map(Bound::AtLeast),
            });
        }
    }
    let ratios = by_round(
        results.values(measure::speed::LONG, Target::Sqlite),
        results.values(measure::speed::LONG, Target::Taiwa),
    );
    if !ratios.is_empty() {
        let metric = measure::speed::LONG.metric;
        verdicts.push(Verdict {
            what: format!("{metric}, long answers: SQLite / memory"),
            figure: median(&ratios),
            goal: None,
            gate: None,
        });
    }
    for (key, quantile, name) in [
        (measure::cadence::EVENT, 0.5, "p50"),
        (measure::cadence::EVENT, 0.99, "p99"),
        (measure::cadence::FIRST, 0.5, "p50"),
        (measure::cadence::FIRST, 0.99, "p99"),
    ] {
        let memory = results.quantile(key, Target::Taiwa, quantile);
        let sqlite = results.quantile(key, Target::Sqlite, quantile);
        if let (Some(memory), Some(sqlite)) = (memory, sqlite) {
            verdicts.push(Verdict {
                what: format!("{} {name}, us: SQLite - memory", key.metric),
                figure: sqlite - memory,
                goal: None,
                gate: None,
            });
        }
    }
    for key in [measure::listing::SESSIONS, measure::listing::MESSAGES] {
        if let Some(p99) = results.quantile(key, Target::Sqlite, 0.99) {
            verdicts.push(Verdict {
                what: format!("a page of {} from SQLite, p99, us", key.variant),
                figure: p99,
                goal: Some(Bound::AtMost(50_000.0)),
                gate: Some(Bound::AtMost(50_000.0)),
            });
        }
    }
    for (key, quantile, name, goal) in [
        (measure::cadence::FIRST, 0.5, "p50", Some(300.0)),
        (measure::cadence::FIRST, 0.99, "p99", Some(1000.0)),
        (measure::cadence::PIECE, 0.5, "p50", None),
        (measure::cadence::PIECE, 0.99, "p99", None),
    ] {
        let relay = results.quantile(key, Target::Relay, quantile);
        let taiwa = results.quantile(key, Target::Taiwa, quantile);
        if let (Some(relay), Some(taiwa)) = (relay, taiwa) {
            verdicts.push(Verdict {
                what: format!("{} {name}, us: Taiwa - relay", key.metric),
                figure: taiwa - relay,
                goal: goal.map(Bound::AtMost),
                gate: None,
            });
        }
    }
    for target in [Target::Taiwa, Target::Sqlite] {
        let key = measure::tools::ROUND_TRIP;
        let relay = results.quantile(key, Target::Relay, 0.5);
        if let (Some(relay), Some(own)) = (relay, results.quantile(key, target, 0.5)) {
            verdicts.push(Verdict {
                what: format!("a tool's round trip, p50, us: {} - relay", target.name()),
                figure: own - relay,
                goal: Some(Bound::AtMost(250.0)),
                gate: None,
            });
        }
    }
    let idle = results.values(measure::memory::PER_STREAM, Target::Taiwa);
    if !idle.is_empty() {
        verdicts.push(Verdict {
            what: "memory of an idle Converse stream, KiB".to_owned(),
            figure: median(idle),
            goal: Some(Bound::AtMost(32.0)),
            gate: Some(Bound::AtMost(64.0)),
        });
    }
    for way in measure::cancel::WAYS {
        if let Some(p99) = results.quantile(measure::cancel::key(way), Target::Taiwa, 0.99) {
            verdicts.push(Verdict {
                what: format!("cancel to upstream closed, {}, p99, us", way.name()),
                figure: p99,
                goal: Some(Bound::AtMost(10_000.0)),
                gate: Some(Bound::AtMost(10_000.0)),
            });
        }
    }
    if let Some(half) = results.quantile(measure::cold_start::KEY, Target::Taiwa, 0.5) {
        verdicts.push(Verdict {
            what: "cold start to the end of the first call, p50, us".to_owned(),
            figure: half,
            goal: Some(Bound::AtMost(100_000.0)),
            gate: None,
        });
    }
    verdicts
}

/// Ratios of figures; both sides of each are from one round, so that what disturbed it meets both.
fn by_round(above: &[f64], below: &[f64]) -> Vec<f64> {
    let pairs = above.iter().zip(below);
    pairs.map(|(above, below)| above / below).collect()
}

/// Writes the verdicts as a table.
pub(crate) fn write(verdicts: &[Verdict], out: &mut impl Write) -> io::Result<()> {
    let text = |bound: Option<Bound>| bound.map_or_else(String::new, Bound::text);
    writeln!(
        out,
        "{:<58} {:>10}  {:<10} {:<10}",
        "", "figure", "goal", "gate"
    )?;
    for verdict in verdicts {
        let digits = if verdict.figure.abs() < 100.0 { 2 } else { 0 };
        writeln!(
            out,
            "{:<58} {:>10.digits$}  {:<10} {:<10} {}",
            verdict.what,
            verdict.figure,
            text(verdict.goal),
            text(verdict.gate),
            verdict.word(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(relay: [f64; 3], taiwa: [f64; 3]) -> Vec<Verdict> {
        let mut results = Results::default();
        for (relay, taiwa) in relay.into_iter().zip(taiwa) {
            results.value(measure::speed::LONG, Target::Relay, relay);
            results.value(measure::speed::LONG, Target::Taiwa, taiwa);
        }
        of(&results)
    }

    #[test]
    fn a_ratio_is_made_round_by_round_and_held_to_its_gate() {
        let [verdict] = &verdicts([100.0, 10.0, 100.0], [70.0, 7.0, 50.0])[..] else {
            panic!("one verdict");
        };
        assert!((verdict.figure - 0.7).abs() < 1e-9);
        assert_eq!(verdict.word(), "misses the goal");
        assert!(!verdict.fails());
        assert!(verdicts([1.0; 3], [0.5; 3])[0].fails());
        assert_eq!(verdicts([1.0; 3], [0.9; 3])[0].word(), "meets the goal");
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert_eq!(of(&Results::default()), []);
    }
}
