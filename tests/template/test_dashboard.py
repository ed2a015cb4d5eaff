"""The dashboard and the alarms: each metric and alarm is shown, and each alarm notifies people and is explained."""

import json
import re

import pytest
from shared import BOTH, EVERYTHING, HTTP_API, LISTS, METRICS, OPERATE, metric_lines
from stack import alarms, of_type, properties, stack


def test_every_alarm_notifies_people_and_is_explained():
    declared = alarms(**EVERYTHING, **HTTP_API)
    for name, alarm in declared.items():
        assert "<AlarmTopic>" in alarm["AlarmActions"], name
        assert f"### {name}\n" in OPERATE, name
    assert set(re.findall(r"^### ([a-z-]+)$", OPERATE, re.M)) == declared.keys()


def test_metrics_are_of_this_stack_alone():
    for name, alarm in alarms(**EVERYTHING, **HTTP_API).items():
        parts = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part] or [alarm]
        for metric in parts:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert dimensions if metric["Namespace"].startswith("AWS/") else dimensions["Stack"] == "lake", name
    for function in ("WebhookFunction", "DrainFunction", "NotifyFunction", "WatchFunction"):
        assert properties(function)["Environment"]["Variables"]["STACK_NAME"] == "lake"


@pytest.mark.parametrize(
    ("parameters", "metrics"),
    [
        ({}, METRICS),
        ({"HealthCheckSilenceHours": 0}, METRICS),
        (LISTS, METRICS),
        ({"QuietRules": "Yes"}, METRICS),
        (EVERYTHING, METRICS),
        (HTTP_API, METRICS | {"ApiThrottled": None}),
        (BOTH, METRICS | {"ApiThrottled": None}),
    ],
)
def test_the_dashboard_shows_every_alarm_and_every_metric(parameters, metrics):
    body = properties("Dashboard", **parameters)["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    # In this order, because CloudWatch sorts the alarms of a widget by their names.
    shown = [widget["properties"] for widget in widgets if widget["type"] == "alarm"]
    assert [each["title"] for each in shown] == ["Act now", "Today", "This week"]
    declared = of_type("AWS::CloudWatch::Alarm", **parameters)
    for each, begins in zip(shown, ["Act now. ", "Today. ", "This week. "], strict=True):
        urgent = {f"<{name}.Arn>" for name, alarm in declared.items() if alarm["AlarmDescription"].startswith(begins)}
        assert set(each["alarms"]) == urgent

    own = [line for line in metric_lines(widgets) if line[0] == "TracebitLake"]
    assert all(line[2:4] == ["Stack", "lake"] for line in own)
    shown = {line[1]: None for line in own}
    searches = re.findall(r"\{TracebitLake,Stack,(\w+)\} MetricName=\\?\"(\w+)\\?\" Stack=\\?\"lake\\?\"", body)
    shown |= {metric: dimension for dimension, metric in searches}
    assert shown == metrics
    hint = "" if "TracebitApiUrl" in parameters else " (Set TracebitApiUrl to compare the lake with the alerts that Tracebit lists.)"
    assert [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"] == [
        f"## Is there an alert that nobody knows of?{hint}",
        "## Is it alive?",
        "## Was anybody notified? (This stack subscribes nobody: set AlarmEmail, or subscribe somebody to AlertTopic and"
        " AlarmTopic.)",
        "## What came in?",
        "## What went wrong?",
        "## How fast?",
    ]


def test_the_first_row_of_the_dashboard_is_the_chain_in_numbers():
    widgets = json.loads(properties("Dashboard", WatchMinutes=10)["DashboardBody"])["widgets"]
    row = sorted((each for each in widgets if each["y"] == 1), key=lambda each: each["x"])
    assert [[line[1] for line in each["properties"]["metrics"]] for each in row] == [
        ["AlertsListed", "AlertsMissing"],
        ["LogsStored", "LogsRecovered"],
        ["AlertsUnpublished", "WatchProblems"],
        ["AlertSubscribers", "AlarmSubscribers"],
    ]
    assert {each["properties"]["view"] for each in row} == {"singleValue"}
    # What a round counts is shown as the last round counted it, what is stored over the time that the dashboard shows.
    assert [each["properties"]["period"] for each in row] == [600, 300, 600, 600]
    assert [each["properties"].get("setPeriodToTimeRange", False) for each in row] == [False, True, False, False]


URL_METRICS = ["UrlRequestCount", "Url4xxCount", "Url5xxCount", "UrlRequestLatency", "UrlRequestLatency"]
API_METRICS = ["Count", "4xx", "5xx", "Latency", "Latency"]


@pytest.mark.parametrize(
    ("parameters", "url", "api"),
    [({}, URL_METRICS, []), (HTTP_API, [], API_METRICS), (BOTH, URL_METRICS, API_METRICS)],
)
def test_the_dashboard_shows_the_endpoints_own_metrics(parameters, url, api):
    lines = metric_lines(json.loads(properties("Dashboard", **parameters)["DashboardBody"])["widgets"])
    of = lambda *dimension: [line[1] for line in lines if (line[0], *line[2:4]) == dimension]
    shown = of("AWS/Lambda", "FunctionName", "<WebhookFunction>")
    assert [metric for metric in shown if metric not in ("Errors", "Throttles")] == url
    assert of("AWS/ApiGateway", "ApiId", "<Api>") == api
    labels = [line[-1]["label"] for line in lines if line[1] in {*url, *api}]
    assert len(set(labels)) == len(labels), "with both, nobody could tell them apart"


def test_a_stack_need_not_have_a_dashboard_and_loses_nothing_else_with_it():
    every, fewer = stack(**EVERYTHING), stack(MakeDashboard="No", **EVERYTHING)
    assert every["Resources"].keys() - fewer["Resources"].keys() == {"Dashboard"}
    assert every["Outputs"].keys() - fewer["Outputs"].keys() == {"DashboardConsole"}


def test_widgets_do_not_overlap():
    taken = set()
    for widget in json.loads(properties("Dashboard")["DashboardBody"])["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
