//! `taiwa compare`: the same prompt whole, then streamed; both are shown, and timed.

use std::time::{Duration, Instant};

use serde_json::json;
use taiwa_client::{Client, Request, pb};

use crate::{
    args::{Compare, Server},
    failure::Failure,
    interrupt::Interrupt,
    output::Output,
    render::{bold, dim},
    request::{connect, request},
    spinner::Spinner,
    stream::Printer,
};

/// Columns of the longest bar.
const BAR: f64 = 40.0;

struct Measured {
    call: &'static str,
    first_text: Duration,
    total: Duration,
    text: String,
    result: pb::TurnResult,
}

pub(crate) async fn run(server: &Server, compare: Compare, output: &Output) -> Result<(), Failure> {
    let request = request(&compare.asked, Vec::new())?;
    let client = connect(server).await?;
    let mut interrupt = Interrupt::listen().await;
    // One after the other: two answers at once would take each other's time, above all where one
    // model on one machine gives both.
    let measured = tokio::select! {
        measured = both(&client, request, output) => measured?,
        () = interrupt.pressed() => return Err(Failure::interrupted()),
    };
    if output.json {
        let lines: String = measured
            .iter()
            .map(|measured| measured.json() + "\n")
            .collect();
        output.write(&lines)?;
    } else {
        output.write(&format!("\n{}", table(&measured, output.rendered)))?;
    }
    let failed = measured
        .iter()
        .find_map(|measured| Failure::of_result(&measured.result));
    failed.map_or(Ok(()), Err)
}

async fn both(
    client: &Client,
    request: Request,
    output: &Output,
) -> Result<[Measured; 2], Failure> {
    head(output, "Invoke: the whole answer at once\n\n")?;
    let whole = whole(client, request.clone(), output).await?;
    head(output, "\nInvokeStream: the answer as it comes\n\n")?;
    Ok([whole, streamed(client, request, output).await?])
}

fn head(output: &Output, text: &str) -> Result<(), Failure> {
    if output.json {
        return Ok(());
    }
    if output.rendered {
        return output.write(&bold(text));
    }
    output.write(text)
}

async fn whole(client: &Client, request: Request, output: &Output) -> Result<Measured, Failure> {
    let spinner = Spinner::start(output, "waiting for the whole answer");
    let start = Instant::now();
    let reply = client.invoke(request).await?;
    let total = start.elapsed();
    spinner.stop();
    if !output.json {
        output.answer(&reply.text)?;
    }
    Ok(Measured {
        call: "Invoke",
        first_text: total,
        total,
        text: reply.text,
        result: reply.result,
    })
}

async fn streamed(client: &Client, request: Request, output: &Output) -> Result<Measured, Failure> {
    let spinner = Spinner::start(output, "waiting for the first words");
    let mut printer = (!output.json)
        .then(|| Printer::new(output, spinner))
        .transpose()?;
    let start = Instant::now();
    let mut turn = client.stream(request).await?;
    let mut first_text = None;
    let mut text = String::new();
    while let Some(event) = turn.next().await? {
        if let Some(more) = event.text().filter(|text| !text.is_empty()) {
            first_text.get_or_insert_with(|| start.elapsed());
            text.push_str(more);
        }
        if let Some(printer) = &mut printer {
            printer.print(event)?;
        }
    }
    let total = start.elapsed();
    if let Some(printer) = &mut printer {
        printer.end()?;
    }
    Ok(Measured {
        call: "InvokeStream",
        first_text: first_text.unwrap_or(total),
        total,
        text,
        result: turn.finish().await?,
    })
}

impl Measured {
    fn tokens(&self) -> i32 {
        self.result
            .usage
            .as_ref()
            .map_or(0, |usage| usage.output_tokens)
    }

    fn tokens_per_second(&self) -> f64 {
        f64::from(self.tokens()) / self.total.as_secs_f64().max(f64::EPSILON)
    }

    fn json(&self) -> String {
        json!({
            "call": self.call,
            "text": self.text,
            "first_text_seconds": self.first_text.as_secs_f64(),
            "total_seconds": self.total.as_secs_f64(),
            "output_tokens": self.tokens(),
            "tokens_per_second": self.tokens_per_second(),
        })
        .to_string()
    }
}

/// The figures, and for each call a bar of its time: dots while nothing can be
/// read, a line from the first text on.
fn table(measured: &[Measured], painted: bool) -> String {
    let longest = measured
        .iter()
        .map(|measured| measured.total)
        .max()
        .unwrap_or_default();
    let longest = longest.as_secs_f64().max(f64::EPSILON);
    let head = format!(
        "{:12}  {:>10}  {:>8}  {:>6}  {:>8}",
        "", "first text", "total", "tokens", "tokens/s"
    );
    let mut text = format!("{}\n", if painted { bold(&head) } else { head });
    for measured in measured {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the longest time, times 40"
        )]
        let columns = |time: Duration| (time.as_secs_f64() / longest * BAR).round() as usize;
        let waiting = columns(measured.first_text);
        let reading = columns(measured.total).saturating_sub(waiting).max(1);
        let (waiting, reading) = ("·".repeat(waiting), "━".repeat(reading));
        let bar = if painted {
            dim(&waiting) + &bold(&reading)
        } else {
            waiting + &reading
        };
        text.push_str(&format!(
            "{:12}  {:>10}  {:>8}  {:>6}  {:>8.1}  {bar}\n",
            measured.call,
            seconds(measured.first_text),
            seconds(measured.total),
            measured.tokens(),
            measured.tokens_per_second(),
        ));
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_difference_is_seen_at_a_glance() {
        let measured = |call, first_text, total| Measured {
            call,
            first_text: Duration::from_millis(first_text),
            total: Duration::from_millis(total),
            text: String::new(),
            result: pb::TurnResult {
                usage: Some(pb::Usage {
                    output_tokens: 120,
                    ..Default::default()
                }),
                ..Default::default()
            },
        };
        let both = [
            measured("Invoke", 2310, 2310),
            measured("InvokeStream", 214, 2298),
        ];
        expect![[r#"
                          first text     total  tokens  tokens/s
            Invoke           2.310 s   2.310 s     120      51.9  ········································━
            InvokeStream     0.214 s   2.298 s     120      52.2  ····━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
        "#]]
        .assert_eq(&table(&both, false));
    }
}
