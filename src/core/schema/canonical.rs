//! The canonical form of a log, from which its row id is made: the same for the same log, however it is spelled.
//!
//! It follows RFC 8785 (JSON Canonicalization Scheme), with two deviations. Members are sorted by the bytes of their
//! quoted names in UTF-8, not by UTF-16 code units. Numbers keep the digits as sent: two numbers of 40 digits are not
//! the same because a double cannot tell them apart. As in RFC 8785, there is no white space, and strings have the
//! fewest escapes. The form must never change, because row ids and keys of existing lakes depend on it; tests pin it.

use std::cmp::Ordering;

/// The usual number of open members. The list starts with this capacity.
const USUAL_MEMBERS: usize = 32;

/// The canonical form, built while the log is read.
pub(super) struct Canonical<'a> {
    /// The log as it was sent.
    source: &'a [u8],
    bytes: Vec<u8>,
    /// Space in which the members of an object are put in order.
    scratch: Vec<u8>,
    /// The members of the objects that are open, innermost last.
    members: Vec<Member>,
}

/// An object whose members are being added.
#[derive(Clone, Copy)]
pub(super) struct OpenObject {
    start: usize,
    first_member: usize,
}

/// A member whose value is being added.
#[derive(Clone, Copy)]
pub(super) struct OpenMember {
    start: usize,
    name_end: usize,
}

/// Where a member `"name":value` stands in the canonical form.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
    /// The first bytes of the name, as a number that sorts as they do. It tells most names apart.
    beginning: u64,
}

/// A name that an object has twice.
pub(super) enum Repeated {
    /// To the byte.
    Exactly(String),
    /// In another case. Athena matches names without case, so that a query would not know which one to read.
    InAnotherCase(String),
}

impl<'a> Canonical<'a> {
    /// An empty form of the log `source`.
    pub(super) fn new(source: &'a [u8]) -> Self {
        Self {
            source,
            bytes: Vec::with_capacity(source.len()),
            scratch: Vec::with_capacity(source.len()),
            members: Vec::with_capacity(USUAL_MEMBERS),
        }
    }

    /// The finished form.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a token as it was sent: a bracket, a comma, a number, `true`, `false` or `null`.
    pub(super) fn push(&mut self, token: &[u8]) {
        self.bytes.extend_from_slice(token);
    }

    /// Adds a string with the fewest escapes.
    pub(super) fn push_string(&mut self, text: &str) {
        if let Some(quoted) = quoted_in(self.source, text) {
            self.bytes.extend_from_slice(quoted);
            return;
        }
        #[expect(clippy::expect_used, reason = "writing a str into memory as JSON cannot fail")]
        serde_json::to_writer(&mut self.bytes, text).expect("a str into memory");
    }

    /// Opens an object.
    pub(super) fn open_object(&mut self) -> OpenObject {
        let object = OpenObject { start: self.bytes.len(), first_member: self.members.len() };
        self.bytes.push(b'{');
        object
    }

    /// Opens a member of `object`. Its value comes next.
    pub(super) fn open_member(&mut self, object: OpenObject, name: &str) -> OpenMember {
        if self.members.len() > object.first_member {
            self.bytes.push(b',');
        }
        let start = self.bytes.len();
        self.push_string(name);
        let name_end = self.bytes.len();
        self.bytes.push(b':');
        OpenMember { start, name_end }
    }

    /// Closes a member after its value.
    pub(super) fn close_member(&mut self, OpenMember { start, name_end }: OpenMember) {
        self.members.push(Member::new(&self.bytes, start, name_end));
    }

    /// The name of a member that was opened.
    pub(super) fn name(&self, member: OpenMember) -> String {
        unquoted(self.bytes.get(member.start..member.name_end).unwrap_or_default())
    }

    /// Whether `object` has a member `name` that is not null.
    pub(super) fn has_value(&self, object: OpenObject, name: &str) -> bool {
        self.members.get(object.first_member..).unwrap_or_default().iter().any(|member| {
            let quoted = member.name(&self.bytes);
            quoted.get(1..quoted.len().saturating_sub(1)) == Some(name.as_bytes()) && !member.is_null(&self.bytes)
        })
    }

    /// Closes `object` and puts its members in the order of their names.
    ///
    /// # Errors
    /// [`Repeated`] if a member comes twice.
    pub(super) fn close_object(&mut self, object: OpenObject) -> Result<(), Repeated> {
        self.bytes.push(b'}');
        self.sort(object)?;
        self.members.truncate(object.first_member);
        Ok(())
    }

    fn sort(&mut self, object: OpenObject) -> Result<(), Repeated> {
        let bytes = &self.bytes;
        let members = self.members.get_mut(object.first_member..).unwrap_or_default();
        let is_sorted = members.is_sorted_by(|a, b| a.cmp_by_name(b, bytes).is_lt());
        if let Some(name) = repeated_in_another_case(members, bytes) {
            return Err(Repeated::InAnotherCase(name));
        }
        if is_sorted {
            return Ok(());
        }
        members.sort_unstable_by(|a, b| a.cmp_by_name(b, bytes));
        if let Some([repeated, _]) = members.array_windows().find(|[a, b]| a.cmp_by_name(b, bytes).is_eq()) {
            return Err(Repeated::Exactly(unquoted(repeated.name(bytes))));
        }
        self.scratch.clear();
        for member in members {
            self.scratch.push(if self.scratch.is_empty() { b'{' } else { b',' });
            self.scratch.extend_from_slice(bytes.get(member.start..member.end).unwrap_or_default());
        }
        self.scratch.push(b'}');
        self.bytes.truncate(object.start);
        self.bytes.extend_from_slice(&self.scratch);
        Ok(())
    }
}

