//! Indicators: the values that an analyst looks up across log types. Each kind goes to one or more `p_any_*` fields.
//!
//! The rules are Panther's (documentation of indicator fields): values are trimmed, empty values are skipped, and each
//! field holds its values sorted and without repeats. A host or an address has one spelling wherever it stands, so that
//! a query for it finds every log: addresses as RFC 5952 writes them, host names in lower case and ASCII (IDNA).

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The kinds of indicators. The names are the schema language's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Indicator {
    /// An IPv4 or IPv6 address.
    Ip,
    /// A domain name.
    Domain,
    /// A URL. Its host is the indicator.
    Url,
    /// An AWS account id.
    AwsAccountId,
    /// An ARN. It can also hold an account, an instance and an e-mail address.
    AwsArn,
    /// The principal that acted.
    ActorId,
    /// A user name.
    Username,
    /// An e-mail address.
    Email,
    /// An identifier that ties events together, such as an access key or the id of an event.
    TraceId,
}

/// The longest text that can be a host name, in bytes: 253 characters (RFC 1035, 2.3.4) of four bytes. A longer one is
/// not read as a host, because IDNA takes twenty times as long as the rest of a log.
const MAX_HOST_BYTES: usize = 253 * 4;

type Values = BTreeSet<String>;

/// The indicators of one log, as the `p_any_*` members of its record.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Indicators {
    /// Addresses, as RFC 5952 writes them.
    #[serde(rename = "p_any_ip_addresses", skip_serializing_if = "Values::is_empty")]
    pub ip_addresses: Values,
    /// Domain names, and the hosts of URLs.
    #[serde(rename = "p_any_domain_names", skip_serializing_if = "Values::is_empty")]
    pub domain_names: Values,
    /// Accounts of 12 digits, also from ARNs.
    #[serde(rename = "p_any_aws_account_ids", skip_serializing_if = "Values::is_empty")]
    pub aws_account_ids: Values,
    /// ARNs.
    #[serde(rename = "p_any_aws_arns", skip_serializing_if = "Values::is_empty")]
    pub aws_arns: Values,
    /// Instance ids (`i-…`) from ARNs.
    #[serde(rename = "p_any_aws_instance_ids", skip_serializing_if = "Values::is_empty")]
    pub aws_instance_ids: Values,
    /// The principal that acted.
    #[serde(rename = "p_any_actor_ids", skip_serializing_if = "Values::is_empty")]
    pub actor_ids: Values,
    /// User names.
    #[serde(rename = "p_any_usernames", skip_serializing_if = "Values::is_empty")]
    pub usernames: Values,
    /// E-mail addresses, also from the session names of assumed roles.
    #[serde(rename = "p_any_emails", skip_serializing_if = "Values::is_empty")]
    pub emails: Values,
    /// Access keys and event ids.
    #[serde(rename = "p_any_trace_ids", skip_serializing_if = "Values::is_empty")]
    pub trace_ids: Values,
}

impl std::fmt::Debug for Indicators {
    /// Not the values, because they are parts of a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indicators(…)")
    }
}

impl Indicators {
    /// Adds what `text` holds by the rule of `indicator`. Text that does not fit the rule is skipped.
    pub fn add(&mut self, indicator: Indicator, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match indicator {
            Indicator::Ip => {
                if let Ok(address) = text.parse::<IpAddr>() {
                    insert(&mut self.ip_addresses, &address.to_string());
                }
            }
            Indicator::Domain
                if text.len() <= MAX_HOST_BYTES
                    && let Ok(Host::Domain(name)) = Host::parse(text) =>
            {
                insert(&mut self.domain_names, &name);
            }
            // Panther takes any text here.
            Indicator::Domain => insert(&mut self.domain_names, text),
            Indicator::Url => self.add_url(text),
            Indicator::AwsAccountId if is_account_id(text) => insert(&mut self.aws_account_ids, text),
            Indicator::AwsArn => self.add_arn(text),
            Indicator::ActorId => insert(&mut self.actor_ids, text),
            Indicator::Username => insert(&mut self.usernames, text),
            Indicator::TraceId => insert(&mut self.trace_ids, text),
            Indicator::Email if text.contains('@') => insert(&mut self.emails, text),
            Indicator::AwsAccountId | Indicator::Email => {}
        }
    }

