//! The time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use taiwa_core::tool::SchemaError;

use crate::{Call, Error, Function, Output};

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "utc_offset": {
      "type": "string",
      "pattern": "^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$",
      "description": "The offset from UTC in which the time is told, such as +02:00; UTC where it is left out"
    }
  },
  "additionalProperties": false
}"#;

/// From the first day of the epoch on, which was a Thursday.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// Makes the tool `current_time`: date, time and weekday, in UTC or at an offset from it.
///
/// Knows no time zones by name: models know the offsets of places better than when these change.
///
/// # Errors
///
/// None in fact: the schema is a constant that compiles.
pub fn current_time() -> Result<Function, SchemaError> {
    Function::new(
        "current_time",
        "Tells the current date, time and weekday. Use it whenever an answer depends on what day or \
         time it is.",
        SCHEMA,
        async |call: Call| {
            let offset = call.input.get("utc_offset").and_then(Value::as_str);
            tell(SystemTime::now(), offset)
        },
    )
}

fn tell(now: SystemTime, offset: Option<&str>) -> Result<Output, Error> {
    let told = (|| {
        let offset = offset.unwrap_or("+00:00");
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
        let shift = Duration::from_secs(minutes * 60);
        let there = if offset.starts_with('-') {
            now.checked_sub(shift)?
        } else {
            now.checked_add(shift)?
        };
        let days = there.duration_since(UNIX_EPOCH).ok()?.as_secs() / (24 * 60 * 60);
        let time = humantime::format_rfc3339_seconds(there).to_string();
        let sign = if minutes == 0 { "Z" } else { offset };
        Some(json!({
            "time": time.replace('Z', sign),
            "weekday": WEEKDAYS[(days % 7) as usize],
        }))
    })();
    let told = told.ok_or_else(|| Error::Failed("the time there cannot be told".into()))?;
    Ok(Output::json(&told))
}

#[cfg(test)]
mod tests {
    use taiwa_core::tool::ToolResultBlock;

    use super::*;
    use crate::Tool as _;

    /// 2026-11-25T23:30:15Z, a Wednesday.
    const NOW: Duration = Duration::from_secs(1_795_649_415);

    #[track_caller]
    fn check(offset: Option<&str>, time: &str, weekday: &str) {
        let output = tell(UNIX_EPOCH + NOW, offset).expect("it can be told");
        let expected = format!(r#"{{"time":"{time}","weekday":"{weekday}"}}"#);
        assert_eq!(output.content, [ToolResultBlock::Json(expected)]);
    }

    #[test]
    fn the_time_is_told_in_utc_and_at_an_offset() {
        check(None, "2026-11-25T23:30:15Z", "Wednesday");
        check(Some("+00:00"), "2026-11-25T23:30:15Z", "Wednesday");
        check(Some("+05:30"), "2026-11-26T05:00:15+05:30", "Thursday");
        check(Some("-23:45"), "2026-11-24T23:45:15-23:45", "Tuesday");
    }

    #[test]
    fn an_offset_that_is_none_is_refused_by_the_schema() {
        let tool = current_time().expect("the schema compiles");
        let schema = &tool.definition().schema;
        assert_eq!(schema.check(&json!({"utc_offset": "+02:00"})), Ok(()));
        for wrong in ["2", "+2:00", "+24:00", "Europe/Berlin", "+02:00\n"] {
            assert!(
                schema.check(&json!({"utc_offset": wrong})).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[tokio::test]
    async fn it_tells_the_time_of_now() {
        let tool = current_time().expect("the schema compiles");
        let call = Call {
            id: "1".into(),
            input: serde_json::Map::new(),
            idempotency_key: "1".into(),
            deadline: std::time::Instant::now(),
            caller: std::sync::Arc::default(),
            progress: crate::Progress::channel().0,
            max_result_bytes: 1000,
            allowance: crate::Allowance::default(),
        };
        let before = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let output = tool.call(call).await.expect("it can be told");
        let after = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let [ToolResultBlock::Json(told)] = &output.content[..] else {
            panic!("one block of JSON: {output:?}");
        };
        let told: Value = serde_json::from_str(told).expect("it is JSON");
        let time = told["time"].as_str().expect("the time is text");
        assert!(before.as_str() <= time && time <= after.as_str(), "{time}");
    }
}
