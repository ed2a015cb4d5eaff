//! Lone surrogates: `"\\ud83d"`, half of a character, as a user agent has it that was cut in two.
//!
//! RFC 8259 allows them in its grammar, so they do not make a log a classification failure. But no UTF-8 text can hold
//! them, and DuckDB refuses a record with one. So the lake keeps U+FFFD, the replacement character, in their place.

use memchr::memchr;

/// The escape that stands for a lone surrogate.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// `json` with each lone surrogate replaced. `None` if it has none.
#[must_use]
pub fn replace_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let mut replaced: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        let length = match (unit(json, at), unit(json, at + REPLACEMENT.len())) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * REPLACEMENT.len(),
            (Some(0xd800..=0xdfff), _) => {
                let copy = replaced.get_or_insert_with(|| json.to_vec());
                if let Some(escape) = copy.get_mut(at..at + REPLACEMENT.len()) {
                    escape.copy_from_slice(REPLACEMENT);
                }
                REPLACEMENT.len()
            }
            (Some(_), _) => REPLACEMENT.len(),
            // Any other escape has two characters.
            (None, _) => 2,
        };
        at += length;
    }
    replaced
}

/// The UTF-16 code unit of the escape `\uXXXX` at `at`.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + REPLACEMENT.len())?.strip_prefix(b"\\u")?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::replace_lone_surrogates;

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (json, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""a\uD83Db""#, Some(r#""a\ufffdb""#)),
            (r#""\udc00\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ufffd\ud83d\ude00""#)),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\ud83d\n""#, Some(r#""\ufffd\n""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\u0041\ud83""#, None),
            (r#""\u+d83""#, None),
            ("\\", None),
        ] {
            let replaced = replace_lone_surrogates(json.as_bytes());
            assert_eq!(replaced.as_deref(), expected.map(str::as_bytes), "{json}");
        }
    }
}
