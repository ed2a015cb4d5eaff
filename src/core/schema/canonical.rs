//! The canonical form of a log, from which its row id is made: the same for the same log, however it is spelled.
//!
//! It follows RFC 8785 (JSON Canonicalization Scheme), with two deviations. Members are sorted by the bytes of their
//! quoted names in UTF-8, not by UTF-16 code units. Numbers keep the digits as sent: two numbers of 40 digits are not
//! the same because a double cannot tell them apart. As in RFC 8785, there is no white space, and strings have the
//! fewest escapes. The form must never change, because row ids and keys of existing lakes depend on it; tests pin it.

use std::{
    cmp::Ordering,
    hash::{BuildHasher as _, RandomState},
};

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
    /// What the members are being sorted by: a part of the name, as a number that sorts as the part does, or the digest
    /// of the name in lower case.
    sort_key: u64,
}

/// How many bytes of a name a sort key holds.
const KEY_BYTES: usize = size_of::<u64>();

/// Names with a longer common beginning are compared whole: few of them fit into a payload, and the recursion ends.
const MAX_SHARED_BYTES: usize = 512;

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
        let mut member = Member { start, name_end, end: self.bytes.len(), sort_key: 0 };
        member.sort_key = member.part_of_name(0, &self.bytes);
        self.members.push(member);
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
        if members.iter().any(|member| member.has_case(bytes))
            && let Some(repeated) = repeated_in_another_case(members, bytes, &mut self.scratch)
        {
            return Err(Repeated::InAnotherCase(unquoted(repeated.name(bytes))));
        }
        // Another order than that of the names does not matter now, because the text is in the right one.
        if is_sorted {
            return Ok(());
        }
        sort_by_name(members, bytes, 0);
        if let Some([repeated, _]) = members.array_windows().find(|[a, b]| a.name(bytes) == b.name(bytes)) {
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
    fn name<'c>(&self, canonical: &'c [u8]) -> &'c [u8] {
        canonical.get(self.start..self.name_end).unwrap_or_default()
    }

    /// The bytes of the name from `at` on that a sort key holds.
    fn part_of_name(&self, at: usize, canonical: &[u8]) -> u64 {
        let mut part = [0; KEY_BYTES];
        // A name begins and ends in a quote. So the zeros behind a short name decide nothing.
        let rest = canonical.get((self.start + 1 + at).min(self.name_end)..self.name_end).unwrap_or_default();
        match rest.first_chunk() {
            Some(chunk) => part = *chunk,
            None => part.iter_mut().zip(rest).for_each(|(to, from)| *to = *from),
        }
        u64::from_be_bytes(part)
    }

    fn cmp_by_name(&self, other: &Self, canonical: &[u8]) -> Ordering {
        self.sort_key.cmp(&other.sort_key).then_with(|| self.name(canonical).cmp(other.name(canonical)))
    }

    /// Whether the name can differ from another one in case alone.
    fn has_case(&self, canonical: &[u8]) -> bool {
        self.name(canonical).iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
    }

    /// The name in lower case.
    fn folded<'c>(&self, canonical: &'c [u8]) -> impl Iterator<Item = char> + use<'c> {
        std::str::from_utf8(self.name(canonical)).unwrap_or_default().chars().flat_map(fold_case)
    }

    fn is_null(&self, canonical: &[u8]) -> bool {
        canonical.get(self.name_end..self.end) == Some(b":null")
    }
}

/// Puts members whose names are the same before `at` in the order of their names. Their sort keys are the parts there.
///
/// A sort that compares names reads each name some twenty times, from all over the memory. A million names with one
/// beginning would take seconds. So each part of a name becomes a number once, and numbers are compared.
fn sort_by_name(members: &mut [Member], bytes: &[u8], at: usize) {
    members.sort_unstable_by_key(|member| member.sort_key);
    let next = at + KEY_BYTES;
    for group in members.chunk_by_mut(|a, b| a.sort_key == b.sort_key) {
        // Names that end within a part that they share are the same name.
        if group.len() < 2 || group.iter().all(|member| member.start + 1 + next >= member.name_end) {
            continue;
        }
        if next > MAX_SHARED_BYTES {
            group.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
            continue;
        }
        for member in group.iter_mut() {
            member.sort_key = member.part_of_name(next, bytes);
        }
        sort_by_name(group, bytes, next);
    }
}

