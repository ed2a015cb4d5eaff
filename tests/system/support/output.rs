//! The function's output: log lines, and the metrics that CloudWatch extracts from them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TestLake;

/// The output that follows `before`.
pub(crate) async fn output_since(lake: &TestLake, before: &str) -> String {
    let output = lake.function.settled_output().await;
    output.strip_prefix(before).unwrap_or_else(|| panic!("{output}")).to_owned()
}

/// The lines from which CloudWatch extracts metrics. Each is checked against the embedded metric format:
///
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn metric_lines(output: &str) -> Vec<Value> {
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| line.get("_aws").is_some()).collect();
    for line in &lines {
        let age = chrono::Utc::now().timestamp_millis() - line["_aws"]["Timestamp"].as_i64().unwrap();
        assert!((0..60_000).contains(&age), "{line}");
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "TracebitLake", "{line}");
            let sets = directive["Dimensions"].as_array().unwrap();
            assert_eq!(sets.len(), 1, "{line}");
            for dimension in sets[0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
            }
            for metric in directive["Metrics"].as_array().unwrap() {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
            }
        }
    }
    lines
}

/// Every metric in the output, by `Name` or `Name{Dimension=value}`, with its unit.
pub(crate) fn metrics(output: &str) -> BTreeMap<String, (Value, String)> {
    let mut metrics = BTreeMap::new();
    for line in metric_lines(output) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            let dimensions: Vec<_> = directive["Dimensions"][0]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| format!("{}={}", name.as_str().unwrap(), line[name.as_str().unwrap()].as_str().unwrap()))
                .collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                let full =
                    if dimensions.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", dimensions.join(",")) };
                let unit = metric["Unit"].as_str().unwrap_or("None").to_owned();
                let twice = metrics.insert(full.clone(), (line[name].clone(), unit));
                assert!(twice.is_none(), "{full} is reported twice in {output}");
            }
        }
    }
    metrics
}

/// The values of these metrics; 0 for a missing one.
pub(crate) fn values<const N: usize>(output: &str, names: [&str; N]) -> [u64; N] {
    let metrics = metrics(output);
    names.map(|name| metrics.get(name).map_or(0, |(value, _)| value.as_u64().unwrap()))
}

/// The only invocation line in the output.
pub(crate) fn invocation_line(output: &str) -> Value {
    let lines: Vec<_> = metric_lines(output).into_iter().filter(|line| line.get("RequestId").is_some()).collect();
    let [line] = lines.try_into().unwrap_or_else(|lines| panic!("expected one line: {lines:?}"));
    line
}
