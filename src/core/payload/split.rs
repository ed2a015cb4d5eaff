//! Splits a payload into elements, one for each log.
//!
//! The split looks at brackets and strings. [`crate::core::schema`] decides whether an element is valid JSON. One
//! broken element never takes a neighbour with it: after it, the split goes on at the next text that is certainly a
//! log. No JSON parser does this, because a parser stops at the first broken element.

use memchr::{memchr, memchr3};
use serde::de::IgnoredAny;

use crate::core::redacted::Redacted;

/// How many bytes the search for logs after broken elements may read, as a multiple of the payload's size. Without a
/// limit, a payload of nested objects would take time that grows with the square of its size.
const MAX_SEARCH: usize = 8;

/// How much of an element is scanned before the next log is searched for: more than most logs have, and after broken
/// elements hardly more than those had. Otherwise each of many small broken elements would cost a long scan.
const USUAL_LOG_BYTES: usize = 8 * 1024;
const MIN_SCANNED_BYTES: usize = 64;

/// Whether a log begins at the start of a text, and how many bytes show it.
pub type Probe = fn(&[u8]) -> (bool, usize);

/// Splits a payload into its elements, without the white space around them. Blank lines and empty elements are left
/// out.
///
/// The content shows the stream type: an array, one object (over several lines, too), or an object on each line. If a
/// text is none of these, it is one element. So is a text of brackets and commas alone, because what was signed is kept
/// unless there is nothing in it. `probe` tells where a log begins after a broken element.
#[must_use]
pub fn elements(payload: &[u8], probe: Probe) -> Elements<'_> {
    let payload = trim(payload);
    let elements = |text, separator| Elements {
        rest: Redacted(text),
        separator,
        lines: Redacted(&[]),
        search: Search {
            probe,
            bytes_left: payload.len().saturating_mul(MAX_SEARCH),
            found: None,
            scanned_first: USUAL_LOG_BYTES,
        },
    };
    let whole = elements(payload, Separator::None);
    let array = |inside| Some(elements(inside, Separator::Comma)).filter(|array| array.clone().next().is_some());
    let (is_array, value) = (payload.first() == Some(&b'['), value_len(payload));
    if value == Some(payload.len()) {
        let inside = payload.get(1..payload.len() - 1).unwrap_or_default();
        let is_empty_array = is_array && inside.trim_ascii().is_empty();
        return match array(inside) {
            _ if is_empty_array => elements(&[], Separator::None),
            Some(array) if is_array => array,
            _ => whole,
        };
    }
    if has_object_lines(payload) {
        return elements(payload, Separator::Newline);
    }
    if is_array && value.is_none() {
        // The array is cut, or an element is broken.
        let inside = payload.get(1..).unwrap_or_default();
        return array(inside.strip_suffix(b"]").unwrap_or(inside)).unwrap_or(whole);
    }
    // An array with a bracket too many, objects after one another, or a broken object with others after it.
    let inside = payload.strip_prefix(b"[").map_or(payload, |inside| inside.strip_suffix(b"]").unwrap_or(inside));
    let mut sequence = elements(inside, Separator::Comma);
    if sequence.search.next_log(inside, 0).is_some() { sequence } else { whole }
}

/// Whether the lines hold an object each, some of them perhaps broken. In an array, a line that begins or ends with a
/// comma shows that it was printed over several lines.
fn has_object_lines(payload: &[u8]) -> bool {
    let lines = || payload.split(|byte| *byte == b'\n').map(trim);
    let is_object = |line: &[u8]| line.first() == Some(&b'{') && value_len(line) == Some(line.len());
    let has_comma = |line: &[u8]| line.first() == Some(&b',') || line.last() == Some(&b',');
    lines().any(is_object) && (payload.first() != Some(&b'[') || !lines().any(has_comma))
}

/// The elements of a payload. See [`elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: Redacted<&'a [u8]>,
    separator: Separator,
    search: Search,
    /// What is left of an element that is read line by line, because it is damaged and holds a log on a line of its
    /// own.
    lines: Redacted<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
