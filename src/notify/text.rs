//! Text that an intruder may have written, made harmless for a message.
//!
//! Names of roles, user agents and buckets are an intruder's to choose. No line break, link, mention or mark-up of
//! theirs may work in a message, because a person under stress trusts it.

use std::{fmt::Write as _, net::IpAddr};

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// How much of one value a message shows, in characters.
pub(super) const MAX_VALUE: usize = 200;

/// Schemes that mail clients turn into links without `//`.
const SCHEMES: [&str; 8] = ["http", "https", "mailto", "tel", "sms", "javascript", "data", "file"];

/// One line of plain text, in which nothing is a link. At most `max` characters of the value are shown.
pub(super) fn plain(value: &str, max: usize) -> String {
    defang(&shorten(&clean(value), max))
}

/// The same for Slack's and Teams's mark-up.
pub(super) fn chat(value: &str, max: usize) -> String {
    let text = defang(&without_shortcodes(&without_markup(&shorten(&clean(value), max))));
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same in ASCII, for subjects and SMS.
pub(super) fn ascii(value: &str, max: usize) -> String {
    plain(value, max).chars().map(|char| if char.is_ascii() { char } else { '?' }).collect()
}

/// The IP address that the value is, which is harmless as it stands.
pub(super) fn address(value: &str) -> Option<String> {
    value.trim().parse::<IpAddr>().ok().map(|address| address.to_string())
}

/// Whether the value is an identifier that is harmless everywhere, in SQL too.
pub(super) fn is_token(value: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=100).contains(&value.len()) && value.bytes().all(is_safe)
}

/// The beginning of a text, in bytes at most.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// The texts with commas between them, in at most `max` characters. A text that has no room is left out whole, because
/// the half of a number names something else. No text takes more than half of the room.
pub(super) fn listed(texts: impl Iterator<Item = String>, max: usize) -> String {
    const MORE: &str = ", ..";
    let room = max.saturating_sub(MORE.len());
    let (mut list, mut is_whole) = (String::new(), true);
    for text in texts.map(|text| shorten(&text, room / 2)) {
        let separator = if list.is_empty() { "" } else { ", " };
        let next = format!("{separator}{text}");
        if list.chars().count() + next.chars().count() <= room {
            list += &next;
        } else {
            is_whole = false;
        }
    }
    if is_whole { list } else { list + MORE }
}

/// The text in at most `max` characters. The middle goes, because the name stands at the end of a long path.
pub(super) fn shorten(text: &str, max: usize) -> String {
    // With spaces, so that no client takes it for the dots of a domain.
    const GAP: &str = " .. ";
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let kept = max.saturating_sub(GAP.len());
    let tail = kept / 2;
    let start = text.chars().take(kept - tail);
    start.chain(GAP.chars()).chain(text.chars().skip(length - tail)).collect()
}

/// The lines as one text of at most `max` characters. A line that has no room is left out with all that follow it, so
/// that no escape is cut in two.
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

/// One line of letters, digits, punctuation and single spaces. A question mark stands for anything else that can be
/// seen.
fn clean(value: &str) -> String {
    // Each end of a value of megabytes is enough.
    const END: usize = 8 * 1024;
    let bounded = if value.len() > 2 * END {
        let start = head(value, END);
        let end = value.get(value.ceil_char_boundary(value.len() - END)..).unwrap_or_default();
        format!("{start} {end}")
    } else {
        value.to_owned()
    };
    let mut text = String::with_capacity(bounded.len());
    let mut last = ' ';
    for char in bounded.chars().filter(|char| !is_hidden(*char)) {
        let shown = match char.general_category_group() {
            _ if char.is_ascii_graphic() => char,
            _ if char.is_whitespace() || char.is_control() => ' ',
            // One mark on a letter is an accent. A stack of them covers the lines around it.
            GeneralCategoryGroup::Mark if last.is_alphanumeric() => char,
            GeneralCategoryGroup::Mark => continue,
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number | GeneralCategoryGroup::Punctuation => char,
            _ => '?',
        };
        if shown != ' ' || last != ' ' {
            text.push(shown);
        }
        last = shown;
    }
    text.truncate(text.trim_end().len());
    text
}

