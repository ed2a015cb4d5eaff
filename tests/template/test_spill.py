"""The queues: who may send and take their messages, and how the drain takes what has spilled."""

import pytest
from shared import EVERYTHING, OPERATORS, READER, TLS_ONLY, without
from stack import of_type, properties, source, statements


def test_what_spills_is_kept_for_14_days_and_encrypted():
    for queue in ["SpillQueue", "SpillDeadLetters"]:
        declared = properties(queue)
        assert declared["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert declared["SqsManagedSseEnabled"] is True


MESSAGES = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue"]


@pytest.mark.parametrize(
    ("policy", "queues", "principals"),
    [
        ("SpillQueuePolicy", ["SpillQueue", "SpillDeadLetters"], ["<WebhookRole.Arn>", "<DrainRole.Arn>"]),
        ("NotifyQueuePolicy", ["NotifyQueue", "NotifyDeadLetters"], ["<NotifyRole.Arn>", "<WatchRole.Arn>"]),
        ("PagerDeadLettersPolicy", ["PagerDeadLetters"], []),
        ("SiemQueuePolicy", ["SiemQueue", "SiemDeadLetters"], [READER]),
    ],
)
def test_a_queue_takes_tls_alone_and_its_messages_are_for_its_functions(policy, queues, principals):
    declared = properties(policy, **EVERYTHING)
    assert declared["Queues"] == [f"<{queue}>" for queue in queues]
    tls, others, *allowed = declared["PolicyDocument"]["Statement"]
    resource = [f"<{queue}.Arn>" for queue in queues] if len(queues) > 1 else f"<{queues[0]}.Arn>"
    everybody = {"Effect": "Deny", "Principal": "*", "Resource": resource}
    assert without("Sid", tls) == {**everybody, "Action": "sqs:*", "Condition": TLS_ONLY}
    condition = {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}
    except_for = lambda arns: {**condition, "ArnNotLikeIfExists": {"aws:PrincipalArn": arns}}
    refused = {**everybody, "Action": MESSAGES}
    assert without("Sid", others) == {**refused, "Condition": except_for(principals) if principals else condition}
    # An operator is one more, and gets no right by it.
    _, others, *same = properties(policy, **EVERYTHING, OperatorArn=OPERATORS)["PolicyDocument"]["Statement"]
    more = except_for([*principals, OPERATORS] if principals else OPERATORS)
    assert (without("Sid", others), same) == ({**refused, "Condition": more}, allowed)


def test_every_queue_has_a_policy():
    policies = of_type("AWS::SQS::QueuePolicy", **EVERYTHING).values()
    covered = [queue for policy in policies for queue in policy["Queues"]]
    assert sorted(covered) == sorted(f"<{queue}>" for queue in of_type("AWS::SQS::Queue", **EVERYTHING))


def test_an_account_that_reads_for_the_siem_is_each_of_its_principals():
    policy = properties("SiemQueuePolicy", SiemReaderArn="arn:aws:iam::444455556666:root")
    _, others, *_ = policy["PolicyDocument"]["Statement"]
    assert others["Condition"]["ArnNotLikeIfExists"] == {"aws:PrincipalArn": ["arn:aws:iam::444455556666:*"]}


def test_a_spilled_payload_is_tried_for_days_before_it_is_a_dead_letter():
    queue = properties("SpillQueue")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<SpillDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 6 * properties("DrainFunction")["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] > 7 * 24 * 3600
    # What the function takes for the limit of a message. A dead letter is as large.
    assert queue["MaximumMessageSize"] == 1024 * 1024
    assert properties("SpillDeadLetters")["MaximumMessageSize"] == queue["MaximumMessageSize"]


def test_the_drain_takes_from_the_queue_and_keeps_there_what_it_cannot_file():
    mapping = of_type("AWS::Lambda::EventSourceMapping")["DrainFunctionSpilled"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"]) == ("<SpillQueue.Arn>", "<DrainFunction>")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # An event holds 6 MB.
    assert mapping["BatchSize"] * properties("SpillQueue")["MaximumMessageSize"] < 6_000_000
    metadata = source()["Resources"]["DrainFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-drain"}
    logging = properties("DrainFunction")["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<DrainLogs>")


def test_the_drain_has_the_settings_of_the_function_but_for_the_queue():
    webhook = properties("WebhookFunction")["Environment"]["Variables"]
    drain = properties("DrainFunction")["Environment"]["Variables"]
    assert drain == without("SPILL_QUEUE_URL", webhook)


def test_the_drains_role_is_the_functions_with_the_other_end_of_the_queue():
    webhook = {each["Sid"]: each for each in statements()}
    drain = {each["Sid"]: each for each in statements("DrainRole")}
    del webhook["SpillWhatIsNotStored"]
    assert drain.pop("TakeFromQueue") == {
        "Sid": "TakeFromQueue",
        "Effect": "Allow",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "Resource": "<SpillQueue.Arn>",
    }
    assert drain.pop("WriteLogs")["Resource"] == "<DrainLogs.Arn>"
    del webhook["WriteLogs"]
    assert drain == webhook