impl Member {
    fn new(canonical: &[u8], start: usize, name_end: usize) -> Self {
        let mut beginning = [0; 8];
        // A name ends in a quote, so the zeros after a short name decide nothing.
        let name = canonical.get(start + 1..name_end).unwrap_or_default();
        match name.first_chunk() {
            Some(chunk) => beginning = *chunk,
            None => beginning.iter_mut().zip(name).for_each(|(to, from)| *to = *from),
        }
        Self { start, name_end, end: canonical.len(), beginning: u64::from_be_bytes(beginning) }
    }

    fn name<'c>(&self, canonical: &'c [u8]) -> &'c [u8] {
        canonical.get(self.start..self.name_end).unwrap_or_default()
    }

    fn cmp_by_name(&self, other: &Self, canonical: &[u8]) -> Ordering {
        self.beginning.cmp(&other.beginning).then_with(|| self.name(canonical).cmp(other.name(canonical)))
    }

    /// Whether the name can differ from another one in case alone.
    fn has_case(&self, canonical: &[u8]) -> bool {
        self.name(canonical).iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
    }

    fn cmp_without_case(&self, other: &Self, canonical: &[u8]) -> Ordering {
        let [own, others] = [self, other].map(|member| member.beginning.to_be_bytes());
        // ASCII in lower case has as many bytes, so the beginnings decide as the whole names would.
        if own.is_ascii() && others.is_ascii() {
            let order = own.map(|byte| byte.to_ascii_lowercase()).cmp(&others.map(|byte| byte.to_ascii_lowercase()));
            if order.is_ne() {
                return order;
            }
        }
        let [own, others] = [self, other].map(|member| std::str::from_utf8(member.name(canonical)).unwrap_or_default());
        own.chars().flat_map(fold_case).cmp(others.chars().flat_map(fold_case))
    }

    fn is_null(&self, canonical: &[u8]) -> bool {
        canonical.get(self.name_end..self.end) == Some(b":null")
    }
}

/// A name that is another member's name in another case. Athena's engine compares names in lower case.
///
/// Puts `members` in another order instead of making lower-case copies, because a log can have a million members.
fn repeated_in_another_case(members: &mut [Member], bytes: &[u8]) -> Option<String> {
    if !members.iter().any(|member| member.has_case(bytes)) {
        return None;
    }
    members.sort_unstable_by(|a, b| a.cmp_without_case(b, bytes).then_with(|| a.cmp_by_name(b, bytes)));
    let is_repeated = |[a, b]: &&[Member; 2]| a.cmp_without_case(b, bytes).is_eq() && a.cmp_by_name(b, bytes).is_ne();
    members.array_windows().find(is_repeated).map(|[_, repeated]| unquoted(repeated.name(bytes)))
}

/// A character in lower case. At the end of a word, a sigma is another character in lower case; it counts as the usual
/// one.
fn fold_case(character: char) -> impl Iterator<Item = char> {
    character.to_lowercase().map(|lower| if lower == '\u{3c2}' { '\u{3c3}' } else { lower })
}

/// `text` with its quotes, if it is a part of `source`. A text that the parser had to unescape is elsewhere in memory.
fn quoted_in<'s>(source: &'s [u8], text: &str) -> Option<&'s [u8]> {
    let start = text.as_ptr().addr().checked_sub(source.as_ptr().addr())?;
    source.get(start.checked_sub(1)?..=start + text.len())
}

fn unquoted(name: &[u8]) -> String {
    serde_json::from_slice(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_found_again_in_any_case(
            names in prop::collection::vec("[aAbB\"! \u{1}éÉßẞİıKΣσς]{0,10}", 0..8),
        ) {
            let mut canonical = Canonical::new(b"");
            let object = canonical.open_object();
            for name in &names {
                let member = canonical.open_member(object, name);
                canonical.push(b"0");
                canonical.close_member(member);
            }
            let distinct: BTreeSet<_> = names.iter().collect();
            let without_case: BTreeSet<_> = names.iter().map(|name| name.to_lowercase().replace('ς', "σ")).collect();
            match canonical.close_object(object) {
                Err(Repeated::InAnotherCase(name)) => {
                    prop_assert!(without_case.len() < distinct.len());
                    prop_assert!(distinct.contains(&name));
                }
                Err(Repeated::Exactly(name)) => {
                    prop_assert_eq!(without_case.len(), distinct.len());
                    prop_assert!(names.iter().filter(|other| **other == name).count() > 1);
                }
                Ok(()) => prop_assert_eq!(without_case.len(), names.len()),
            }
        }
    }
}
