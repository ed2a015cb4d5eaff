"""The SIEM's queue: what it gets of new objects, and what its reader may do."""

import json
import re
import urllib.parse

from eventbridge import transformed
from shared import READER, SIEM, without
from stack import TABLES, properties, source, stack

SIEM_ELSEWHERE = {**SIEM, "ExistingBucket": "my-lake", "LakePrefix": "logs/"}


def test_a_stack_without_a_siem_has_nothing_for_one():
    made = stack()
    assert not [name for part in made.values() for name in part if name.startswith("Siem")]
    assert "Siem" not in json.dumps(made)


def test_new_objects_of_every_table_reach_the_siems_queue():
    rule = properties("SiemRule", **SIEM_ELSEWHERE)
    notifier = properties("ObjectCreatedRule", ExistingBucket="my-lake", LakePrefix="logs/")["EventPattern"]
    notifier["detail"]["object"]["key"] = [{"prefix": f"logs/{table}/"} for table in TABLES]
    assert rule["EventPattern"] == notifier
    assert rule["State"] == "ENABLED" and "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]) == ("<SiemQueue.Arn>", {"Arn": "<SiemDeadLetters.Arn>"})
    queue = properties("SiemQueue", **SIEM)
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<SiemDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 300
    for each in ("SiemQueue", "SiemDeadLetters"):
        assert properties(each, **SIEM)["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_the_siem_gets_a_notification_as_s3_sends_it():
    key = "logs/tracebit_alert/day=2026-11-20/hour=02/20261120T025841Z-0123456789abcdef0123456789abcdef.json"
    # The example of S3's user guide, with a key of the lake.
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::my-lake"],
        "detail": {
            "version": "0",
            "bucket": {"name": "my-lake"},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }
    (target,) = properties("SiemRule", **SIEM_ELSEWHERE)["Targets"]
    s3 = {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": "my-lake", "arn": "arn:aws:s3:::my-lake"},
        "object": {"key": key, "size": 5, "eTag": "b1946ac92492d2347c6235b4d2611184"},
    }
    assert transformed(target["InputTransformer"], event) == {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "ca-central-1",
                "eventTime": "2021-11-12T00:00:00Z",
                "eventName": "ObjectCreated:Put",
                "s3": s3,
            }
        ]
    }
    # Readers decode a key. No part of one may change by that.
    assert urllib.parse.unquote_plus(key) == key
    prefix = source()["Parameters"]["LakePrefix"]["AllowedPattern"]
    assert not [each for each in map(chr, range(128)) if re.fullmatch(prefix, f"a{each}/") and each in "+%\"\\<>"]


def test_a_siem_may_take_messages_and_get_objects_and_nothing_else():
    queues = ["<SiemQueue.Arn>", "<SiemDeadLetters.Arn>"]
    policy = properties("SiemQueuePolicy", **SIEM)
    assert policy["Queues"] == ["<SiemQueue>", "<SiemDeadLetters>"]
    _, _, *allowed = policy["PolicyDocument"]["Statement"]
    assert [without("Sid", each) for each in allowed] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queues,
            "Condition": {"ArnEquals": {"aws:SourceArn": "<SiemRule.Arn>"}},
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": READER},
            "Action": [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
            ],
            "Resource": "<SiemQueue.Arn>",
        },
    ]
    denied, allowed = properties("LakeBucketPolicy", LakePrefix="logs/", **SIEM)["PolicyDocument"]["Statement"]
    assert [denied] == properties("LakeBucketPolicy")["PolicyDocument"]["Statement"]
    read = {"Sid": "LetTheSiemRead", "Effect": "Allow", "Principal": {"AWS": READER}, "Action": "s3:GetObject"}
    assert allowed == {**read, "Resource": [f"<LakeBucket.Arn>/logs/{table}/*" for table in TABLES]}
    # No stack may change the policy of a bucket that it did not make.
    elsewhere = stack(**SIEM_ELSEWHERE)["Outputs"]
    resources = [f"arn:aws:s3:::my-lake/logs/{table}/*" for table in TABLES]
    assert json.loads(elsewhere["SiemBucketStatement"]["Value"]) == {**read, "Resource": resources}
    assert "SiemBucketStatement" not in stack(**SIEM)["Outputs"]
    assert elsewhere["SiemQueueArn"]["Value"] == "<SiemQueue.Arn>"