/// A name that is another member's name in another case. Athena's engine compares names in lower case.
///
/// Each name is put in lower case once, and what is sorted is the digests: a sort that puts both names in lower case
/// whenever it compares them takes ten times as long. There is no copy of the names, because a log can have a million
/// members. The digest's key is random, so nobody can make names that have one digest and differ.
fn repeated_in_another_case(members: &mut [Member], bytes: &[u8], folded: &mut Vec<u8>) -> Option<Member> {
    let digest = RandomState::new();
    for member in members.iter_mut() {
        folded.clear();
        folded.extend_from_slice(member.name(bytes));
        if folded.is_ascii() {
            folded.make_ascii_lowercase();
        } else {
            folded.clear();
            let mut utf8 = [0; 4];
            member.folded(bytes).for_each(|letter| folded.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes()));
        }
        member.sort_key = digest.hash_one(folded.as_slice());
    }
    members.sort_unstable_by_key(|member| member.sort_key);
    // Of several such names the first in lower case counts, and of its spellings the second.
    let repeated = members
        .chunk_by(|a, b| a.sort_key == b.sort_key)
        .filter(|group| group.len() > 1)
        .filter_map(|group| second_spelling(group, bytes))
        .min_by(|a, b| a.folded(bytes).cmp(b.folded(bytes)));
    for member in members.iter_mut() {
        member.sort_key = member.part_of_name(0, bytes);
    }
    repeated
}

/// The second of the names in `group`, if there are two that are the same in lower case.
fn second_spelling(group: &[Member], bytes: &[u8]) -> Option<Member> {
    let first = group.iter().min_by_key(|member| member.name(bytes))?;
    let is_another =
        |member: &&Member| member.name(bytes) != first.name(bytes) && member.folded(bytes).eq(first.folded(bytes));
    group.iter().filter(is_another).min_by_key(|member| member.name(bytes)).copied()
}

/// A character in lower case. At the end of a word, a sigma is another character in lower case; it counts as the usual
/// one.
pub(super) fn fold_case(character: char) -> impl Iterator<Item = char> {
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
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// What an object with these members becomes, each with its place as value.
    fn canonical_of(names: &[String]) -> Result<String, Repeated> {
        let mut canonical = Canonical::new(b"");
        let object = canonical.open_object();
        for (value, name) in names.iter().enumerate() {
            let member = canonical.open_member(object, name);
            canonical.push(value.to_string().as_bytes());
            canonical.close_member(member);
        }
        canonical.close_object(object)?;
        Ok(String::from_utf8(canonical.bytes).unwrap())
    }

    proptest! {
        #[test]
        fn names_are_sorted_and_found_again_in_any_case(
            // With and without a common beginning that is longer than a sort key, or than all of them together.
            beginning in prop::sample::select(vec![0, 6, 7, 8, 9, 16, 505, 600]),
            names in prop::collection::vec("x?[aAbB\"! \u{1}éÉßẞİıKΣσς]{0,10}", 0..8),
        ) {
            let names: Vec<_> = names.iter().map(|name| name.replace('x', &"x".repeat(beginning))).collect();
            let quoted = |name: &String| serde_json::to_string(name).unwrap();
            let mut sorted: Vec<_> = names.iter().enumerate().map(|(place, name)| (quoted(name), place)).collect();
            sorted.sort();
            // The spellings of each name in lower case.
            let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (name, _) in &sorted {
                spellings.entry(name.to_lowercase().replace('ς', "σ")).or_default().insert(name.clone());
            }
            let in_another_case = spellings.values().find_map(|spellings| spellings.iter().nth(1));
            let exactly = sorted.array_windows().find(|[(a, _), (b, _)]| a == b).map(|[(name, _), _]| name);
            match (canonical_of(&names), in_another_case, exactly) {
                (Err(Repeated::InAnotherCase(name)), Some(expected), _)
                | (Err(Repeated::Exactly(name)), None, Some(expected)) => prop_assert_eq!(&quoted(&name), expected),
                (Ok(form), None, None) => {
                    let members: Vec<_> = sorted.iter().map(|(name, place)| format!("{name}:{place}")).collect();
                    prop_assert_eq!(form, format!("{{{}}}", members.join(",")));
                }
                (result, ..) => prop_assert!(false, "{:?} {:?}", names, result.is_ok()),
            }
        }
    }
}