    fn add_url(&mut self, text: &str) {
        // The scheme and what follows it, which has the host and perhaps a user.
        let mut parts = text.split(['/', '\\', '?', '#']).filter(|part| !part.is_empty()).take(2);
        if parts.any(|part| part.len() > 2 * MAX_HOST_BYTES) {
            return;
        }
        let Ok(url) = Url::parse(text) else { return };
        let Some(host) = url.host_str() else { return };
        // Of a scheme that it does not know, the URL has the host as it was written.
        match Host::parse(host) {
            Ok(Host::Domain(name)) => insert(&mut self.domain_names, &name),
            Ok(Host::Ipv4(address)) => insert(&mut self.ip_addresses, &address.to_string()),
            Ok(Host::Ipv6(address)) => insert(&mut self.ip_addresses, &address.to_string()),
            Err(_) => insert(&mut self.domain_names, host),
        }
    }

    /// `arn:partition:service:region:account:resource`, where the resource can hold colons of its own.
    fn add_arn(&mut self, text: &str) {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", _, service, _, account, resource] = parts.as_slice() else { return };
        insert(&mut self.aws_arns, text);
        if is_account_id(account) {
            insert(&mut self.aws_account_ids, account);
        }
        let last = resource.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default().trim();
        if resource.starts_with("instance/") && last.starts_with("i-") {
            insert(&mut self.aws_instance_ids, last);
        }
        // arn:aws:sts::123456789012:assumed-role/role-name/session-name
        if *service == "sts" && resource.starts_with("assumed-role/") && last.contains('@') {
            insert(&mut self.emails, last);
        }
    }
}

