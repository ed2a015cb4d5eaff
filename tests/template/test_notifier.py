"""The notifier: how it gets new objects, what its role allows, and when quiet rules count."""

from shared import OWN_ACCOUNT, without
from stack import of_type, properties, source, statements


def test_new_objects_of_alerts_and_failures_reach_the_notifier():
    rule = properties("ObjectCreatedRule", ExistingBucket="my-lake", LakePrefix="logs/")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["my-lake"]},
            "object": {"key": [{"prefix": "logs/tracebit_alert/"}, {"prefix": "logs/classification_failures/"}]},
            "reason": ["PutObject", "CompleteMultipartUpload", {"exists": False}],
        },
    }
    assert rule["State"] == "ENABLED"
    # S3 sends its events to the default bus alone.
    assert "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]) == ("<NotifyQueue.Arn>", {"Arn": "<NotifyDeadLetters.Arn>"})
    queues = ["<NotifyQueue.Arn>", "<NotifyDeadLetters.Arn>"]
    _, _, allowed = properties("NotifyQueuePolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queues,
        "Condition": {"ArnEquals": {"aws:SourceArn": "<ObjectCreatedRule.Arn>"}},
    }


def test_the_notifier_takes_from_its_queue_and_keeps_there_what_it_cannot_tell():
    mapping = of_type("AWS::Lambda::EventSourceMapping")["NotifyFunctionCreated"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"]) == ("<NotifyQueue.Arn>", "<NotifyFunction>")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = properties("NotifyQueue")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<NotifyDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 6 * properties("NotifyFunction")["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= 8 * 3600
    for each in ("NotifyQueue", "NotifyDeadLetters"):
        assert properties(each)["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert properties(each)["SqsManagedSseEnabled"] is True
    metadata = source()["Resources"]["NotifyFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-notify"}
    logging = properties("NotifyFunction")["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<NotifyLogs>")


def test_the_notifiers_role_may_read_publish_and_mark_and_nothing_else():
    lake = "arn:aws:s3:::my-lake/logs/"
    allowed = statements("NotifyRole", ExistingBucket="my-lake", LakePrefix="logs/", EventBusName="security")
    assert [without("Effect", without("Sid", each)) for each in allowed] == [
        {
            "Action": "s3:GetObject",
            "Resource": [f"{lake}tracebit_alert/*", f"{lake}classification_failures/*"],
            "Condition": OWN_ACCOUNT,
        },
        {
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::my-lake",
            "Condition": {"StringLike": {"s3:prefix": "logs/notified/*"}} | OWN_ACCOUNT,
        },
        {
            "Action": "s3:PutObject",
            "Resource": f"{lake}notified/*",
            "Condition": {"Null": {"s3:if-none-match": "false"}} | OWN_ACCOUNT,
        },
        {"Action": "sns:Publish", "Resource": "<AlertTopic>"},
        {"Action": "events:PutEvents", "Resource": "arn:aws:events:eu-west-1:111122223333:event-bus/security"},
        {
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            "Resource": "<NotifyQueue.Arn>",
        },
        {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "<NotifyLogs.Arn>"},
        {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"},
    ]
    assert all(each["Effect"] == "Allow" for each in allowed)


def test_people_hear_of_changed_quiet_rules():
    rule = properties("QuietRulesChangedRule", QuietRules="Yes", LakePrefix="logs/")
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": ["<LakeBucket>"]}, "object": {"key": ["logs/config/quiet.json"]}
    }
    assert [target["Arn"] for target in rule["Targets"]] == ["<AlarmTopic>"]
    assert "QuietRulesChangedRule" not in of_type("AWS::Events::Rule")


def test_quiet_rules_are_read_only_if_they_count():
    key = "arn:aws:s3:::{}/config/quiet.json"
    for parameters, value in [({}, "No"), ({"QuietRules": "Yes"}, "Yes")]:
        assert properties("NotifyFunction", **parameters)["Environment"]["Variables"]["QUIET_RULES"] == value
        statements = properties("NotifyRole", **parameters)["Policies"][0]["PolicyDocument"]["Statement"]
        readable = [each["Resource"] for each in statements if each["Sid"] == "ReadQuietRules"]
        assert readable == ([key.format("<LakeBucket>")] if value == "Yes" else [])
        # The alarm that knows no rules must not wake anybody whom a rule lets sleep.
        assert properties("AlertAlarm", **parameters)["ActionsEnabled"] is (value == "No")
