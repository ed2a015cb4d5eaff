"""docs/operate.md and docs/contract.md name the metrics that the code writes and the alarms that the template has."""

import re

import pytest
import yaml
from stack import ROOT
from test_template import METRICS, alarms, of_type

SOURCES = sorted((ROOT / "src").rglob("*.rs"))
OPERATE = (ROOT / "docs/operate.md").read_text()
CONTRACT = (ROOT / "docs/contract.md").read_text()


def written():
    """Each metric that the code writes, with the dimension that it has besides Stack, if any."""
    metrics = {}
    source = (ROOT / "src/metrics.rs").read_text()
    calls = re.findall(r'(?:\.by\("(\w+)"[^;]*?)?\.(?:count|metric)\(\s*"(\w+)"', source)
    metrics |= {name: dimension or None for dimension, name in calls}
    for schema in (ROOT / "schemas").glob("*.yml"):
        for rule in yaml.safe_load(schema.read_text()).get("metrics", []):
            metrics[rule["name"]] = rule["by"]["dimension"] if "by" in rule else None
    return metrics


def filtered():
    """The metrics that filters of the template count in logs."""
    filters = of_type("AWS::Logs::MetricFilter", FrontDoor="HttpApi").values()
    return {transformation["MetricName"] for each in filters for transformation in each["MetricTransformations"]}


def section(page, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def test_one_file_writes_all_metrics():
    assert [path.name for path in SOURCES if re.search("CloudWatchMetrics|cloud_watch_metrics", path.read_text())] == [
        "metrics.rs"
    ]


def test_the_dashboards_metrics_are_those_that_are_written():
    assert written() == METRICS


def test_the_runbook_explains_every_metric_that_is_written_and_no_other():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (?:`(\w+)`)? ?\| ", section(OPERATE, "Metrics"), re.M)
    explained = {name: dimension or None for names, dimension in rows for name in re.findall(r"`(\w+)`", names)}
    assert explained == written()
    assert filtered() <= set(re.findall(r"`(\w+)`", section(OPERATE, "Metrics")))


def test_the_contract_lists_every_metric_that_is_written_and_no_other():
    metrics = re.search(r"CloudWatch makes these metrics.*?\[operate\.md\]", CONTRACT, re.S)[0]
    names = set(re.findall(r"`([A-Z][A-Za-z]+)`", metrics)) - {"TracebitLake"}
    assert names - set(filter(None, written().values())) == written().keys()
    dimensions = re.findall(r"`(\w+)`\s\(by\s`(\w+)`\)", metrics)
    assert dict(dimensions) == {name: dimension for name, dimension in written().items() if dimension}


@pytest.mark.parametrize("name", alarms())
def test_alarms_that_the_runbooks_name_exist(name):
    runbook = re.search(rf"^### {name}\n(.*?)(?=^##)", OPERATE, re.M | re.S)[1]
    followed = re.findall(r"[Ff]ollow (?:the steps of )?`([a-z-]+)`|alarm `([a-z-]+)`", runbook)
    assert {name for pair in followed for name in pair if name} <= alarms().keys()


def test_the_bill_counts_the_alarms():
    assert re.search(r"alarms \((\d+);", section(OPERATE, "What it costs"))[1] == str(len(alarms()))


def test_the_costs_of_the_notifier_add_up():
    performance = (ROOT / "docs/performance.md").read_text()
    table = re.search(r"### What the notifier adds\n.*?\n\n(\|.*?)\n\n", performance, re.S)[1]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for column in (2, 3):
        *parts, total = [float(row[column] or 0) for row in rows]
        assert round(sum(parts), 2) == total
    year = float(rows[-1][2]) * 30 * 365 / 1e6
    assert f"thirty new alerts a day cost {round(100 * year)} cents a year" in performance
