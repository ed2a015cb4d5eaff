"""The notifier among parts that others wrote: moto's S3, SNS, EventBridge and SQS.

A queue is subscribed to the topic, and another one is the target of a rule on the bus, so that the check reads what a
person and a machine would get.
"""

import json

import boto3
import pytest
import servers

ALERT = json.loads((servers.ROOT / "events" / "logs" / "alert-aws.json").read_text())
ANY_EVENT = json.dumps({"source": ["tracebit-lake"]})


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with servers.moto(tmp_path_factory.mktemp("notify")) as moto:
        yield moto


def client(moto, service):
    options = {"endpoint_url": moto.url, "region_name": servers.CREDENTIALS["AWS_REGION"]}
    return boto3.client(service, **options, aws_access_key_id="x", aws_secret_access_key="y")


class Parts:
    """The two binaries, and the queues behind the topic and the bus."""

    def __init__(self, moto, webhook, notifier, people, machines):
        self.moto, self.webhook, self.notifier = moto, webhook, notifier
        self.people, self.machines = people, machines

    def store(self, *logs):
        """Delivers logs, and returns the keys of the objects that are new."""
        before = self.keys()
        self.webhook.deliver("\n".join(map(json.dumps, logs)).encode())
        return sorted(self.keys() - before)

    def keys(self):
        listed = self.moto.s3.list_objects_v2(Bucket=servers.BUCKET).get("Contents", [])
        return {each["Key"] for each in listed if "/notified/" not in each["Key"]}

    def notify(self, *keys):
        """Sends the notifier the batch that S3's events about these objects make. Returns its answer."""
        events = [{"detail-type": "Object Created", "source": "aws.s3",
                   "detail": {"bucket": {"name": servers.BUCKET}, "object": {"key": key}}} for key in keys]
        records = [{"messageId": str(number), "body": json.dumps(event)} for number, event in enumerate(events)]
        return self.notifier.invoke({"Records": records})

    def received(self, url):
        sqs, messages = client(self.moto, "sqs"), []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                messages.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages


@pytest.fixture(scope="module")
def parts(moto, tmp_path_factory):
    sqs, sns, events = (client(moto, service) for service in ["sqs", "sns", "events"])
    queue = lambda name: sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = lambda url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    people, machines = queue("people"), queue("machines")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn(people))
    events.put_rule(Name="all", EventPattern=ANY_EVENT, State="ENABLED")
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn(machines)}])
    folder, binaries = tmp_path_factory.mktemp("functions"), servers.ROOT / "target" / "debug"
    with servers.function(folder, moto.url, str(binaries / "tracebit-lake")) as webhook:
        settings = {"ALERT_TOPIC_ARN": topic}
        with servers.function(folder, moto.url, str(binaries / "tracebit-lake-notify"), settings) as notifier:
            yield Parts(moto, webhook, notifier, people, machines)


def test_an_alert_reaches_people_and_machines(parts):
    [key] = parts.store(ALERT)
    assert parts.notify(key) == {"batchItemFailures": []}
    [message] = parts.received(parts.people)
    notification = json.loads(message["Message"])
    assert notification["source"] == "custom"
    assert notification["metadata"]["threadId"] == ALERT["alert_id"]
    assert ALERT["canary"]["name"] in notification["content"]["title"]
    [event] = parts.received(parts.machines)
    assert (event["source"], event["detail-type"]) == ("tracebit-lake", "Tracebit.Alert")
    stored = parts.moto.s3.get_object(Bucket=servers.BUCKET, Key=key)["Body"].read()
    assert event["detail"] == json.loads(stored)


def test_later_logs_of_an_alert_go_to_chat_alone(parts):
    keys = parts.store(*({**ALERT, "id": f"later-{number}"} for number in range(3)))
    assert parts.notify(*keys) == {"batchItemFailures": []}
    messages = parts.received(parts.people)
    assert [message["MessageAttributes"]["form"]["Value"] for message in messages] == ["chat"] * 3
    assert len(parts.received(parts.machines)) == 3


def test_a_mild_alert_and_a_health_check_notify_nobody(parts):
    check = json.loads((servers.ROOT / "events" / "logs" / "health-check.json").read_text())
    keys = parts.store({**ALERT, "id": "mild", "alert_id": "mild", "severity": "Info"}, check)
    assert parts.notify(*keys) == {"batchItemFailures": []}
    assert parts.received(parts.people) == []
    assert {event["detail-type"] for event in parts.received(parts.machines)} == {"Tracebit.Alert", "Tracebit.HealthCheck"}


def test_an_alert_that_fits_no_schema_notifies(parts):
    keys = parts.store({**ALERT, "id": "odd", "alert_id": "odd", "severity": ["High"]})
    assert parts.notify(*keys) == {"batchItemFailures": []}
    [message] = parts.received(parts.people)
    assert "severity: expected string, found array" in message["Message"].replace("\\", "")
    [event] = parts.received(parts.machines)
    assert event["detail-type"] == "ClassificationFailure"


def test_an_object_that_is_gone_stays_in_the_queue(parts):
    [key] = parts.store({**ALERT, "id": "kept", "alert_id": "kept"})
    gone = key.replace("T", "X")
    assert parts.notify(gone, key) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(parts.received(parts.people)) == 1
