"""docs/examples/webhook-destination.yaml: what a webhook gets of an event, and that nothing else differs from the pager of
template.yaml. tests/stack deploys it beside the lake."""

import copy
import json

import pytest
from eventbridge import transformed
from shared import PAGER, TLS_ONLY, log, published, without
from stack import example, example_source, properties, stack
from webhooks import HOSTILE, by_an_intruder, problems

KEY = "GenieKey 0d9c4a1e-0000-4000-8000-000000000000"
RULES = {"AlertRule": "PagerAlertRule", "OtherAlertRule": "PagerOtherAlertRule"}


def webhook(logical_id, **parameters):
    return example("webhook-destination", HeaderValue=KEY, **parameters)[logical_id]["Properties"]


def target(rule, **parameters):
    (target,) = webhook(rule, **parameters)["Targets"]
    return target


def sent(rule, detail, detail_type="Tracebit.Alert"):
    """What the Alert API gets of an event. It must take it."""
    alert = transformed(target(rule)["InputTransformer"], published(detail, detail_type))
    assert problems(alert) == []
    return alert


def test_an_alert_calls_people():
    alert = log()
    assert sent("AlertRule", alert) == {
        "message": "Tracebit Medium: canary_resource_accessed",
        "alias": alert["alert_id"],
        "priority": "P1",
        "source": "tracebit-lake",
        "description": f"The alert: {alert['tracebit_portal_url']} Canary: acme-payroll-exports. Type: AWS::S3::Bucket."
        f" Account: 210987654321. Time: {alert['timestamp']}.",
    }


@pytest.mark.parametrize("name", ["alert-aws", "alert-azure", "alert-credential-used", "alert-google-cloud", "alert-okta"])
def test_the_api_takes_each_kind_of_alert(name):
    assert sent("AlertRule", log(name))["alias"] == log(name)["alert_id"]


def test_the_api_takes_an_alert_with_long_names_or_without_any():
    names = {"name": "n" * 2048, "type": "t" * 512, "provider_account_id": "a" * 512}
    assert "n" * 2048 in sent("AlertRule", log() | {"canary": names})["description"]
    bare = {"alert_id": "a1", "tracebit_portal_url": "https://acme.tracebit.com/alerts/a1", "canary": None}
    assert sent("AlertRule", bare)["alias"] == "a1"
    # What fits no schema, and what is too large for an event.
    failure = {"error": HOSTILE, "payload": HOSTILE, "log_type": "Tracebit.Alert", "p_row_id": "00ff"}
    assert sent("OtherAlertRule", failure, "ClassificationFailure")["alias"] == "00ff"
    digest = {"key": "x", "sha256": "x", "size": 1, "log_type": "Tracebit.Alert", "p_row_id": "00fe"}
    assert sent("OtherAlertRule", digest)["alias"] == "00fe"


def test_nothing_that_an_intruder_writes_gets_into_the_call():
    assert sent("AlertRule", by_an_intruder()) == sent("AlertRule", log())
    assert sent("OtherAlertRule", {**by_an_intruder(), "p_row_id": "00ff"})["alias"] == "00ff"


@pytest.mark.parametrize("path", ["$.detail.message", "$.detail.event.request.user_agent.raw", "$.detail.event.operation"])
def test_the_text_of_an_intruder_would_break_the_call(path):
    transformer = copy.deepcopy(target("AlertRule")["InputTransformer"])
    transformer["InputPathsMap"]["canary"] = path
    assert transformed(transformer, published(log()))
    with pytest.raises(json.JSONDecodeError):
        transformed(transformer, published(by_an_intruder()))


def test_the_check_of_the_api_can_fail():
    good = sent("AlertRule", log())
    for wrong in ({"message": "x" * 131}, {"message": None}, {"priority": "critical"}, {"alias": ""}, {"more": 1}):
        assert problems(good | wrong), wrong


@pytest.mark.parametrize("rule", RULES)
def test_any_webhook_gets_the_events_as_they_are(rule):
    assert target(rule, Form="Event") == without("InputTransformer", target(rule))
    assert not [name for name in target(rule, Form="Event") if name.startswith("Input")]


@pytest.mark.parametrize(("rule", "pager"), RULES.items())
def test_the_webhook_gets_what_the_pager_gets(rule, pager):
    declared = webhook(rule, EventBusName="security")
    stacks = properties(pager, EventBusName="security", **PAGER)
    assert declared["EventPattern"] == stacks["EventPattern"]
    assert (declared["EventBusName"], declared["State"]) == ("security", "ENABLED")
    (calls,) = stacks["Targets"]
    names = {"Arn": "<Destination.Arn>", "RoleArn": "<Role.Arn>", "DeadLetterConfig": {"Arn": "<DeadLetters.Arn>"}}
    assert without("InputTransformer", target(rule)) == without("InputTransformer", calls) | names | {"Id": "webhook"}


def test_the_key_of_the_webhook_is_in_its_connection_alone():
    assert example_source("webhook-destination")["Parameters"]["HeaderValue"]["NoEcho"] is True
    resources = example("webhook-destination", HeaderValue=KEY)
    assert json.dumps(resources).count(KEY) == 1
    assert resources["Connection"]["Properties"]["AuthParameters"] == {
        "ApiKeyAuthParameters": {"ApiKeyName": "Authorization", "ApiKeyValue": KEY}
    }
    assert resources["Destination"]["Properties"] == {
        "ConnectionArn": "<Connection.Arn>",
        "HttpMethod": "POST",
        "InvocationEndpoint": "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
    }
    role = resources["Role"]["Properties"]
    assert role.keys() == {"AssumeRolePolicyDocument", "Policies"}
    (policy,), (trust,) = role["Policies"], role["AssumeRolePolicyDocument"]["Statement"]
    (allowed,) = policy["PolicyDocument"]["Statement"]
    assert (allowed["Action"], allowed["Resource"]) == ("events:InvokeApiDestination", "<Destination.Arn>")
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}


def test_what_the_webhook_does_not_take_is_a_dead_letter_and_sets_off_an_alarm():
    denied, allowed = webhook("DeadLettersPolicy")["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Principal"], denied["Condition"]) == ("Deny", "*", TLS_ONLY)
    rules = [f"<{rule}.Arn>" for rule in RULES]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": rules}}
    alarm, pagers = webhook("DeadLettersAlarm", LakeStack="lake"), properties("PagerDeadLettersAlarm", **PAGER)
    own = {"AlarmName", "AlarmDescription", "Dimensions", "AlarmActions", "OKActions"}
    judged = lambda alarm: {name: value for name, value in alarm.items() if name not in own}
    assert judged(alarm) == judged(pagers)
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "<DeadLetters.QueueName>"}]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [f"<{stack()['Outputs']['AlarmTopic']['Export']['Name']}>"]
