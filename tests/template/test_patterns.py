"""The rule of the stack and the patterns of docs/forward.md, each with events that match and events that do not."""

import json
import re

import pytest
from eventbridge import matches, transformed
from shared import EVERYTHING, PAGER, SIEM, log, published
from stack import ROOT, TABLES, of_type, properties


def created(key, bucket="<LakeBucket>"):
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}, "reason": "PutObject"},
    }


def documented(title):
    """The pattern under a heading of docs/forward.md."""
    page = (ROOT / "docs/forward.md").read_text()
    return json.loads(re.search(rf"^### {title}\n(?:(?!^#).*\n)*?```json\n((?:.*\n)*?)```", page, re.M)[1])


# By heading: events that must match, and events that must not.
PATTERNS = {
    "What notifies people": (
        [
            published(log("alert-aws")),
            published(log("alert-okta")),
            published(log("alert-aws") | {"severity": None}),
            published({name: value for name, value in log("alert-aws").items() if name != "severity"}),
            published(log("alert-aws") | {"severity": "Severe"}),
            published({"log_type": "Tracebit.Alert", "error": "id: required"}, "ClassificationFailure"),
        ],
        [
            published(log("alert-aws") | {"severity": "Info"}),
            published(log("alert-aws") | {"severity": "info"}),
            published(log("alert-aws") | {"severity": "LOW"}),
            published(log("alert-aws") | {"p_quiet_reason": "our scanner"}),
            published(log("health-check"), "Tracebit.HealthCheck"),
            published(log("alert-aws")) | {"source": "aws.s3"},
            created("tracebit_alert/day=2026-11-20/hour=02/x.json"),
        ],
    ),
    "A credential that leaked from your CI": (
        [published(log("alert-credential-used"))],
        [
            published(log("alert-aws")),
            published(log("alert-credential-used") | {"canary_credential": None}),
            published(
                log("alert-credential-used")
                | {
                    "canary_credential": {
                        "labels": [
                            {"name": "github.repo", "value": "another/shop"},
                            {"name": "source", "value": "acme/"},
                        ]
                    }
                }
            ),
        ],
    ),
}


@pytest.mark.parametrize("title", PATTERNS)
def test_a_documented_pattern_matches_what_it_should_and_nothing_else(title):
    matching, others = PATTERNS[title]
    assert [each for each in matching if not matches(documented(title), each)] == []
    assert [each for each in others if matches(documented(title), each)] == []


def test_the_stacks_rule_passes_on_new_alerts_and_failures_alone():
    pattern = properties("ObjectCreatedRule", LakePrefix="logs/")["EventPattern"]
    key = "day=2026-11-20/hour=02/20261120T025841Z-0.json"
    assert matches(pattern, created(f"logs/tracebit_alert/{key}"))
    assert matches(pattern, created(f"logs/classification_failures/{key}"))
    others = [f"logs/tracebit_healthcheck/{key}", f"tracebit_alert/{key}", "logs/notified/day=2026-11-20/0.json"]
    assert [each for each in others if matches(pattern, created(each))] == []
    assert not matches(pattern, created(f"logs/tracebit_alert/{key}", "another-bucket"))
    deleted = created(f"logs/tracebit_alert/{key}") | {"detail-type": "Object Deleted"}
    assert not matches(pattern, deleted)
    put = created(f"logs/tracebit_alert/{key}")
    reasons = [{"reason": reason} for reason in ("PutObject", "CompleteMultipartUpload", "CopyObject", "RestoreObject")]
    matched = [matches(pattern, put | {"detail": put["detail"] | reason}) for reason in reasons]
    assert matched == [True, True, False, False]
    del put["detail"]["reason"]
    assert matches(pattern, put)


PAGER_RULES = ["PagerAlertRule", "PagerOtherAlertRule"]
LINK = {"tracebit_portal_url": "https://acme.tracebit.com/alerts/1"}
SEVERITIES = ["Info", "Low", "Medium", "High", "Critical"]


