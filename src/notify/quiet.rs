//! What the operator knows to be harmless: a scanner of their own that touches canaries. It is stored and published as
//! everything else, but it wakes nobody.
//!
//! The rules are a file in the lake's bucket, `config/quiet.json`, because the notifier reads that bucket already, and
//! because its versions say who changed what. Each rule needs an address range or the ARN of a principal, because what
//! else a log says can be chosen by whoever touches the canary. It needs a reason, and a day within 90 days on which it
//! ends. One mistake in the file makes all of it void, so that nobody is quieter than they meant to be.

use std::net::IpAddr;

use chrono::{Days, NaiveDate};
use ipnet::IpNet;
use serde::Deserialize;
use wildmatch::WildMatchPattern;

use super::json::Json;
use crate::core::{lake::Table, schema::ALERT};

/// How far ahead a rule may end.
const MAX_DAYS: u64 = 90;

/// How many rules a file may have.
const MAX_RULES: usize = 100;

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

/// The widest ranges: larger ones are whole parts of the internet.
const MIN_PREFIX_V4: u8 = 8;
const MIN_PREFIX_V6: u8 = 16;

/// `*` matches any text; every other character is itself, but for one that no log holds.
type Pattern = WildMatchPattern<'*', '\0'>;

/// The rules of a file.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

/// A rule. A log must match everything that it names.
#[derive(Debug)]
struct Rule {
    reason: String,
    expires: NaiveDate,
    cidr: Option<IpNet>,
    principal_arn: Option<Pattern>,
    user_agent: Option<Pattern>,
    canary: Option<Pattern>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Written>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    reason: String,
    expires: String,
    cidr: Option<String>,
    principal_arn: Option<String>,
    user_agent: Option<String>,
    canary: Option<String>,
}

/// Why a file cannot be used. It quotes nothing of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    /// It is not such a file.
    #[error(
        "it is not JSON of the form {{\"rules\":[{{\"reason\":…,\"expires\":\"YYYY-MM-DD\",…}}]}}, or has a member of \
         another name"
    )]
    Form,
    /// It has too many rules.
    #[error("it has more than {MAX_RULES} rules")]
    TooMany,
    /// A rule is wrong.
    #[error("rule {0}: {1}")]
    Rule(usize, &'static str),
}

impl Rules {
    /// Reads the file's text. `today` decides how far ahead a rule may end.
    pub(super) fn read(text: &[u8], today: NaiveDate) -> Result<Self, Mistake> {
        let File { rules } = serde_json::from_slice(text).map_err(|_| Mistake::Form)?;
        if rules.len() > MAX_RULES {
            return Err(Mistake::TooMany);
        }
        let rules = rules.into_iter().enumerate();
        let read = rules.map(|(index, rule)| Rule::read(rule, today).map_err(|why| Mistake::Rule(index + 1, why)));
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Why a log of `table` is known and harmless on this day, if a rule says so. Never if a planted credential was
    /// used, or for what fits no schema.
    pub(super) fn reason(&self, log: &Json<'_>, table: Table<'_>, today: NaiveDate) -> Option<&str> {
        let is_alert = matches!(table, Table::LogType(schema) if schema.log_type == ALERT);
        let subtype = log.text(&["discriminator", "subtype"]);
        let is_credential = log.has(&["canary_credential"]) || subtype.as_deref() == Some("canary_credential_used");
        if !is_alert || is_credential {
            return None;
        }
        self.0.iter().find(|rule| rule.matches(log, today)).map(|rule| rule.reason.as_str())
    }
}

impl Rule {
    fn read(written: Written, today: NaiveDate) -> Result<Self, &'static str> {
        let Written { reason, expires, cidr, principal_arn, user_agent, canary } = written;
        if reason.trim().is_empty() || reason.chars().count() > MAX_REASON {
            return Err("reason: expected some words, 200 characters at most");
        }
        let expires: NaiveDate = expires.parse().map_err(|_| "expires: expected a day such as 2026-12-31")?;
        if today.checked_add_days(Days::new(MAX_DAYS)).is_none_or(|last| expires > last) {
            return Err("expires: expected a day at most 90 days ahead");
        }
        if cidr.is_none() && principal_arn.is_none() {
            return Err("expected cidr or principal_arn, because whoever touches a canary chooses the rest");
        }
        Ok(Self {
            reason,
            expires,
            cidr: cidr.as_deref().map(range).transpose()?,
            principal_arn: principal_arn.as_deref().map(arn).transpose()?,
            user_agent: user_agent.as_deref().map(pattern).transpose()?,
            canary: canary.as_deref().map(pattern).transpose()?,
        })
    }

