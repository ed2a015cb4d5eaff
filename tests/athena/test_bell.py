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
    with servers.moto(tmp_path_factory.mktemp("bell")) as moto:
        yield moto


def client(moto, service):
    options = {"endpoint_url": moto.url, "region_name": servers.CREDENTIALS["AWS_REGION"]}
    return boto3.client(service, **options, aws_access_key_id="x", aws_secret_access_key="y")


class Bell:
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
def bell(moto, tmp_path_factory):
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
            yield Bell(moto, webhook, notifier, people, machines)


def test_an_alert_reaches_people_and_machines(bell):
    [key] = bell.store(ALERT)
    assert bell.notify(key) == {"batchItemFailures": []}
    [message] = bell.received(bell.people)
    notification = json.loads(message["Message"])
    assert notification["source"] == "custom"
    assert notification["metadata"]["threadId"] == ALERT["alert_id"]
    assert ALERT["canary"]["name"] in notification["content"]["title"]
    [event] = bell.received(bell.machines)
    assert (event["source"], event["detail-type"]) == ("tracebit-lake", "Tracebit.Alert")
    stored = bell.moto.s3.get_object(Bucket=servers.BUCKET, Key=key)["Body"].read()
    assert event["detail"] == json.loads(stored)


def test_later_logs_of_an_alert_go_to_chat_alone(bell):
    keys = bell.store(*({**ALERT, "id": f"later-{number}"} for number in range(3)))
    assert bell.notify(*keys) == {"batchItemFailures": []}
    messages = bell.received(bell.people)
    assert [message["MessageAttributes"]["form"]["Value"] for message in messages] == ["chat"] * 3
    assert len(bell.received(bell.machines)) == 3


def test_a_mild_alert_and_a_health_check_ring_nobody(bell):
    check = json.loads((servers.ROOT / "events" / "logs" / "health-check.json").read_text())
    keys = bell.store({**ALERT, "id": "mild", "alert_id": "mild", "severity": "Info"}, check)
    assert bell.notify(*keys) == {"batchItemFailures": []}
    assert bell.received(bell.people) == []
    assert {event["detail-type"] for event in bell.received(bell.machines)} == {"Tracebit.Alert", "Tracebit.HealthCheck"}


def test_an_alert_that_fits_no_schema_rings(bell):
    keys = bell.store({**ALERT, "id": "odd", "alert_id": "odd", "severity": ["High"]})
    assert bell.notify(*keys) == {"batchItemFailures": []}
    [message] = bell.received(bell.people)
    assert "severity: expected string, found array" in message["Message"].replace("\\", "")
    [event] = bell.received(bell.machines)
    assert event["detail-type"] == "ClassificationFailure"


def test_an_object_that_is_gone_stays_in_the_queue(bell):
    [key] = bell.store({**ALERT, "id": "kept", "alert_id": "kept"})
    gone = key.replace("T", "X")
    assert bell.notify(gone, key) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(bell.received(bell.people)) == 1