def calls(detail, detail_type="Tracebit.Alert", **parameters):
    """The rules of the pager that an event matches."""
    found = {rule: properties(rule, **PAGER, **parameters)["EventPattern"] for rule in PAGER_RULES}
    return [rule for rule, pattern in found.items() if matches(pattern, published(detail, detail_type))]


@pytest.mark.parametrize("lowest", SEVERITIES)
def test_the_pager_is_called_of_the_severities_that_notify(lowest):
    called = [each for each in SEVERITIES if calls({**LINK, "severity": each.lower()}, NotifySeverity=lowest)]
    assert called == SEVERITIES[SEVERITIES.index(lowest) :]
    for unknown in ({}, {"severity": None}, {"severity": "Severe"}, {"severity": 7}):
        assert calls({**LINK, **unknown}, NotifySeverity=lowest) == ["PagerAlertRule"]


def test_one_rule_calls_the_pager_of_an_alert_and_none_of_a_quiet_one():
    for sample in map(log, ("alert-aws", "alert-okta", "alert-credential-used")):
        assert calls(sample) == ["PagerAlertRule"]
        assert calls(sample | {"p_quiet_reason": "our scanner"}) == []
        for link in (None, "", "http://acme.tracebit.com", 7):
            assert calls(sample | {"tracebit_portal_url": link}) == ["PagerOtherAlertRule"]
    # An alert that is too large for an event.
    digest = {"key": "x", "sha256": "x", "size": 1, "log_type": "Tracebit.Alert", "p_row_id": "x"}
    assert calls(digest) == ["PagerOtherAlertRule"]
    assert calls(digest | {"p_quiet_reason": "our scanner"}) == []
    assert calls({"log_type": "Tracebit.Alert"}, "ClassificationFailure") == ["PagerOtherAlertRule"]
    # These raise an alarm that calls the pager.
    assert calls({"error": "not JSON"}, "ClassificationFailure") == []
    assert calls(log("health-check"), "Tracebit.HealthCheck") == []


def test_the_siems_rule_passes_on_the_three_tables_alone():
    pattern = properties("SiemRule", LakePrefix="logs/", **SIEM)["EventPattern"]
    key = "day=2026-11-20/hour=02/20261120T025841Z-0.json"
    for table in TABLES:
        assert matches(pattern, created(f"logs/{table}/{key}"))
    others = [f"logs/notified/{key}", f"logs/config/{key}", f"tracebit_alert/{key}"]
    assert [each for each in others if matches(pattern, created(each))] == []
    assert not matches(pattern, created(f"logs/tracebit_alert/{key}", "another-bucket"))


def test_a_deleted_record_notifies_people_and_an_expired_one_does_not():
    pattern = properties("RecordDeletedRule", LakePrefix="logs/")["EventPattern"]
    key = "day=2026-11-20/hour=02/20261120T025841Z-0.json"

    def deleted(path, reason="DeleteObject"):
        event = created(path)
        return event | {"detail-type": "Object Deleted", "detail": event["detail"] | {"reason": reason}}

    for table in TABLES:
        assert matches(pattern, deleted(f"logs/{table}/{key}"))
    assert not matches(pattern, deleted(f"logs/tracebit_alert/{key}", "Lifecycle Expiration"))
    assert not matches(pattern, deleted(f"logs/notified/{key}"))
    assert not matches(pattern, deleted(f"another/tracebit_alert/{key}"))
    assert not matches(pattern, created(f"logs/tracebit_alert/{key}"))


def called(name, parameters, invoked_by=None):
    """What CloudTrail sends of a call."""
    caller = {"arn": "arn:aws:sts::111122223333:assumed-role/one/two"} | ({"invokedBy": invoked_by} if invoked_by else {})
    return {
        "source": "aws.sqs" if "queueUrl" in parameters else "aws.sns",
        "detail-type": "AWS API Call via CloudTrail",
        "time": "2026-11-20T02:58:41Z",
        "detail": {
            "eventID": "ab12",
            "eventName": name,
            "userIdentity": caller,
            "sourceIPAddress": "203.0.113.57",
            "requestParameters": parameters,
        },
    }


