//! Text that an intruder may have written, made harmless for a message.
//!
//! Names of roles, user agents and buckets are an intruder's to choose. No line break, link, mention or mark-up of theirs
//! may work in a message, because a person under stress trusts it.

use std::fmt::Write as _;

/// Schemes that mail clients turn into links without `//`.
const SCHEMES: [&str; 8] = ["http", "https", "mailto", "tel", "sms", "javascript", "data", "file"];

/// One line of plain text, in which nothing is a link. At most `max` characters of the value are shown.
pub(super) fn plain(value: &str, max: usize) -> String {
    defang(&one_line(value, max))
}

/// The same for Slack's and Teams's mark-up.
pub(super) fn chat(value: &str, max: usize) -> String {
    let text = defang(&without_markup(&one_line(value, max)));
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same in ASCII, for subjects and SMS, and never longer than `max`.
pub(super) fn ascii(value: &str, max: usize) -> String {
    plain(value, max).chars().map(|char| if char.is_ascii() { char } else { '?' }).take(max).collect()
}

/// Whether the value is an identifier that is harmless everywhere, in SQL too.
pub(super) fn is_token(value: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=100).contains(&value.len()) && value.bytes().all(is_safe)
}

/// The text cut to `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// The lines as one text of at most `max` characters. A line that has no room is left out with all that follow it, so that
/// no escape is cut in two.
pub(super) fn joined(lines: &[String], max: usize) -> String {
    let mut text = String::new();
    let mut left = max.saturating_sub(1);
    for line in lines {
        let length = line.chars().count() + 1;
        if length > left {
            text.push('…');
            break;
        }
        left -= length;
        text.push_str(line);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// Without line breaks, control characters and characters that are invisible or change the direction of writing.
fn one_line(value: &str, max: usize) -> String {
    // The bound keeps a value of megabytes cheap.
    let bounded = value.chars().filter(|char| !is_hidden(*char)).take(max.saturating_mul(4));
    let spaced: String = bounded.map(|char| if char.is_control() { ' ' } else { char }).collect();
    cut(&spaced.split_whitespace().collect::<Vec<_>>().join(" "), max)
}

/// Unicode's characters without a width or a direction of their own: format characters, fillers, variation selectors, tags.
fn is_hidden(char: char) -> bool {
    matches!(
        u32::from(char),
        0xad | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0x1_d173..=0x1_d17a
            | 0xe_0000..=0xe_0fff
    )
}

/// Breaks what a client could turn into a link or a mention: `hxxps[:]//evil[.]example`, `eve[@]evil[.]example`. Dots
/// between digits stay, so that addresses and versions can be read.
fn defang(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut before = "";
    let mut last = None;
    while let Some((_, rest)) = text.split_at_checked(before.len()) {
        if is_http(rest) {
            safe.push_str("hxxp");
            (before, last) = (text.get(..before.len() + "http".len()).unwrap_or(text), Some('p'));
            continue;
        }
        let mut chars = rest.chars();
        let Some(char) = chars.next() else { break };
        match char {
            '@' | '＠' => safe.push_str("[@]"),
            '.' | '。' | '．' | '｡' if is_linking(last, chars.next()) => safe.push_str("[.]"),
            ':' if rest.starts_with("://") || ends_with_scheme(before) => safe.push_str("[:]"),
            // Outlook links \\host\share.
            '\\' if last == Some('\\') => {}
            _ => safe.push(char),
        }
        (before, last) = (text.get(..before.len() + char.len_utf8()).unwrap_or(text), Some(char));
    }
    safe
}

fn is_http(text: &str) -> bool {
    let starts_with = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts_with("http:") || starts_with("https:")
}

/// Whether a dot between these characters can be a part of a domain.
fn is_linking(last: Option<char>, next: Option<char>) -> bool {
    let (Some(last), Some(next)) = (last, next) else { return false };
    next.is_alphanumeric() && !(last.is_ascii_digit() && next.is_ascii_digit())
}

fn ends_with_scheme(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| text.ends_with(scheme))
}

/// Without the characters with which Slack and Teams mark text up. An underscore within a word is no mark-up, and names
/// are full of them.
fn without_markup(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut plain = String::with_capacity(text.len());
    for (index, char) in chars.iter().copied().enumerate() {
        let is_letter = |neighbour: Option<&char>| neighbour.is_some_and(|char| char.is_alphanumeric());
        let is_inside =
            || is_letter(index.checked_sub(1).and_then(|at| chars.get(at))) && is_letter(chars.get(index + 1));
        match char {
            '`' => plain.push('\''),
            '|' => plain.push('/'),
            '*' | '~' | '[' | ']' | '(' | ')' | '{' | '}' => plain.push(' '),
            '_' if !is_inside() => plain.push(' '),
            _ => plain.push(char),
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a numbered list.
pub(super) fn numbered(steps: &[String]) -> String {
    let mut list = String::new();
    for (index, step) in steps.iter().enumerate() {
        // Writing into a string cannot fail.
        writeln!(list, "{}. {step}", index + 1).ok();
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_and_addresses_are_defanged() {
        for (value, expected) in [
            ("see https://evil.example/a.b?c", "see hxxps[:]//evil[.]example/a[.]b?c"),
            ("HTTP://EVIL.EXAMPLE", "hxxp[:]//EVIL[.]EXAMPLE"),
            ("xhttp://a", "xhxxp[:]//a"),
            ("http and https", "http and https"),
            ("slack://x", "slack[:]//x"),
            ("www.1.com", "www[.]1[.]com"),
            ("evil。example", "evil[.]example"),
            ("ev\u{200b}il.\u{202e}example", "evil[.]example"),
            ("eve@evil.example", "eve[@]evil[.]example"),
            ("mailto:eve", "mailto[:]eve"),
            ("JavaScript:alert", "JavaScript[:]alert"),
            (r"\\203.0.113.5\share", r"\203.0.113.5\share"),
            ("aws-cli/2.31.2 from 203.0.113.57.", "aws-cli/2.31.2 from 203.0.113.57."),
            ("arn:aws:s3:::acme-payroll", "arn:aws:s3:::acme-payroll"),
        ] {
            assert_eq!(plain(value, 200), expected);
        }
    }

    #[test]
    fn line_breaks_and_control_characters_become_spaces() {
        assert_eq!(plain("a\r\nb\u{2028}c\u{85}d\te\0f\u{1b}[31mg  h ", 200), "a b c d e f [31mg h");
    }

    #[test]
    fn mark_up_is_gone_from_chat() {
        for (value, expected) in [
            ("*b* _i_ ~s~ `c` ```x```", "b i s 'c' '''x'''"),
            ("<!channel> <@U1> &", "&lt;!channel&gt; &lt;[@]U1&gt; &amp;"),
            ("<https://evil.example|c>", "&lt;hxxps[:]//evil[.]example/c&gt;"),
            ("[text](https://evil.example)", "text hxxps[:]//evil[.]example"),
            ("snake_case_name", "snake_case_name"),
        ] {
            assert_eq!(chat(value, 200), expected);
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(plain(&"x".repeat(1_000_000), 200).chars().count(), 200);
        assert_eq!(ascii(&"é@".repeat(1_000), 140).len(), 140);
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("fives", 4), "fiv…");
    }

    #[test]
    fn a_token_is_harmless_in_sql() {
        assert!(is_token("0c6f7f0e-6b3d"));
        for value in ["", "a'b", "a b", "a;b", "é", &"a".repeat(101)] {
            assert!(!is_token(value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_link_mention_line_break_or_mark_up_is_left(
            value in "([a-zA-Z0-9]|[.@:/<>&*_~`|\\[\\]()]|https?://|[\\r\\n\\t\\u{0}\\u{2028}\\u{200b}\\u{202e}]|\\PC){0,40}",
        ) {
            for text in [plain(&value, 200), chat(&value, 200), ascii(&value, 200)] {
                prop_assert!(!text.contains("://"), "{}", text);
                prop_assert!(!text.to_lowercase().contains("http:") && !text.to_lowercase().contains("https:"), "{}", text);
                prop_assert!(!text.chars().any(char::is_control), "{}", text);
                prop_assert!(!text.replace("[@]", "").contains('@'), "{}", text);
                prop_assert!(!text.chars().any(is_hidden), "{}", text);
            }
            let shown = chat(&value, 200);
            for markup in ["*", "~", "`", "|", "(", ")", "<", ">"] {
                prop_assert!(!shown.contains(markup), "{} in {}", markup, shown);
            }
            let brackets = shown.replace("[@]", "").replace("[.]", "").replace("[:]", "");
            prop_assert!(!brackets.contains(['[', ']']), "{}", shown);
        }
    }
}