    fn matches(&self, log: &Json<'_>, today: NaiveDate) -> bool {
        let any = |pattern: &Option<Pattern>, paths: &[&[&str]]| {
            let is_match =
                |pattern: &Pattern| paths.iter().any(|path| log.text(path).is_some_and(|text| pattern.matches(&text)));
            pattern.as_ref().is_none_or(is_match)
        };
        let is_in = |range: &IpNet| {
            let ip = log.text(&["event", "request", "ip"]).and_then(|text| text.trim().parse::<IpAddr>().ok());
            ip.is_some_and(|ip| range.contains(&ip.to_canonical()))
        };
        today <= self.expires
            && self.cidr.as_ref().is_none_or(is_in)
            && any(&self.principal_arn, &[&["principal", "aws", "arn"]])
            && any(&self.user_agent, &[&["event", "request", "user_agent", "raw"]])
            && any(&self.canary, &[&["canary", "name"], &["canary", "provider_id"], &["canary", "aws", "arn"]])
    }
}

fn range(text: &str) -> Result<IpNet, &'static str> {
    let range: IpNet = text.parse().map_err(|_| "cidr: expected a range such as 203.0.113.0/24")?;
    let widest = if range.addr().is_ipv4() { MIN_PREFIX_V4 } else { MIN_PREFIX_V6 };
    if range.trunc() != range {
        Err("cidr: the address has bits behind the prefix; write the first address of the range")
    } else if range.prefix_len() < widest {
        Err("cidr: the range is wider than /8, or /16 for IPv6")
    } else {
        Ok(range)
    }
}

/// The account must be named, because everybody else's roles have the same names.
fn arn(text: &str) -> Result<Pattern, &'static str> {
    let mut parts = text.split(':');
    let (arn, account, resource) = (parts.next(), parts.nth(3), parts.next());
    let is_account = |account: &str| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if arn == Some("arn") && account.is_some_and(is_account) && resource.is_some_and(has_name) {
        Ok(Pattern::new(text))
    } else {
        Err("principal_arn: expected an ARN with its account, such as arn:aws:sts::123456789012:assumed-role/Scanner/*")
    }
}

fn pattern(text: &str) -> Result<Pattern, &'static str> {
    if has_name(text) { Ok(Pattern::new(text)) } else { Err("a pattern needs at least four characters beside *") }
}

