//! What Panther's own engine makes of 717 logs (`panther-cases.jsonl`), and what the lake makes of them.
//!
//! Panther's former open source, in its state of April 2021, classified these logs by the schemas of this project. Each
//! case has the log, the outcome that the lake owes (null where nobody has decided), and its basis:
//!
//! - `both agree`: Panther's engine has the same outcome;
//! - `old engine`: its engine of 2021 differs from its present documentation or from the RFC, which the lake follows;
//! - `documented` and `undocumented`: the lake differs on purpose, and `docs/contract.md` says where;
//! - `fault`: the lake once differed without a reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test should fail loudly")]

use std::{collections::BTreeSet, net::IpAddr};

use chrono::SecondsFormat;
use data_encoding::BASE64;
use serde_json::{Value, json};
use tracebit_lake::core::schema::{Schemas, replace_lone_surrogates};
use url::Host;

/// The lake's outcome, in the form of a case's `expected`.
fn outcome(schemas: &Schemas, log: &[u8]) -> Value {
    let replaced = replace_lone_surrogates(log);
    let Ok(log) = schemas.classify(replaced.as_deref().unwrap_or(log)) else { return json!({"accepted": false}) };
    json!({
        "accepted": true,
        "log_type": log.schema.log_type,
        "event_time": log.event_time.to_rfc3339_opts(SecondsFormat::Nanos, true),
        "p_any": serde_json::to_value(&log.indicators).unwrap(),
    })
}

/// `outcome` with hosts and addresses in one form, because Panther keeps the form of the log.
fn normal(mut outcome: Value) -> Value {
    let Some(p_any) = outcome.get_mut("p_any").and_then(Value::as_object_mut) else { return outcome };
    let mut take = |field: &str| match p_any.remove(field) {
        Some(values) => serde_json::from_value::<Vec<String>>(values).unwrap(),
        None => Vec::new(),
    };
    let (addresses, domains) = (take("p_any_ip_addresses"), take("p_any_domain_names"));
    let mut addresses: BTreeSet<_> =
        addresses.iter().map(|address| address.parse::<IpAddr>().unwrap().to_string()).collect();
    let mut names = BTreeSet::new();
    for domain in domains {
        match Host::parse(&domain) {
            Ok(Host::Ipv4(address)) => addresses.insert(address.to_string()),
            Ok(Host::Ipv6(address)) => addresses.insert(address.to_string()),
            Ok(Host::Domain(name)) => names.insert(name),
            Err(_) => names.insert(domain),
        };
    }
    p_any.insert("p_any_ip_addresses".to_owned(), json!(addresses));
    p_any.insert("p_any_domain_names".to_owned(), json!(names));
    outcome
}

#[test]
fn panthers_engine_and_the_lake_differ_only_where_the_contract_says() {
    let schemas = Schemas::embedded().unwrap();
    let (mut agreed, mut differing, mut open) = (0, 0, 0);
    let mut faults = Vec::new();
    for line in include_str!("panther-cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let log = match case["log_base64"].as_str() {
            Some(log) => BASE64.decode(log.as_bytes()).unwrap(),
            None => case["log"].as_str().unwrap().as_bytes().to_vec(),
        };
        let (expected, found) = (normal(case["expected"].clone()), normal(outcome(&schemas, &log)));
        if expected.is_null() {
            open += 1;
        } else if expected != found {
            faults.push(format!(
                "{} ({}): {}\n  expected {expected}\n  found    {found}",
                case["id"], case["basis"], case["about"]
            ));
        } else if case["basis"] == "both agree" {
            agreed += 1;
        } else {
            differing += 1;
        }
    }
    assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
    let figure = format!(
        "Of {} logs, {agreed} have the same outcome in both, {differing} differ for a reason that the case names, and \
         {open} is open",
        agreed + differing + open
    );
    let page = include_str!("../docs/contract.md").replace('\n', " ");
    assert!(page.contains(&figure), "docs/contract.md must say: {figure}");
}
