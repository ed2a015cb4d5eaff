//! The alarms in `template.yaml` and their table in `docs/operate.md`, of `alarms.yml`, which explains its members; and
//! the dashboard in `template.yaml`, of `dashboard.json`, in which `${Name}` is a variable of the template.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{File, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarm {
    name: String,
    id: Option<String>,
    urgency: Urgency,
    says: String,
    comment: Option<String>,
    condition: Option<String>,
    #[serde(default = "own_namespace")]
    namespace: String,
    metric: Option<String>,
    #[serde(default = "own_dimension")]
    dimension: BTreeMap<String, String>,
    metrics: Option<String>,
    #[serde(default = "sum")]
    statistic: String,
    #[serde(default = "five_minutes")]
    period: Value,
    at_least: Option<Value>,
    below: Option<Value>,
    #[serde(default = "three")]
    periods: Value,
    #[serde(default = "one")]
    of_them: Value,
    #[serde(default = "good_news")]
    missing: String,
    #[serde(default)]
    says_ok: bool,
    more: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Urgency {
    Alert,
    ActNow,
    Today,
    ThisWeek,
}

fn own_namespace() -> String {
    "TracebitLake".to_owned()
}

fn own_dimension() -> BTreeMap<String, String> {
    BTreeMap::from([("Stack".to_owned(), "!Ref AWS::StackName".to_owned())])
}

fn sum() -> String {
    "Sum".to_owned()
}

fn five_minutes() -> Value {
    300.into()
}

fn three() -> Value {
    3.into()
}

fn one() -> Value {
    1.into()
}

fn good_news() -> String {
    "notBreaching".to_owned()
}

pub(super) fn files(project: &Path) -> Result<Vec<File>> {
    let text = read(project, "alarms.yml")?;
    let alarms: Vec<Alarm> = serde_saphyr::from_str(&text).context("alarms.yml")?;
    let mut resources = String::new();
    for alarm in &alarms {
        resources += &alarm.resource().with_context(|| format!("alarms.yml: {}", alarm.name))?;
    }
    Ok(vec![
        File::block("template.yaml", "alarms", resources + &composite(&alarms) + "\n"),
        File::block("template.yaml", "dashboard", dashboard(project)?),
        File::block("template.yaml", "widgets", widgets(&alarms)),
        File::block("template.yaml", "pager-calls", names(&alarms)),
        File::block("template.yaml", "pager-resolves", names(&alarms)),
        File::block("docs/operate.md", "alarms", table(&alarms)),
    ])
}

// ------------------------------------------------------------------------------------------------ template.yaml

/// The text of an alarm. Its last line is a link, if the stack knows a page to link to.
const DESCRIPTION: &str = "      AlarmDescription: !Sub
        - >-
          <URGENCY>. <SAYS>
          Runbook: ${Runbook}#<SECTION>
        - Runbook: !If [NamesRunbook, !Ref RunbookUrl, docs/operate]
";

/// The alarm that is on while any urgent one is.
const COMPOSITE: &str = r"
  # It is on while any alarm is that needs somebody now: one state to look at, or for a rule of your own. It sends nothing,
  # because it changes its state once for several faults: anybody can keep it on by a wrong signature every few minutes, and
  # would keep the next fault from the pager. So each alarm publishes to both topics by itself.
  ActNowAlarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties:
      AlarmName: !Sub ${AWS::StackName}-act-now
<DESCRIPTION>      AlarmRule: !Join
        - ' OR '
<RULE>";

impl Alarm {
    fn resource(&self) -> Result<String> {
        let mut text = String::from("\n");
        for line in self.comment.iter().flat_map(|comment| comment.lines()) {
            writeln!(text, "  # {line}")?;
        }
        writeln!(text, "  {}:\n    Type: AWS::CloudWatch::Alarm", self.id())?;
        if let Some(condition) = &self.condition {
            writeln!(text, "    Condition: {condition}")?;
        }
        writeln!(text, "    Properties:\n      AlarmName: !Sub ${{AWS::StackName}}-{}", self.name)?;
        text += &description(self.urgency, &self.says, &self.name);
        text += &indented(6, self.more.as_deref().unwrap_or_default());
        match (&self.metric, &self.metrics) {
            (Some(metric), None) => {
                writeln!(text, "      Namespace: {}\n      MetricName: {metric}\n      Dimensions:", self.namespace)?;
                for (name, value) in &self.dimension {
                    writeln!(text, "        - {{Name: {name}, Value: {value}}}")?;
                }
                writeln!(text, "      Statistic: {}\n      Period: {}", self.statistic, verbatim(&self.period))?;
            }
            (None, Some(metrics)) => write!(text, "      Metrics:\n{}", indented(8, metrics))?,
            _ => anyhow::bail!("it needs `metric` or `metrics`, and not both"),
        }
        writeln!(text, "      EvaluationPeriods: {}", verbatim(&self.periods))?;
        if self.of_them != "all" {
            writeln!(text, "      DatapointsToAlarm: {}", verbatim(&self.of_them))?;
        }
        let (operator, threshold) = match (&self.at_least, &self.below) {
            (None, None) => ("GreaterThanOrEqualToThreshold", "1".to_owned()),
            (Some(least), None) => ("GreaterThanOrEqualToThreshold", verbatim(least)),
            (None, Some(least)) => ("LessThanThreshold", verbatim(least)),
            (Some(_), Some(_)) => anyhow::bail!("it has `at_least` and `below`"),
        };
        writeln!(text, "      ComparisonOperator: {operator}\n      Threshold: {threshold}")?;
        writeln!(text, "      TreatMissingData: {}", self.missing)?;
        // A pager gets every end, or its incident would stay open.
        let pager = (self.urgency == Urgency::ActNow).then_some("!Ref ActNowTopic");
        for (member, people) in [("AlarmActions", true), ("OKActions", self.says_ok)] {
            let topics: Vec<_> = people.then_some("!Ref AlarmTopic").into_iter().chain(pager).collect();
            if !topics.is_empty() {
                writeln!(text, "      {member}: [{}]", topics.join(", "))?;
            }
        }
        Ok(text)
    }

