//! What was found: figures by what, of whom, and in which round.

pub(crate) mod verdict;

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use anyhow::Result;
use hdrhistogram::Histogram;

use self::verdict::Verdict;
use crate::child::Target;

/// What a figure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The measurement.
    pub(crate) measure: &'static str,
    /// Which form of it.
    pub(crate) variant: &'static str,
    /// What was measured of it.
    pub(crate) metric: &'static str,
    /// The unit of the figure.
    pub(crate) unit: &'static str,
}

impl Key {
    /// Names a figure.
    pub(crate) const fn new(
        measure: &'static str,
        variant: &'static str,
        metric: &'static str,
        unit: &'static str,
    ) -> Self {
        Self {
            measure,
            variant,
            metric,
            unit,
        }
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    series: Vec<Series>,
}

/// The figures of one kind, round by round.
#[derive(Debug)]
struct Series {
    key: Key,
    target: Target,
    rounds: Rounds,
}

#[derive(Debug)]
enum Rounds {
    Values(Vec<f64>),
    Latencies(Vec<Histogram<u64>>),
}

/// The longest time that is told from a longer one: ten minutes.
const LONGEST_NANOS: u64 = 600 * 1_000_000_000;

/// Times, kept in nanoseconds to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?))
    }

    /// Takes note of a time.
    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }
}

impl Results {
    /// Takes note of a round's figure.
    pub(crate) fn value(&mut self, key: Key, target: Target, value: f64) {
        if let Rounds::Values(values) = self.series(key, target, || Rounds::Values(Vec::new())) {
            values.push(value);
        }
    }

    /// Takes note of a round's times.
    pub(crate) fn latencies(&mut self, key: Key, target: Target, times: Latencies) {
        let rounds = self.series(key, target, || Rounds::Latencies(Vec::new()));
        if let Rounds::Latencies(histograms) = rounds {
            histograms.push(times.0);
        }
    }

    /// The figures of all rounds; none when it was not measured.
    pub(super) fn values(&self, key: Key, target: Target) -> &[f64] {
        match self.find(key, target) {
            Some(Rounds::Values(values)) => values,
            Some(Rounds::Latencies(_)) | None => &[],
        }
    }

    /// A quantile over the times of all rounds, in microseconds.
    pub(super) fn quantile(&self, key: Key, target: Target, quantile: f64) -> Option<f64> {
        match self.find(key, target)? {
            Rounds::Latencies(histograms) => Some(micros(&merged(histograms), quantile)),
            Rounds::Values(_) => None,
        }
    }

    /// What the goals say of the figures.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        verdict::of(self)
    }

    /// Writes a header and one row for each figure of each round and of all of them.
    pub(crate) fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "measure,variant,target,round,metric,unit,samples,value,low,high,p50,p90,p99,max"
        )?;
        for series in &self.series {
            for (round, row) in series.rows() {
                let Key {
                    measure,
                    variant,
                    metric,
                    unit,
                } = series.key;
                let target = series.target.name();
                writeln!(
                    out,
                    "{measure},{variant},{target},{round},{metric},{unit},{row}"
                )?;
            }
        }
        Ok(())
    }

    /// Writes what all rounds came to, for people.
    pub(crate) fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        for series in &self.series {
            let Some((_, row)) = series.rows().pop() else {
                continue;
            };
            writeln!(
                out,
                "{:<10} {:<9} {:<6} {:<22} {row:#} {}",
                series.key.measure,
                series.key.variant,
                series.target.name(),
                series.key.metric,
                series.key.unit,
            )?;
        }
        writeln!(out)
    }

    fn find(&self, key: Key, target: Target) -> Option<&Rounds> {
        let is_it = |series: &&Series| series.key == key && series.target == target;
        self.series.iter().find(is_it).map(|series| &series.rounds)
    }

    fn series(&mut self, key: Key, target: Target, empty: impl FnOnce() -> Rounds) -> &mut Rounds {
        let position = self
            .series
            .iter()
            .position(|series| series.key == key && series.target == target);
        let position = position.unwrap_or_else(|| {
            self.series.push(Series {
                key,
                target,
                rounds: empty(),
            });
            self.series.len() - 1
        });
        &mut self.series[position].rounds
    }
}