enum Separator {
    Comma,
    Newline,
    None,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let element = match trim_start(self.lines.0) {
                [] => {
                    let element = self.next_separated()?;
                    if self.search.holds_log_on_a_line(element) {
                        self.lines = Redacted(element);
                        continue;
                    }
                    element
                }
                lines => {
                    let (line, after) = lines.split_at_checked(self.search.line_len(lines)).unwrap_or((lines, &[]));
                    self.lines = Redacted(after);
                    trim(line)
                }
            };
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

impl<'a> Elements<'a> {
    /// The text up to the next separator, which may be empty.
    fn next_separated(&mut self) -> Option<&'a [u8]> {
        let rest = trim_start(self.rest.0);
        if rest.is_empty() {
            return None;
        }
        let end = match self.separator {
            Separator::Comma => self.search.element_len(rest),
            Separator::Newline => self.search.line_len(rest),
            Separator::None => rest.len(),
        };
        let (element, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        self.rest = Redacted(match self.separator {
            Separator::Comma => after.strip_prefix(b",").unwrap_or(after),
            Separator::Newline | Separator::None => after,
        });
        Some(trim(element))
    }
}

/// The search for the next log after a broken element.
#[derive(Debug, Clone)]
struct Search {
    probe: Probe,
    bytes_left: usize,
    /// How long the payload's rest is from the log that was found last, so that it is found once.
    found: Option<usize>,
    /// How much of the next element is scanned before the next log is searched for.
    scanned_first: usize,
}

impl Search {
    /// The length of the array's element at the start of `text`.
    fn element_len(&mut self, text: &[u8]) -> usize {
        let scan = Scan::of(text.get(..self.scanned_first).unwrap_or(text));
        if let (true, Some(comma)) = (scan.is_whole, scan.end) {
            self.scanned_first = (2 * self.scanned_first).min(USUAL_LOG_BYTES);
            return comma;
        }
        let len = self.unusual_element_len(text);
        self.scanned_first = (2 * len).clamp(MIN_SCANNED_BYTES, USUAL_LOG_BYTES);
        len
    }

    /// The length of an element that is broken or long.
    fn unusual_element_len(&mut self, text: &[u8]) -> usize {
        let log = self.next_log(text, 1);
        let element = text.get(..log.unwrap_or(text.len())).unwrap_or_default();
        let scan = Scan::of(element);
        match (scan.end, log) {
            (Some(comma), _) if scan.is_whole => comma,
            // The element is broken. It ends where the next log begins, without the comma that belongs to neither.
            (_, Some(_)) => {
                let element = element.trim_ascii_end();
                element.strip_suffix(b",").unwrap_or(element).len()
            }
            // No log comes after it. A comma is its end if something whole comes after that.
            (Some(comma), None)
                if !scan.has_open_string && Scan::of(text.get(comma + 1..).unwrap_or_default()).is_whole =>
            {
                comma
            }
            (_, None) => text.len(),
        }
    }

    /// The length of the line at the start of `text`, or of the object that it begins.
    fn line_len(&mut self, text: &[u8]) -> usize {
        let end = memchr(b'\n', text).unwrap_or(text.len());
        let line = text.get(..end).unwrap_or_default().trim_ascii_end();
        if !matches!(line.last(), Some(b'{' | b'[' | b',' | b':')) || !matches!(line.first(), Some(b'{')) {
            return end;
        }
        let readable = text.get(..self.bytes_left).unwrap_or(text);
        let (value, read) = match value_end(readable) {
            Ok(len) => (Some(len), len),
            Err(read) => (None, read),
        };
        self.bytes_left = self.bytes_left.saturating_sub(read);
        let is_one = |len: &usize| {
            let (object, after) = text.split_at_checked(*len).unwrap_or((text, &[]));
            is_at_end_of_line(after) && !self.holds_log_on_a_line(object)
        };
        value.filter(is_one).unwrap_or(end)
    }

    /// Whether an element is damaged, and one of its lines is a whole log.
    fn holds_log_on_a_line(&self, element: &[u8]) -> bool {
        let is_log = |line: &[u8]| value_len(line) == Some(line.len()) && (self.probe)(line).0;
        memchr(b'\n', element).is_some()
            && element.split(|byte| *byte == b'\n').map(trim).any(is_log)
            // Such a line may stand in an array within a whole object. Brackets alone do not show that it is whole.
            && (element.first() == Some(&b'[') || serde_json::from_slice::<IgnoredAny>(element).is_err())
    }

    /// Where the next log begins in `text`, the payload's rest, at `from` or later.
    fn next_log(&mut self, text: &[u8], from: usize) -> Option<usize> {
        let known = self.found.and_then(|rest| text.len().checked_sub(rest)).filter(|at| *at >= from);
        let found = known.or_else(|| self.search(text, from));
        match found {
            Some(at) => self.found = Some(text.len() - at),
            // There is none in what comes after `text`, either.
            None => self.bytes_left = 0,
        }
        found
    }

