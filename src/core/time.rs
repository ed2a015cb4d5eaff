//! Times as the lake writes them: UTC, years 0000 to 9999.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

/// Reads an RFC 3339 text with any number of fraction digits and any offset, as an instant in UTC.
///
/// A leap second (`23:59:60.5`) becomes the last millisecond of its minute, because SQL engines know no second 60 and
/// the log must stay in its own hour.
///
/// # Errors
/// A text that says what is wrong with it.
pub fn parse(text: &str) -> Result<DateTime<Utc>, &'static str> {
    const EXPECTED: &str = "expected an RFC 3339 timestamp";
    // chrono also takes U+2212 for a minus sign.
    if !text.is_ascii() {
        return Err(EXPECTED);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| EXPECTED)?.to_utc();
    if !(0..=9999).contains(&time.year()) {
        return Err("outside the years 0000 to 9999 in UTC");
    }
    // chrono tells a leap second by a nanosecond field of a second and more.
    Ok(if time.nanosecond() < 1_000_000_000 { time } else { time.with_nanosecond(999_999_999).unwrap_or(time) })
}

/// `YYYY-MM-DD HH:MM:SS.fff`, the fraction cut, as an Athena TIMESTAMP column reads it.
#[must_use]
pub fn sql(time: DateTime<Utc>) -> String {
    let mut text = spelled(time, ["-", "-", " ", ":", ":", "."]);
    push_digits(&mut text, time.timestamp_subsec_millis(), 3);
    text
}

/// Writes a timestamp as keys have it: `YYYYMMDDTHHMMSSZ`.
#[must_use]
pub fn basic(time: DateTime<Utc>) -> String {
    spelled(time, ["", "", "T", "", "", "Z"])
}

/// Digit by digit, because a batch has thousands of records, and the formats of chrono and Rust take ten times as long.
fn spelled(time: DateTime<Utc>, then: [&str; 6]) -> String {
    let mut text = String::with_capacity("YYYY-MM-DD HH:MM:SS.fff".len());
    push_digits(&mut text, time.year().unsigned_abs() / 100, 2);
    let rest = [time.year().unsigned_abs() % 100, time.month(), time.day(), time.hour(), time.minute(), time.second()];
    for (number, then) in rest.into_iter().zip(then) {
        push_digits(&mut text, number, 2);
        text.push_str(then);
    }
    text
}

fn push_digits(text: &mut String, number: u32, places: u32) {
    for place in (0..places).rev() {
        text.push(char::from_digit(number / 10_u32.pow(place) % 10, 10).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_in_all_its_forms() {
        for (text, expected) in [
            ("2026-11-02T03:04:05Z", "2026-11-02 03:04:05.000"),
            ("2026-11-02T03:04:05.1Z", "2026-11-02 03:04:05.100"),
            ("2026-11-02T03:04:05.999999999999999999Z", "2026-11-02 03:04:05.999"),
            ("2026-11-02T03:04:05.1239+14:00", "2026-11-01 13:04:05.123"),
            ("2026-12-31T23:30:00-01:00", "2027-01-01 00:30:00.000"),
            ("2016-12-31T23:59:60Z", "2016-12-31 23:59:59.999"),
            ("2016-12-31T23:59:60.75Z", "2016-12-31 23:59:59.999"),
            ("0000-01-01T00:00:00Z", "0000-01-01 00:00:00.000"),
            ("9999-12-31T23:59:59.9999Z", "9999-12-31 23:59:59.999"),
            ("2024-02-29T00:00:00z", "2024-02-29 00:00:00.000"),
        ] {
            assert_eq!(parse(text).map(sql), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_text_is_not_a_timestamp() {
        for text in [
            "",
            "now",
            "2026-11-02",
            "2026-11-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-02-29T00:00:00Z",
            "2026-11-02T24:00:00Z",
            "1700000000",
            " 2026-11-02T03:04:05Z",
            "2026-11-02T03:04:05Z ",
            "02026-11-02T03:04:05Z",
            "+2026-11-02T03:04:05Z",
            "2026-11-02T03:04:05\u{2212}01:00",
        ] {
            assert_eq!(parse(text), Err("expected an RFC 3339 timestamp"), "{text}");
        }
        for text in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(parse(text), Err("outside the years 0000 to 9999 in UTC"), "{text}");
        }
    }
}
