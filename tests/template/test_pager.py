"""The pager: what PagerDuty gets of alerts and alarms, and that its key is in one place alone."""

import json

import pytest
import yaml
from eventbridge import transformed
from shared import EVERYTHING, HTTP_API, PAGER, ROUTING_KEY, published, without
from stack import ROOT, alarms, properties, source, stack, statements

PAGER_RULES = ["PagerAlertRule", "PagerOtherAlertRule", "PagerAlarmRule", "PagerResolveRule"]
# The alarms that need somebody now. An alert has a rule of its own.
PAGED = [each["name"] for each in yaml.safe_load((ROOT / "alarms.yml").read_text()) if each["urgency"] == "act-now"]


def paged(rule, event):
    """What PagerDuty gets of an event, checked against its documentation of the Events API v2."""
    (target,) = properties(rule, **PAGER)["Targets"]
    sent = transformed(target["InputTransformer"], event)
    # The connection puts the key in.
    (parameter,) = properties("PagerConnection", **PAGER)["AuthParameters"]["InvocationHttpParameters"]["BodyParameters"]
    assert parameter == {"Key": "routing_key", "Value": ROUTING_KEY, "IsValueSecret": True}
    assert sent.keys() <= {"event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}
    assert sent["event_action"] in ("trigger", "resolve") and 0 < len(sent["dedup_key"]) <= 255
    if sent["event_action"] == "trigger":
        payload = sent["payload"]
        optional = {"timestamp", "component", "group", "class", "custom_details"}
        assert payload.keys() - optional == {"summary", "source", "severity"}
        assert 0 < len(payload["summary"]) <= 1024 and payload["source"]
        assert payload["severity"] in ("critical", "error", "warning", "info")
        assert isinstance(payload["custom_details"], dict)
        assert all(each["href"].startswith("https://") for each in sent.get("links", []))
    return sent


def test_a_stack_without_a_pager_has_nothing_for_one():
    made = stack()
    assert not [name for part in made.values() for name in part if name.startswith("Pager")]
    assert "Pager" not in json.dumps(made)


def test_the_key_of_the_pager_is_in_its_connection_alone():
    assert source()["Parameters"]["PagerDutyRoutingKey"]["NoEcho"] is True
    assert json.dumps(stack(**PAGER)).count(ROUTING_KEY) == 1
    destination = properties("PagerDestination", **PAGER)
    assert without("Description", destination) == {
        "ConnectionArn": "<PagerConnection.Arn>",
        "HttpMethod": "POST",
        "InvocationEndpoint": "https://events.pagerduty.com/v2/enqueue",
    }
    assert statements("PagerRole", **PAGER) == [
        {
            "Sid": "CallPagerDuty",
            "Effect": "Allow",
            "Action": "events:InvokeApiDestination",
            "Resource": "<PagerDestination.Arn>",
        }
    ]
    (trust,) = properties("PagerRole", **PAGER)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}


@pytest.mark.parametrize("rule", PAGER_RULES)
def test_what_the_pager_does_not_take_is_a_dead_letter(rule):
    declared = properties(rule, EventBusName="security", **PAGER)
    (target,) = declared["Targets"]
    assert (target["Arn"], target["RoleArn"]) == ("<PagerDestination.Arn>", "<PagerRole.Arn>")
    assert target["DeadLetterConfig"] == {"Arn": "<PagerDeadLetters.Arn>"}
    # CloudWatch sends its events to the default bus alone.
    assert declared.get("EventBusName") == ("security" if "AlertRule" in rule else None)
    _, _, allowed = properties("PagerDeadLettersPolicy", **PAGER)["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "<PagerDeadLetters.Arn>",
        "Condition": {"ArnEquals": {"aws:SourceArn": [f"<{each}.Arn>" for each in PAGER_RULES]}},
    }


def test_an_alert_calls_the_pager():
    log = json.loads((ROOT / "events/logs/alert-aws.json").read_text())
    assert paged("PagerAlertRule", published(log)) == {
        "event_action": "trigger",
        "dedup_key": log["alert_id"],
        "payload": {
            "summary": f"Tracebit Medium: canary_resource_accessed {log['canary']['name']}",
            "source": "lake",
            "severity": "critical",
            "custom_details": {
                "severity": "Medium",
                "kind": "canary_resource_accessed",
                "time": log["timestamp"],
                "provider": "aws",
                "account": log["canary"]["provider_account_id"],
                "canary": log["canary"]["name"],
                "canary type": "AWS::S3::Bucket",
            },
        },
        "links": [{"href": log["tracebit_portal_url"], "text": "The alert in Tracebit"}],
        "client": "tracebit-lake",
    }


def test_nothing_that_an_intruder_writes_keeps_the_pager_quiet():
    log = json.loads((ROOT / "events/logs/alert-aws.json").read_text())
    hostile = 'a"}], <detail> \\ </b> \n"'
    log |= {
        "message": hostile,
        "principal": {"id": hostile},
        "event": {"id": hostile, "operation": hostile, "request": {"user_agent": {"raw": hostile}, "ip": hostile}},
        "unknown": hostile,
    }
    assert paged("PagerAlertRule", published(log))["dedup_key"] == log["alert_id"]
    bare = {"alert_id": "a1", "tracebit_portal_url": "https://acme.tracebit.com/alerts/a1", "canary": None}
    assert paged("PagerAlertRule", published(bare))["dedup_key"] == "a1"
    failure = {"error": hostile, "payload": hostile, "log_type": "Tracebit.Alert", "p_row_id": "00ff"}
    assert paged("PagerOtherAlertRule", published(failure, "ClassificationFailure"))["dedup_key"] == "00ff"


def test_an_alarm_about_lost_alerts_calls_the_pager_and_is_resolved():
    for rule, state in (("PagerAlarmRule", "ALARM"), ("PagerResolveRule", "OK")):
        pattern = properties(rule, **PAGER)["EventPattern"]
        assert pattern == {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "account": ["111122223333"],
            "region": ["eu-west-1"],
            "detail": {"state": {"value": [state]}, "alarmName": [f"lake-{name}" for name in PAGED]},
        }
        # EventBridge takes no longer one, so a stack with a pager has a name of at most 58 characters.
        long = stack({"AWS::StackName": "x" * 58}, **PAGER)["Resources"][rule]["Properties"]["EventPattern"]
        assert len(json.dumps(long, separators=(",", ":"))) <= 2048
    for name in PAGED:
        alarm = alarms(**EVERYTHING, **HTTP_API)[name]
        # The example of CloudWatch's user guide, for this alarm.
        event = {
            "account": "111122223333",
            "region": "eu-west-1",
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "detail": {
                "alarmName": alarm["AlarmName"],
                "configuration": {"description": alarm["AlarmDescription"], "metrics": []},
                "state": {"reason": 'Threshold Crossed: 1 "datapoint"', "value": "ALARM"},
            },
        }
        trigger, resolve = paged("PagerAlarmRule", event), paged("PagerResolveRule", event)
        assert trigger["payload"]["summary"] == f"{alarm['AlarmName']}: {alarm['AlarmDescription']}"
        assert resolve == {"event_action": "resolve", "dedup_key": f"111122223333/eu-west-1/lake-{name}"}
        assert trigger["dedup_key"] == resolve["dedup_key"]


def test_a_pager_is_somebody_who_is_notified():
    notified = lambda **parameters: stack(**PAGER, **parameters)["Outputs"]["WhoIsTold"]["Value"]
    assert notified().startswith("PagerDuty and nobody else. Set AlarmEmail")
    assert notified(AlarmEmail="a@example.com").endswith("links are confirmed), PagerDuty")
