//! What happened in one line: the subject, the SMS, the title in chat. Words whose value is missing are left out. If
//! the line is too long, the longest value is cut, and an address never.

use super::{
    facts::{Alert, Kind, Log, Text},
    markers::Before,
    text,
};

/// A value is not cut below this length.
const LEAST: usize = 8;

/// A piece of the line.
enum Piece {
    /// Words of ours, or an address.
    Fixed(String),
    /// A value, harmless already.
    Value(String),
}

/// The line, in at most `max` characters. `harmless` makes a value so.
pub(super) fn headline(alert: &Alert, before: Before, harmless: fn(&str, usize) -> String, max: usize) -> String {
    let mut pieces = match alert.subject.kind {
        Kind::Unreadable => vec![fixed("Tracebit sent something that this lake cannot read")],
        Kind::UnknownFormat => vec![fixed("Tracebit alert in a format that this lake does not know")],
        Kind::Log => {
            let mut pieces = vec![Piece::Fixed(how_bad(alert, before))];
            pieces.extend(what_happened(&alert.log, |text| harmless(text, max)));
            pieces
        }
    };
    fit(&mut pieces, max);
    pieces.into_iter().map(Piece::into_text).collect()
}

fn how_bad(alert: &Alert, before: Before) -> String {
    let now = if before == Before::LessSevere { "now " } else { "" };
    match alert.severity {
        Some(severity) => format!("Tracebit {now}{}: ", severity.to_string().to_uppercase()),
        None => "Tracebit alert, severity unknown: ".to_owned(),
    }
}

fn what_happened(log: &Log, harmless: impl Fn(&str) -> String) -> Vec<Piece> {
    let value = |text: &Text| text.as_ref().map(|text| Piece::Value(harmless(text)));
    let Log { operation, resource, credential, principal, ip, .. } = log;
    let mut pieces = Vec::new();
    if let Some(credential) = credential {
        pieces.push(fixed("planted credential "));
        if let Some(name) = &credential.name {
            pieces.extend([fixed("\""), Piece::Value(harmless(name).replace('"', "'")), fixed("\" ")]);
        }
        pieces.push(fixed("used"));
        pieces.extend(value(operation).into_iter().flat_map(|operation| [fixed(", "), operation]));
    } else {
        match (value(operation), value(resource)) {
            (Some(operation), Some(resource)) => pieces.extend([operation, fixed(" on "), resource]),
            (Some(only), None) => pieces.push(only),
            (None, Some(only)) => pieces.extend([only, fixed(" touched")]),
            (None, None) => pieces.push(fixed("a canary was touched")),
        }
        let who = principal.short().map(|name| Piece::Value(harmless(name)));
        pieces.extend(who.into_iter().flat_map(|who| [fixed(" by "), who]));
    }
    if let Some(ip) = ip {
        let from = text::address(ip).map_or_else(|| Piece::Value(harmless(ip)), Piece::Fixed);
        pieces.extend([fixed(" from "), from]);
    }
    pieces
}

/// Cuts the longest value, again and again, until the line fits or nothing can be cut.
fn fit(pieces: &mut [Piece], max: usize) {
    loop {
        let length: usize = pieces.iter().map(Piece::length).sum();
        let values = pieces.iter_mut().filter_map(|piece| match piece {
            Piece::Value(value) => Some(value),
            Piece::Fixed(_) => None,
        });
        let longest = values.max_by_key(|value| value.chars().count());
        let Some(longest) = longest.filter(|value| length > max && value.chars().count() > LEAST) else { return };
        // Not more at once than the next longest needs, so that two long values share what is cut.
        let kept = (longest.chars().count() - 1).max(LEAST);
        *longest = text::shorten(longest, kept);
    }
}

impl Piece {
    fn length(&self) -> usize {
        let (Self::Fixed(text) | Self::Value(text)) = self;
        text.chars().count()
    }

    fn into_text(self) -> String {
        let (Self::Fixed(text) | Self::Value(text)) = self;
        text
    }
}

fn fixed(text: &str) -> Piece {
    Piece::Fixed(text.to_owned())
}