impl Series {
    /// The rows of each round, and of all of them as the last.
    fn rows(&self) -> Vec<(String, Row)> {
        let mut rows: Vec<Row> = match &self.rounds {
            Rounds::Values(values) => values
                .iter()
                .map(|value| Row::of_values(&[*value]))
                .collect(),
            Rounds::Latencies(histograms) => histograms.iter().map(Row::of_latencies).collect(),
        };
        rows.push(match &self.rounds {
            Rounds::Values(values) => Row::of_values(values),
            Rounds::Latencies(histograms) => Row::of_latencies(&merged(histograms)),
        });
        let all = rows.len();
        let name = |round: usize| {
            if round == all {
                "all".to_owned()
            } else {
                round.to_string()
            }
        };
        (1..).map(name).zip(rows).collect()
    }
}

/// The figures of one row.
enum Row {
    Value {
        samples: usize,
        median: f64,
        low: f64,
        high: f64,
    },
    Latencies {
        samples: u64,
        p50: f64,
        p90: f64,
        p99: f64,
        max: f64,
    },
}

impl Row {
    fn of_values(values: &[f64]) -> Self {
        Self::Value {
            samples: values.len(),
            median: median(values),
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn of_latencies(times: &Histogram<u64>) -> Self {
        Self::Latencies {
            samples: times.len(),
            p50: micros(times, 0.5),
            p90: micros(times, 0.9),
            p99: micros(times, 0.99),
            max: micros(times, 1.0),
        }
    }
}

/// As the last columns of the CSV; with `#` for people.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                samples,
                median,
                low,
                high,
            } => {
                let digits = if median.abs() < 100.0 { 2 } else { 0 };
                if f.alternate() {
                    write!(
                        f,
                        "{median:>10.digits$}  ({low:.digits$} to {high:.digits$})"
                    )
                } else {
                    write!(f, "{samples},{median:.3},{low:.3},{high:.3},,,,")
                }
            }
            Self::Latencies {
                samples,
                p50,
                p90,
                p99,
                max,
            } => {
                if f.alternate() {
                    write!(
                        f,
                        "p50 {p50:>7.0}  p90 {p90:>7.0}  p99 {p99:>7.0}  max {max:>7.0}  of {samples}"
                    )
                } else {
                    write!(f, "{samples},,,,{p50:.1},{p90:.1},{p99:.1},{max:.1}")
                }
            }
        }
    }
}

/// The middle of some figures, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn merged(histograms: &[Histogram<u64>]) -> Histogram<u64> {
    let mut all = histograms[0].clone();
    for other in &histograms[1..] {
        all += other;
    }
    all
}

fn micros(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        measure: "speed",
        variant: "long",
        metric: "pieces_per_core",
        unit: "1/s",
    };

    fn csv(results: &Results) -> Vec<String> {
        let mut out = Vec::new();
        results.write_csv(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_round_has_a_row_and_the_last_row_sums_up() {
        let mut results = Results::default();
        for value in [3.0, 1.0, 2.0] {
            results.value(KEY, Target::Taiwa, value);
        }
        let rows = csv(&results);
        assert_eq!(
            rows[1],
            "speed,long,taiwa,1,pieces_per_core,1/s,1,3.000,3.000,3.000,,,,"
        );
        assert_eq!(
            rows[4],
            "speed,long,taiwa,all,pieces_per_core,1/s,3,2.000,1.000,3.000,,,,"
        );
    }

    #[test]
    fn times_of_all_rounds_are_one_distribution_in_microseconds() {
        let mut results = Results::default();
        for base in [0, 50] {
            let mut times = Latencies::new().unwrap();
            for micros in base + 1..=base + 50 {
                times.record(Duration::from_micros(micros));
            }
            results.latencies(KEY, Target::Relay, times);
        }
        let rows = csv(&results);
        assert_eq!(rows.len(), 4);
        let columns: Vec<&str> = rows[3].split(',').collect();
        assert_eq!(columns.len(), rows[0].split(',').count());
        assert_eq!((columns[3], columns[6]), ("all", "100"));
        assert_eq!((columns[10], columns[12]), ("50.0", "99.0"));
    }

    #[test]
    fn the_median_of_an_even_count_is_between() {
        assert!((median(&[1.0, 4.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