fn insert(values: &mut Values, text: &str) {
    if !values.contains(text) {
        values.insert(text.to_owned());
    }
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Indicator::*;
    use super::*;

    fn taken(indicator: Indicator, texts: &[&str]) -> Value {
        let mut indicators = Indicators::default();
        for text in texts {
            indicators.add(indicator, text);
        }
        serde_json::to_value(indicators).unwrap()
    }

    #[test]
    fn values_are_trimmed_sorted_and_unique() {
        assert_eq!(taken(Username, &[" b", "a", "b ", "", "  "]), json!({"p_any_usernames": ["a", "b"]}));
        assert_eq!(taken(ActorId, &["x"]), json!({"p_any_actor_ids": ["x"]}));
        assert_eq!(taken(TraceId, &["AKIA1"]), json!({"p_any_trace_ids": ["AKIA1"]}));
        assert_eq!(taken(Domain, &["dev-1.okta.com"]), json!({"p_any_domain_names": ["dev-1.okta.com"]}));
    }

    #[test]
    fn only_addresses_are_ip_addresses_and_have_one_spelling() {
        let addresses = ["192.0.2.1", "2001:DB8:0:0::1", "2001:db8::1", "::ffff:192.0.2.9"];
        let expected = json!({"p_any_ip_addresses": ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.9"]});
        assert_eq!(taken(Ip, &addresses), expected);
        assert_eq!(taken(Ip, &["cloudtrail.amazonaws.com", "AWS Internal", "192.0.2.1:80", "192.0.2.256"]), json!({}));
    }

    #[test]
    fn a_url_gives_its_host() {
        assert_eq!(
            taken(Url, &["https://user:pw@portal.tracebit.com:8443/alerts?a=b#c"]),
            json!({"p_any_domain_names": ["portal.tracebit.com"]})
        );
        assert_eq!(
            taken(Url, &["http://192.0.2.1/x", "http://[2001:db8::1]/"]),
            json!({"p_any_ip_addresses": ["192.0.2.1", "2001:db8::1"]})
        );
        assert_eq!(taken(Url, &["portal.tracebit.com/alerts", "mailto:a@b.c", "https://", "//host/x"]), json!({}));
    }

    #[test]
    fn a_host_has_one_spelling_wherever_it_stands() {
        let one = json!({"p_any_domain_names": ["acme.okta.com"]});
        for (indicator, text) in [
            (Domain, "Acme.okta.com"),
            (Url, "https://ACME.okta.com/"),
            (Url, "okta://Acme.Okta.com/x"),
            (Domain, " acme.okta.com "),
        ] {
            assert_eq!(taken(indicator, &[text]), one, "{text}");
        }
        let idn = json!({"p_any_domain_names": ["xn--bcher-kva.example"]});
        for (indicator, text) in
            [(Domain, "Bücher.example"), (Domain, "xn--bcher-kva.example"), (Url, "https://bücher.example")]
        {
            assert_eq!(taken(indicator, &[text]), idn, "{text}");
        }
        let address = json!({"p_any_ip_addresses": ["203.0.113.9"]});
        assert_eq!(taken(Url, &["tracebit://203.0.113.9/x", "http://203.0.113.9"]), address);
        assert_eq!(taken(Url, &["x://[2001:DB8::1]/"]), json!({"p_any_ip_addresses": ["2001:db8::1"]}));
        assert_eq!(taken(Domain, &["not a host"]), json!({"p_any_domain_names": ["not a host"]}));
    }

    #[test]
    fn a_text_too_long_for_a_host_is_not_read_as_one() {
        let long = "\u{130}.".repeat(1_000);
        assert_eq!(taken(Domain, &[&long]), json!({"p_any_domain_names": [long]}));
        assert_eq!(
            taken(Url, &[&format!("https://{long}/"), &format!("https:{long}"), &format!("x://{long}")]),
            json!({})
        );
        let url = format!("https://user:pw@acme.okta.com/{long}?{long}#{long}");
        assert_eq!(taken(Url, &[&url]), json!({"p_any_domain_names": ["acme.okta.com"]}));
    }

    #[test]
    fn an_account_id_has_twelve_digits() {
        assert_eq!(
            taken(AwsAccountId, &["123456789012", "12345678901", "1234567890123", "12345678901a"]),
            json!({"p_any_aws_account_ids": ["123456789012"]})
        );
    }

    #[test]
    fn an_arn_gives_its_account_instance_and_session() {
        assert_eq!(
            taken(AwsArn, &["arn:aws:ec2:eu-west-1:123456789012:instance/i-0abc"]),
            json!({
                "p_any_aws_arns": ["arn:aws:ec2:eu-west-1:123456789012:instance/i-0abc"],
                "p_any_aws_account_ids": ["123456789012"],
                "p_any_aws_instance_ids": ["i-0abc"],
            })
        );
        assert_eq!(
            taken(AwsArn, &["arn:aws:sts::123456789012:assumed-role/Admin/alice@example.com"]),
            json!({
                "p_any_aws_arns": ["arn:aws:sts::123456789012:assumed-role/Admin/alice@example.com"],
                "p_any_aws_account_ids": ["123456789012"],
                "p_any_emails": ["alice@example.com"],
            })
        );
        let parts = taken(AwsArn, &["arn:aws:sts::123456789012:assumed-role/path/Admin/alice@example.com "]);
        assert_eq!(parts["p_any_emails"], json!(["alice@example.com"]));
        let parts = taken(AwsArn, &["arn:aws:ec2:eu-west-1:123456789012:instance/x/i-0abc "]);
        assert_eq!(parts["p_any_aws_instance_ids"], json!(["i-0abc"]));
        assert_eq!(taken(AwsArn, &["arn:aws:s3:::decoy"]), json!({"p_any_aws_arns": ["arn:aws:s3:::decoy"]}));
        assert_eq!(taken(AwsArn, &["arn:aws:s3", "not:an:arn:at:all:x", "arn"]), json!({}));
    }

    #[test]
    fn an_email_has_an_at_sign() {
        assert_eq!(taken(Email, &["alice@example.com", "alice"]), json!({"p_any_emails": ["alice@example.com"]}));
    }
}