QUEUE_CALLS = ["SetQueueAttributes", "PurgeQueue", "DeleteQueue", "AddPermission", "RemovePermission"]
TOPIC_CALLS = ["SetTopicAttributes", "DeleteTopic", "Subscribe", "AddPermission", "RemovePermission"]


def test_a_change_of_a_queue_or_topic_that_is_no_deployment_sends_a_message():
    names = of_type("AWS::SQS::Queue", **EVERYTHING)
    queues = [{"queueUrl": f"https://x/111122223333/<{name}.QueueName>"} for name in names]
    topics = [{"topicArn": f"<{name}>"} for name in of_type("AWS::SNS::Topic")]
    subscriptions = [{"subscriptionArn": f"{each['topicArn']}:0d9c"} for each in topics]
    assert (len(queues), len(topics)) == (7, 3)
    changes = [
        ("QueueChangedRule", QUEUE_CALLS, queues),
        ("TopicChangedRule", TOPIC_CALLS, topics),
        ("TopicChangedRule", ["Unsubscribe", "SetSubscriptionAttributes"], subscriptions),
    ]
    for rule, calls, resources in changes:
        pattern = properties(rule, **EVERYTHING)["EventPattern"]
        for name in calls:
            for each in resources:
                assert matches(pattern, called(name, each)), (name, each)
                assert matches(pattern, called(name, each, "config.amazonaws.com")), (name, each)
                assert not matches(pattern, called(name, each, "cloudformation.amazonaws.com")), (name, each)
    for rule, name, each in [
        ("QueueChangedRule", "GetQueueAttributes", queues[0]),
        ("QueueChangedRule", "PurgeQueue", {"queueUrl": "https://x/111122223333/another"}),
        ("QueueChangedRule", "PurgeQueue", {"queueUrl": "https://x/111122223333/our-<SpillQueue.QueueName>"}),
        ("TopicChangedRule", "GetTopicAttributes", topics[0]),
        ("TopicChangedRule", "DeleteTopic", {"topicArn": "<AlertTopic>-of-others"}),
        ("TopicChangedRule", "Unsubscribe", {"subscriptionArn": "<AlertTopic>-of-others:0d9c"}),
    ]:
        assert not matches(properties(rule, **EVERYTHING)["EventPattern"], called(name, each)), (name, each)


@pytest.mark.parametrize(
    ("rule", "resource"),
    [
        ("QueueChangedRule", {"queueUrl": "https://x/111122223333/<SpillQueue.QueueName>"}),
        ("TopicChangedRule", {"topicArn": "<AlertTopic>"}),
    ],
)
def test_the_message_about_a_change_says_who_made_it_and_what_to_do(rule, resource):
    declared = properties(rule, **EVERYTHING)
    # EventBridge takes 2,048 characters. A queue's name has 80 at most, a topic's that of the stack, 128, and 25 more.
    arn = "arn:aws-us-gov:sns:us-gov-west-1:111122223333:" + 153 * "x"
    longest = re.sub(r"<\w+\.QueueName>", 80 * "x", json.dumps(declared["EventPattern"]))
    longest = json.loads(re.sub(r"<\w+Topic>", arn, longest))
    assert len(json.dumps(longest, separators=(",", ":"))) <= 2048
    (target,) = declared["Targets"]
    assert target["Arn"] == "<AlarmTopic>"
    message = transformed(target["InputTransformer"], called("AddPermission", resource))
    for part in ("called AddPermission", "at 2026-11-20T02:58:41Z", "role/one/two, from 203.0.113.57", "event ab12"):
        assert part in message
    title = re.search(r"docs/operate, (.*)\.$", message)[1]
    assert f"## {title}\n" in (ROOT / "docs/operate.md").read_text()
