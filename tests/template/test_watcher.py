"""The watcher: when it runs, what its role allows, and where its token is."""

import re

import pytest
from shared import KEY, LISTS, OWN_ACCOUNT, without
from stack import alarms, of_type, properties, source, stack, statements


def test_a_schedule_begins_rounds_and_nothing_repeats_one():
    schedule = properties("WatchSchedule")
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"} and "State" not in schedule
    at_most_a_minute = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert schedule["Target"] == {
        "Arn": "<WatchFunction.Arn>",
        "RoleArn": "<WatchScheduleRole.Arn>",
        "RetryPolicy": at_most_a_minute,
    }
    (asynchronous,) = of_type("AWS::Lambda::EventInvokeConfig").values()
    assert at_most_a_minute.items() <= asynchronous.items() and asynchronous["FunctionName"] == "<WatchFunction>"
    assert statements("WatchScheduleRole") == [
        {
            "Sid": "BeginRounds",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": "<WatchFunction.Arn>",
        }
    ]
    (trust,) = properties("WatchScheduleRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }


@pytest.mark.parametrize("minutes", source()["Parameters"]["WatchMinutes"]["AllowedValues"])
def test_a_period_of_the_alarms_is_as_long_as_a_round(minutes):
    rate = properties("WatchSchedule", WatchMinutes=minutes)["ScheduleExpression"]
    # EventBridge wants a singular for 1.
    assert rate == ("rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)")
    declared = alarms(WatchMinutes=minutes, **LISTS)
    for name in ("alerts-missing", "alerts-unpublished", "nobody-listens", "watch-problems", "watch-silent"):
        stats = [part["MetricStat"] for part in declared[name].get("Metrics", []) if "MetricStat" in part]
        assert {each["Period"] for each in stats or [declared[name]]} == {minutes * 60}, name
    assert declared["watch-silent"]["EvaluationPeriods"] * minutes == max(30, 3 * minutes)
    # CloudWatch looks at a day at most.
    assert all(each["EvaluationPeriods"] * each.get("Period", 60) <= 24 * 3600 for each in declared.values())


def test_the_watcher_has_room_for_the_largest_answer_whatever_the_others_have():
    function = properties("WatchFunction", MemorySize=128)
    assert function["MemorySize"] == 512 and function["Timeout"] == 60
    metadata = source()["Resources"]["WatchFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-watch"}
    logging = function["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<WatchLogs>")


WATCHED = ["tracebit_alert", "classification_failures"]


def test_the_watchers_role_may_look_and_send_and_nothing_else():
    lake = "arn:aws:s3:::my-lake/logs/"
    allowed = statements("WatchRole", ExistingBucket="my-lake", LakePrefix="logs/")
    assert [without("Effect", without("Sid", each)) for each in allowed] == [
        {
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::my-lake",
            "Condition": {"StringLike": {"s3:prefix": [f"logs/{name}/*" for name in [*WATCHED, "notified"]]}}
            | OWN_ACCOUNT,
        },
        {"Action": "s3:GetObject", "Resource": [f"{lake}{table}/*" for table in WATCHED], "Condition": OWN_ACCOUNT},
        {"Action": "sqs:SendMessage", "Resource": "<NotifyQueue.Arn>"},
        {"Action": "sns:GetTopicAttributes", "Resource": ["<AlertTopic>", "<AlarmTopic>"]},
        {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "<WatchLogs.Arn>"},
        {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"},
    ]
    assert all(each["Effect"] == "Allow" for each in allowed)


def test_a_watcher_of_tracebits_list_may_also_add_what_is_missing_and_read_its_token():
    before = {each["Sid"]: each for each in statements("WatchRole")}
    allowed = {each["Sid"]: each for each in statements("WatchRole", **LISTS)}
    assert allowed.pop("AddToLake") == {
        "Sid": "AddToLake",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": [f"arn:aws:s3:::<LakeBucket>/{table}/*" for table in WATCHED],
        "Condition": {"Null": {"s3:if-none-match": "false"}} | OWN_ACCOUNT,
    }
    assert without("Sid", allowed.pop("ReadApiToken")) == {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "<ApiTokenSecret>",
    }
    assert allowed == before


def test_url_and_token_are_both_set_or_neither():
    named = ("TRACEBIT_API_URL", "TRACEBIT_API_TOKEN_ARN")
    variables = lambda **parameters: properties("WatchFunction", **parameters)["Environment"]["Variables"]
    assert [variables()[name] for name in named] == ["", ""]
    assert [variables(**LISTS)[name] for name in named] == ["https://acme.tracebit.com", "<ApiTokenSecret>"]
    assert "ApiTokenSecret" not in stack()["Resources"] and "ApiTokenCommand" not in stack()["Outputs"]


@pytest.mark.parametrize("days", [0, 1, 3, 6, 7, 8, 400])
def test_the_watcher_looks_no_further_back_than_records_are_kept(days):
    # 7 is the default of WATCH_DAYS (src/watch/config.rs), and an empty value counts as unset.
    made = stack(RetentionDays=days, **LISTS)
    looked_back = made["Resources"]["WatchFunction"]["Properties"]["Environment"]["Variables"]["WATCH_DAYS"]
    assert (looked_back or 7) == (min(days, 7) if days else 7)
    option = re.search(r" --days (\d+)", made["Outputs"]["WatchCommand"]["Value"])
    assert (int(option[1]) if option else 7) == (looked_back or 7)


def test_the_token_is_in_no_parameter_and_the_command_keeps_it_out_of_the_history():
    made = stack(**LISTS)
    secret = made["Resources"]["ApiTokenSecret"]["Properties"]
    # A bearer token has no space, so the function sends this text to nobody.
    assert " " in secret["SecretString"] and "ApiTokenCommand" in secret["SecretString"]
    assert "KmsKeyId" not in secret
    assert properties("ApiTokenSecret", SecretKmsKeyArn=KEY, **LISTS)["KmsKeyId"] == KEY
    command = made["Outputs"]["ApiTokenCommand"]["Value"]
    assert command.startswith("aws secretsmanager put-secret-value ") and "--secret-id <ApiTokenSecret> " in command
    assert command.endswith("--secret-string file:///dev/stdin")
    assert not [name for name in source()["Parameters"] if "Token" in name]