fn has_name(text: &str) -> bool {
    text.chars().filter(|letter| *letter != '*').count() >= 4 && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::schema::Schemas;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn today() -> NaiveDate {
        day("2026-11-27")
    }

    fn scanner() -> Value {
        json!({
            "reason": "Our own scanner", "expires": "2026-12-31", "cidr": "203.0.113.0/24",
            "principal_arn": "arn:aws:sts::123456789012:assumed-role/Scanner/*",
        })
    }

    fn rules(rules: &[Value]) -> Result<Rules, Mistake> {
        Rules::read(json!({ "rules": rules }).to_string().as_bytes(), today())
    }

    fn log() -> Value {
        json!({
            "discriminator": {"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"},
            "canary": {"name": "payroll", "aws": {"arn": "arn:aws:s3:::payroll"}},
            "principal": {"aws": {"arn": "arn:aws:sts::123456789012:assumed-role/Scanner/nightly"}},
            "event": {"request": {"ip": "203.0.113.9", "user_agent": {"raw": "scanner/2.0"}}},
        })
    }

    fn is_quiet(rule: &Value, log: &Value, on: &str) -> bool {
        let rules = rules(std::slice::from_ref(rule)).unwrap_or_else(|mistake| panic!("{mistake}: {rule}"));
        let (schemas, text) = (Schemas::embedded().unwrap(), log.to_string());
        let alerts = schemas.iter().find(|schema| schema.log_type == ALERT).unwrap();
        let json = Json::object(&text).unwrap();
        assert_eq!(rules.reason(&json, Table::Failures, day(on)), None, "what fits no schema is never quiet");
        rules.reason(&json, Table::LogType(alerts), day(on)).is_some()
    }

    fn with(mut value: Value, pointer: &str, new: Value) -> Value {
        match value.pointer_mut(pointer) {
            Some(member) => *member = new,
            None => value[&pointer[1..]] = new,
        }
        value
    }

    #[test]
    fn a_log_must_match_all_that_a_rule_names() {
        assert!(is_quiet(&scanner(), &log(), "2026-11-27"));
        assert!(is_quiet(&scanner(), &with(log(), "/event/request/ip", json!("::ffff:203.0.113.9")), "2026-11-27"));
        for (pointer, value) in [
            ("/event/request/ip", json!("203.0.114.9")),
            ("/event/request/ip", json!("AWS Internal")),
            ("/event/request/ip", json!(null)),
            ("/principal/aws/arn", json!("arn:aws:sts::999999999999:assumed-role/Scanner/nightly")),
            ("/principal/aws/arn", json!("arn:aws:sts::123456789012:assumed-role/Scanner2/x")),
            ("/principal", json!(null)),
        ] {
            assert!(!is_quiet(&scanner(), &with(log(), pointer, value.clone()), "2026-11-27"), "{pointer} {value}");
        }
        for (name, good, bad) in [("user_agent", "scanner/*", "curl/*"), ("canary", "payroll", "invoices")] {
            assert!(is_quiet(&with(scanner(), &format!("/{name}"), json!(good)), &log(), "2026-11-27"), "{name}");
            assert!(!is_quiet(&with(scanner(), &format!("/{name}"), json!(bad)), &log(), "2026-11-27"), "{name}");
        }
    }

    #[test]
    fn a_rule_ends() {
        assert!(is_quiet(&scanner(), &log(), "2026-12-31"));
        assert!(!is_quiet(&scanner(), &log(), "2027-01-01"));
    }

    #[test]
    fn a_used_credential_is_never_quiet() {
        for credential in [json!({"name": "shop"}), json!({})] {
            assert!(!is_quiet(&scanner(), &with(log(), "/canary_credential", credential), "2026-11-27"));
        }
        let used = with(log(), "/discriminator/subtype", json!("canary_credential_used"));
        assert!(!is_quiet(&scanner(), &used, "2026-11-27"));
        assert!(is_quiet(&scanner(), &with(log(), "/canary_credential", json!(null)), "2026-11-27"));
    }

    #[test]
    fn one_mistake_makes_the_file_void() {
        for (pointer, value, problem) in [
            ("/reason", json!(" "), "reason: "),
            ("/reason", json!("x".repeat(201)), "reason: "),
            ("/expires", json!("2027-02-26"), "expires: expected a day at most 90 days ahead"),
            ("/expires", json!("soon"), "expires: expected a day such as"),
            ("/cidr", json!("0.0.0.0/0"), "cidr: the range is wider"),
            ("/cidr", json!("203.0.113.9/24"), "cidr: the address has bits"),
            ("/cidr", json!("203.0.113.9"), "cidr: expected a range"),
            ("/cidr", json!("::/0"), "cidr: the range is wider"),
            ("/principal_arn", json!("*"), "principal_arn: "),
            ("/principal_arn", json!("arn:aws:sts::*:assumed-role/Scanner/*"), "principal_arn: "),
            ("/principal_arn", json!("arn:aws:sts::123456789012:*"), "principal_arn: "),
            ("/principal_arn", json!("arn:aws:sts::12345678901:assumed-role/Scanner/*"), "principal_arn: "),
            ("/principal_arn", json!("arn:aws:sts::12345678901*:assumed-role/Scanner/*"), "principal_arn: "),
            ("/user_agent", json!("*"), "a pattern needs"),
            ("/canary", json!("a*b"), "a pattern needs"),
        ] {
            let bad = with(scanner(), pointer, value);
            let mistake = rules(&[scanner(), bad]).unwrap_err().to_string();
            assert!(mistake.starts_with(&format!("rule 2: {problem}")), "{problem} in {mistake}");
        }
        let with_neither = json!({"reason": "r", "expires": "2026-12-31", "user_agent": "scanner/*"});
        assert!(rules(&[with_neither]).unwrap_err().to_string().contains("expected cidr or principal_arn"));
        assert_eq!(rules(&vec![scanner(); 101]).unwrap_err(), Mistake::TooMany);
        assert!(rules(&vec![scanner(); 100]).is_ok() && rules(&[]).is_ok());
        let unknown = with(scanner(), "/severity", json!("Low"));
        for text in ["", "[]", "{}", "{\"rules\":{}}", "{\"rules\":[{}]}", &json!({"rules": [unknown]}).to_string()] {
            assert_eq!(Rules::read(text.as_bytes(), today()).unwrap_err(), Mistake::Form, "{text}");
        }
        let twice = scanner().to_string().replacen('{', "{\"cidr\":\"198.51.100.0/24\",", 1);
        let twice = format!("{{\"rules\":[{twice}]}}");
        assert_eq!(Rules::read(twice.as_bytes(), today()).unwrap_err(), Mistake::Form);
    }

    #[test]
    fn a_rule_may_go_to_the_limits() {
        for good in [
            with(scanner(), "/reason", json!("x".repeat(MAX_REASON))),
            with(scanner(), "/expires", json!("2027-02-25")),
            json!({"reason": "r", "expires": "2026-12-31", "cidr": "203.0.113.0/24"}),
            json!({"reason": "r", "expires": "2026-12-31", "principal_arn": "arn:aws:iam::123456789012:user/scan"}),
        ] {
            assert!(rules(std::slice::from_ref(&good)).is_ok(), "{good}");
        }
    }

    proptest! {
        /// A reference that knows no library: a pattern is cut at its stars, and the pieces must follow each other.
        #[test]
        fn a_pattern_matches_what_it_says_and_no_more(pattern in "[ab*]{4,9}", text in "[ab]{0,9}") {
            let pieces: Vec<_> = pattern.split('*').collect();
            let is_match = match pieces.as_slice() {
                [only] => *only == text,
                [first, middle @ .., last] => text.strip_prefix(first).is_some_and(|rest| {
                    let mut rest = rest;
                    for piece in middle {
                        let Some(at) = rest.find(piece) else { return false };
                        rest = &rest[at + piece.len()..];
                    }
                    rest.ends_with(last)
                }),
                [] => false,
            };
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), is_match);
        }

        #[test]
        fn an_address_outside_the_range_is_never_quiet(ip in any::<u32>(), prefix in 8u8..=32) {
            let range = ipnet::Ipv4Net::new([203, 0, 113, 0].into(), prefix).unwrap().trunc();
            let log = with(log(), "/event/request/ip", json!(std::net::Ipv4Addr::from(ip).to_string()));
            let rule = with(scanner(), "/cidr", json!(range.to_string()));
            let shift = 32 - u32::from(prefix);
            let network = u32::from(range.network());
            prop_assert_eq!(is_quiet(&rule, &log, "2026-11-27"), ip >> shift == network >> shift);
        }
    }
}
