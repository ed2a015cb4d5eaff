"""docs/operate.md names the metrics and the alarms that the template has."""

import re

import pytest
from stack import ROOT
from test_template import OPERATE, alarms, of_type



def filtered():
    """The metrics that filters of the template count in logs."""
    filters = of_type("AWS::Logs::MetricFilter", FrontDoor="HttpApi").values()
    return {transformation["MetricName"] for each in filters for transformation in each["MetricTransformations"]}


def section(page, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def test_the_page_explains_the_metrics_that_filters_count():
    assert filtered() <= set(re.findall(r"`(\w+)`", section(OPERATE, "Metrics")))


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