    fn search(&mut self, text: &[u8], mut from: usize) -> Option<usize> {
        while self.bytes_left > 0 {
            let at = from + memchr(b'{', text.get(from..)?)?;
            let (before, object) = text.split_at_checked(at)?;
            let (is_log, read) = if is_after_separator(before) { (self.probe)(object) } else { (false, 0) };
            if is_log {
                return Some(at);
            }
            self.bytes_left -= (at + 1 - from + read).min(self.bytes_left);
            from = at + 1;
        }
        None
    }
}

/// Without white space and byte order marks around it: some senders put a mark before each line.
fn trim(text: &[u8]) -> &[u8] {
    trim_start(text).trim_ascii_end()
}

fn trim_start(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    while let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf") {
        text = rest.trim_ascii_start();
    }
    text
}

fn is_after_separator(before: &[u8]) -> bool {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf);
    matches!(before.iter().rev().find(|byte| !is_blank(byte)), None | Some(b',' | b'[' | b'\n'))
}

fn is_at_end_of_line(after: &[u8]) -> bool {
    let line = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.trim_ascii().is_empty()
}

/// The length of the value at the start of `text`. `None` if it has no brackets, or its brackets or strings are broken.
fn value_len(text: &[u8]) -> Option<usize> {
    value_end(text).ok()
}

/// Like `value_len`. The error is the number of bytes that it read.
fn value_end(text: &[u8]) -> Result<usize, usize> {
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return Err(1);
    }
    let mut open = Vec::new();
    for (at, byte) in structure(text) {
        match byte {
            b'{' | b'[' => open.push(byte),
            b'}' | b']' if open.pop() != Some(opening(byte)) => return Err(at + 1),
            b'\n' => return Err(at + 1),
            _ => {}
        }
        if open.is_empty() {
            return if at > 0 { Ok(at + 1) } else { Err(1) };
        }
    }
    Err(text.len())
}

/// The element of an array at the start of a text.
struct Scan {
    /// The place of the comma after it.
    end: Option<usize>,
    /// Whether it is at most one bracketed value whose brackets and strings match.
    is_whole: bool,
    /// Whether a string is left open in it.
    has_open_string: bool,
}

impl Scan {
    /// A closing bracket closes everything that is open inside its own pair, and one without a pair is ignored. So an
    /// element with broken brackets most likely ends at its own comma.
    fn of(text: &[u8]) -> Self {
        let mut scan = Self { end: None, is_whole: true, has_open_string: false };
        let mut open = Vec::new();
        // How many of `open` are square, so that a bracket without a pair needs no search.
        let mut square = 0;
        let mut values = 0;
        for (at, byte) in structure(text) {
            match byte {
                b',' if open.is_empty() => {
                    scan.end = Some(at);
                    return scan;
                }
                b'{' | b'[' => {
                    values += usize::from(open.is_empty());
                    scan.is_whole &= values == 1;
                    open.push(byte);
                    square += usize::from(byte == b'[');
                }
                b'}' | b']' => {
                    scan.is_whole &= open.last() == Some(&opening(byte));
                    let has_pair = if byte == b']' { square > 0 } else { square < open.len() };
                    while has_pair && let Some(opened) = open.pop() {
                        square -= usize::from(opened == b'[');
                        if opened == opening(byte) {
                            break;
                        }
                    }
                }
                b'\n' => (scan.is_whole, scan.has_open_string) = (false, true),
                _ => {}
            }
        }
        scan.is_whole &= open.is_empty();
        scan
    }
}

fn opening(closing: u8) -> u8 {
    if closing == b'}' { b'{' } else { b'[' }
}

/// The brackets and commas of `text` that are not part of a string, each with its place. A string ends at a line break
/// at the latest, because JSON strings have none (RFC 8259, 7). The line break that cuts one comes too.
fn structure(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *text.get(at)?;
            let place = at;
            at += 1;
            match byte {
                b'"' => match string_end(text, at) {
                    Ok(quote) => at = quote + 1,
                    Err(cut) => {
                        at = cut + 1;
                        return Some((cut, b'\n'));
                    }
                },
                b'{' | b'}' | b'[' | b']' | b',' => return Some((place, byte)),
                _ => {}
            }
        }
    })
}

/// The place of the quote that ends the string whose content starts at `at`, or else of the line break or end that cuts
/// the string.
fn string_end(text: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        at += memchr3(b'"', b'\\', b'\n', rest).ok_or(text.len())?;
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at),
            (Some(b'\n'), _) => return Err(at),
            (_, Some(b'\n')) => return Err(at + 1),
            _ => at += 2,
        }
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