/// Unicode's characters without a width or a direction of their own: format characters, fillers, variation selectors,
/// tags.
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
            | 0x1_bca0..=0x1_bca3
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

/// Without what Slack turns into an emoji (`:name:`) or a channel (`#name`).
fn without_shortcodes(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find([':', '#']) {
        let (before, from) = rest.split_at(at);
        let (mark, after) = from.split_at(1);
        let is_code = after.split_once(':').is_some_and(|(name, _)| is_emoji(name));
        safe.push_str(before);
        safe.push_str(match mark {
            ":" if is_code => "[:]",
            "#" if after.starts_with(char::is_alphanumeric) => "[#]",
            mark => mark,
        });
        rest = after;
    }
    safe + rest
}

/// Whether Slack could have an emoji of this name. Of digits alone there are two.
fn is_emoji(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+-'".contains(&byte);
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && !["100", "1234"].contains(&name);
    !name.is_empty() && name.bytes().all(is_fit) && !is_number
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
        assert_eq!(plain(&format!("a{}b", " ".repeat(60)), 200), "a b");
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
    fn only_letters_digits_and_punctuation_are_shown() {
        for (value, expected) in [
            ("Zoë – «Ünïcode» 名前 №7, ok…", "Zoë – «Ünïcode» 名前 ?7, ok…"),
            ("a\u{2800}\u{2800}b", "a??b"),
            ("a\u{1bca0}\u{1bca3}b", "ab"),
            ("e\u{301}\u{302}\u{303}\u{304}x", "e\u{301}x"),
            ("\u{301}x", "x"),
            ("a\u{fffe}\u{ffff}b", "a??b"),
            ("✅ done", "? done"),
            ("कि", "कि"),
        ] {
            assert_eq!(plain(value, 200), expected);
        }
    }

    #[test]
    fn slack_finds_no_emoji_and_no_channel() {
        for (value, expected) in [
            (":white_check_mark: fine", "[:]white_check_mark: fine"),
            ("see #general now", "see [#]general now"),
            ("arn:aws:s3:::acme-payroll", "arn[:]aws[:]s3:::acme-payroll"),
            ("12:30:45 # 1", "12:30:45 # 1"),
            ("AWS::S3::Bucket", "AWS::S3::Bucket"),
            (":100:", "[:]100:"),
        ] {
            assert_eq!(chat(value, 200), expected);
        }
    }

    #[test]
    fn lengths_are_bounded_and_both_ends_stay() {
        assert_eq!(plain(&"x".repeat(1_000_000), 200).chars().count(), 200);
        assert_eq!(shorten("four", 4), "four");
        assert_eq!(shorten("/a/long/path/to/dana", 12), "/a/l .. dana");
        assert_eq!(plain(&format!("{}/dana", "x".repeat(1_000_000)), 14), "xxxxx .. /dana");
        let lines = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        assert_eq!((joined(&lines, 100), joined(&lines, 10)), ("one\ntwo\nthree".to_owned(), "one\ntwo\n…".to_owned()));
    }

    #[test]
    fn a_list_is_cut_between_its_texts() {
        let long = "x".repeat(1_000_000);
        for (texts, max, expected) in [
            (&["run=17", "ref=main"][..], 32, "run=17, ref=main"),
            (&["run=17", "sha=9c1f0e", "ref=abcdef", "job=1"], 32, "run=17, sha=9c1f0e, job=1, .."),
            (&[&long, "run=17"], 32, "xxxxx .. xxxxx, run=17"),
            (&[], 32, ""),
        ] {
            let list = listed(texts.iter().map(ToString::to_string), max);
            assert_eq!(list, expected);
            assert!(list.chars().count() <= max, "{list}");
        }
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
            let brackets = shown.replace("[@]", "").replace("[.]", "").replace("[:]", "").replace("[#]", "");
            prop_assert!(!brackets.contains(['[', ']']), "{}", shown);
        }
    }
}