    fn id(&self) -> String {
        self.id.clone().unwrap_or_else(|| super::queries::in_capitals(&self.name) + "Alarm")
    }

    /// An element of a list, left out where the stack does not have this alarm.
    fn element(&self, value: &str) -> String {
        match &self.condition {
            Some(condition) => format!("- !If [{condition}, !Sub '{value}', !Ref AWS::NoValue]\n"),
            None => format!("- !Sub '{value}'\n"),
        }
    }
}

fn description(urgency: Urgency, says: &str, section: &str) -> String {
    let urgency = match urgency {
        Urgency::Alert | Urgency::ActNow => "Act now",
        Urgency::Today => "Today",
        Urgency::ThisWeek => "This week",
    };
    DESCRIPTION.replace("<URGENCY>", urgency).replace("<SAYS>", says).replace("<SECTION>", section)
}

fn composite(alarms: &[Alarm]) -> String {
    let rule = list(alarms, &[Urgency::ActNow], |alarm| alarm.element(&format!("ALARM(\"${{{}}}\")", alarm.id())));
    let says = "An alert may not reach a person. The dashboard shows which alarm is on.";
    COMPOSITE
        .replace("<DESCRIPTION>", &description(Urgency::ActNow, says, "by-urgency"))
        .replace("<RULE>", &nested(8, &rule))
}

/// The dashboard's body. It is a file of its own, so that the template stays short.
fn dashboard(project: &Path) -> Result<String> {
    let body = read(project, "dashboard.json")?;
    Ok(format!("      DashboardBody: !Sub\n        - |\n{}", indented(10, &body)))
}

/// The alarms on the dashboard: as variables of its body, because a literal text cannot leave one out.
fn widgets(alarms: &[Alarm]) -> String {
    let mut text = String::new();
    for (name, urgencies) in [
        ("ActNowAlarms", &[Urgency::Alert, Urgency::ActNow][..]),
        ("TodayAlarms", &[Urgency::Today]),
        ("ThisWeekAlarms", &[Urgency::ThisWeek]),
    ] {
        let arns = list(alarms, urgencies, |alarm| alarm.element(&format!("\"${{{}.Arn}}\"", alarm.id())));
        text = format!("{text}          {name}: !Join\n            - ', '\n{}", nested(12, &arns));
    }
    text
}

/// The names of the alarms that call the pager, also of those that this stack does not have.
fn names(alarms: &[Alarm]) -> String {
    let names = list(alarms, &[Urgency::ActNow], |alarm| format!("- !Sub ${{AWS::StackName}}-{}\n", alarm.name));
    indented(12, &names)
}

fn list(alarms: &[Alarm], urgencies: &[Urgency], line: impl Fn(&Alarm) -> String) -> String {
    alarms.iter().filter(|alarm| urgencies.contains(&alarm.urgency)).map(line).collect()
}

/// A list in a list.
fn nested(columns: usize, lines: &str) -> String {
    indented(columns + 2, lines).replacen(
        &format!("{}- ", " ".repeat(columns + 2)),
        &format!("{}- - ", " ".repeat(columns)),
        1,
    )
}

fn indented(columns: usize, lines: &str) -> String {
    let indent = |line: &str| if line.is_empty() { String::new() } else { " ".repeat(columns) + line };
    lines.lines().fold(String::new(), |text, line| text + &indent(line) + "\n")
}

/// A number, or a text such as `!Ref RejectedBurst`.
fn verbatim(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

// ---------------------------------------------------------------------------------------------- docs/operate.md

fn table(alarms: &[Alarm]) -> String {
    let mut text = "\n| when | alarm | what happened |\n| --- | --- | --- |\n".to_owned();
    for (urgency, when) in [
        (Urgency::Alert, "**now**, an intruder"),
        (Urgency::ActNow, "**now**"),
        (Urgency::Today, "**today**"),
        (Urgency::ThisWeek, "**this week**"),
    ] {
        text += &list(alarms, &[urgency], |Alarm { name, says, .. }| {
            let first = says.split_once(". ").map_or(says.trim_end_matches('.'), |(first, _)| first);
            // The parameter's name alone, because only a stack knows its value.
            let first = first.replace("${", "`").replace('}', "`");
            format!("| {when} | [{name}](#{name}) | {first} |\n")
        });
    }
    text + "\n"
}
