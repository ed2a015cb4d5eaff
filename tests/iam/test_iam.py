"""The roles and the policies of template.yaml on an emulator that enforces IAM. Each does its work, and is refused every
other call that is tried here. A role has no action that none of these calls needs."""

import base64
import contextlib
import copy
import json
import pathlib
import re
import tempfile
import urllib.parse
import uuid

import account as accounts
import pytest
from account import pager_duty
from botocore.exceptions import ClientError
from cloud import QUEUED, ROOT, STORED, Queue, function_zips, new_alert, tracebit_api, wait_for

PREFIX = "security/tracebit/"
ROUTING_KEY = "R0123456789ABCDEF0123456789ABCDE"
OPERATORS = "arn:aws:iam::000000000000:user/operator*"
# What AWS and LocalEmu call a refusal.
REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}

# Role, its inline policy and its function, by what the tests call it.
ROLES = {
    "webhook": ("WebhookRole", "webhook", "WebhookFunction"),
    "drain": ("DrainRole", "drain", "DrainFunction"),
    "notify": ("NotifyRole", "notify", "NotifyFunction"),
    "watch": ("WatchRole", "watch", "WatchFunction"),
}


@pytest.fixture(scope="session")
def account():
    with tempfile.TemporaryDirectory(prefix="iam-") as folder:
        folder = pathlib.Path(folder)
        with accounts.localemu(folder) as account:
            account.upload(function_zips(folder))
            yield account


@pytest.fixture(scope="session")
def siem(account):
    """Whoever reads for the SIEM: a user with no policy of their own."""
    return account.user("siem")


@pytest.fixture(scope="session")
def pager(account):
    """What PagerDuty is sent."""
    with pager_duty() as (account.pager, calls):
        yield calls


@pytest.fixture(scope="session")
def stack(account, siem, pager):
    # The watcher has all its rights if it compares the lake with Tracebit's list. Nobody has this address.
    reader = siem.client("sts").get_caller_identity()["Arn"]
    more = {"SiemReaderArn": reader, "PagerDutyRoutingKey": ROUTING_KEY, "OperatorArn": OPERATORS}
    stack = account.deploy(LakePrefix=PREFIX, TracebitApiUrl="https://tracebit.invalid", **more)
    assert stack.status == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    return stack


def is_refused(call, *arguments, **request):
    """Whether IAM refuses a call. It does not matter what becomes of an allowed one."""
    try:
        call(*arguments, **request)
    except ClientError as error:
        # A fault of the emulator says nothing.
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500, error
        return error.response["Error"]["Code"] in REFUSALS
    return False


# ---------------------------------------------------------------------------------------- the functions do their work


@contextlib.contextmanager
def refusing_bucket(account, stack):
    """The lake's bucket refuses every new object meanwhile."""
    s3, bucket = account.client("s3"), stack.bucket()
    own = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    refusal = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    document = {"Version": "2012-10-17", "Statement": [*json.loads(own)["Statement"], refusal]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=own)


def has_record_of(stack, alert):
    """Whether the lake has this alert."""
    return any(alert["alert_id"].encode() in record for record in stack.records().values())


def test_an_alert_is_stored_and_reaches_people_and_machines(stack):
    alert = new_alert()
    people, machines = stack.listen(stack.outputs["AlertTopic"]), stack.follow(alert["alert_id"])
    assert stack.deliver(alert) == STORED
    assert has_record_of(stack, alert)
    assert json.loads(people.next()["Message"])["metadata"]["threadId"] == alert["alert_id"]
    assert machines.next()["detail"]["alert_id"] == alert["alert_id"]
    wait_for(lambda: stack.queue("NotifyQueue").waiting() == 0, "the notifier")
    assert stack.queue("NotifyDeadLetters").waiting() == 0


def test_a_delivery_waits_in_the_queue_until_the_bucket_takes_it(account, stack):
    # The message comes back to the drain after seconds, not after a quarter of an hour.
    queue, alert = stack.queue("SpillQueue"), new_alert()
    account.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "2"})
    with refusing_bucket(account, stack):
        assert stack.deliver(alert) == QUEUED
        assert queue.waiting() == 1
        assert not has_record_of(stack, alert)
    wait_for(lambda: has_record_of(stack, alert), "the drain")
    wait_for(lambda: queue.waiting() == 0, "the message to leave the queue")
    assert stack.queue("SpillDeadLetters").waiting() == 0


def test_an_alert_that_was_not_delivered_is_fetched_and_reaches_people(stack):
    people = stack.listen(stack.outputs["AlertTopic"])
    with tracebit_api() as api:
        stack.compare_with(api)
        alert = api.add()
        found = stack.watch()
        assert (found["listed"], found["missing"], found["stored"]) == (1, 1, 1)
        # LocalEmu answers zero, however many there are.
        assert (found["alert_subscribers"], found["alarm_subscribers"], found["problems"]) == (0, 0, [])
        thread = lambda: json.loads(people.next()["Message"])["metadata"]["threadId"]
        wait_for(lambda: thread() == alert["alert_id"], "the message")
        assert has_record_of(stack, alert)
        assert stack.watch()["missing"] == 0


def test_an_alert_calls_the_pager(stack, pager):
    alert = new_alert() | {"message": 'She said "<url>" \\ twice'}
    assert stack.deliver(alert) == STORED
    is_about = lambda call: call["dedup_key"] == alert["alert_id"]
    call = wait_for(lambda: next(filter(is_about, called(pager)), None), "the call")
    assert (call["event_action"], call["routing_key"]) == ("trigger", ROUTING_KEY)
    assert call["payload"]["summary"] == f"Tracebit Medium: canary_resource_accessed {alert['canary']['name']}"
    assert call["links"][0]["href"] == alert["tracebit_portal_url"]


def called(pager):
    """What PagerDuty was sent since the last look."""
    while not pager.empty():
        path, call = pager.get()
        assert path == "/v2/enqueue"
        yield call


def test_an_alarm_calls_the_pager_and_its_end_resolves_it(account, stack, pager):
    alarm = f"{stack.name}-alerts-unpublished"
    for value, action in (("ALARM", "trigger"), ("OK", "resolve")):
        detail = {"alarmName": alarm, "configuration": {"description": "Look."}, "state": {"value": value}}
        arn = account.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["AlarmArn"]
        entry = {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change", "Resources": [arn]}
        # No emulator sends this when an alarm is on.
        account.client("events").put_events(Entries=[{**entry, "Detail": json.dumps(detail)}])
        is_about = lambda call: call["dedup_key"].endswith(f"/{alarm}")
        call = wait_for(lambda: next(filter(is_about, called(pager)), None), f"the {action}")
        assert (call["event_action"], call["routing_key"]) == (action, ROUTING_KEY)


def test_a_siem_takes_the_notification_and_reads_the_object(stack, siem):
    alert, sqs, url = new_alert(), siem.client("sqs"), stack.physical_ids()["SiemQueue"]
    assert stack.deliver(alert) == STORED

    def read():
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            [record] = json.loads(message["Body"])["Records"]
            bucket, key = record["s3"]["bucket"]["name"], urllib.parse.unquote_plus(record["s3"]["object"]["key"])
            yield siem.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    wait_for(lambda: any(alert["alert_id"].encode() in body for body in list(read())), "the notification")


# ------------------------------------------------------------------------- each statement is what the work depends on


class Policy:
    """The inline policy of a role, and the function that has it."""

    def __init__(self, account, stack, role):
        ids, (logical_id, self.name, function) = stack.physical_ids(), ROLES[role]
        self.account, self.stack, self.role, self.function = account, stack, ids[logical_id], ids[function]
        self.mapping = ids.get({"drain": "DrainFunctionSpilled", "notify": "NotifyFunctionCreated"}.get(role))
        self.iam = account.client("iam")
        self.document = self.iam.get_role_policy(RoleName=self.role, PolicyName=self.name)["PolicyDocument"]

    @contextlib.contextmanager
    def without(self, sid, action=None):
        """The role has no such statement meanwhile, or lacks one action of it."""
        document = copy.deepcopy(self.document)
        [statement] = [each for each in document["Statement"] if each["Sid"] == sid]
        rest = [each for each in actions(statement) if action is not None and each != action]
        if rest:
            statement["Action"] = rest
        else:
            document["Statement"].remove(statement)
        self.put(document)
        try:
            yield
        finally:
            self.put(self.document)

    def put(self, document):
        self.iam.put_role_policy(RoleName=self.role, PolicyName=self.name, PolicyDocument=json.dumps(document))

    def start_anew(self):
        """Makes the next call start an instance, which remembers no secret and no alert."""
        functions = self.account.client("lambda")
        functions.update_function_configuration(FunctionName=self.function, Description=str(uuid.uuid4()))
        functions.get_waiter("function_updated_v2").wait(FunctionName=self.function)

    @contextlib.contextmanager
    def idle(self):
        """The queue does not invoke the function meanwhile."""
        self.map(enabled=False)
        try:
            yield
        finally:
            self.map(enabled=True)

    def map(self, enabled):
        functions, state = self.account.client("lambda"), "Enabled" if enabled else "Disabled"
        functions.update_event_source_mapping(UUID=self.mapping, Enabled=enabled)
        has_state = lambda: functions.get_event_source_mapping(UUID=self.mapping)["State"] == state
        wait_for(has_state, f"the queue's mapping to be {state}")

    def message_about(self, alert, text):
        """The message about an alert, which `text` finds, from the queue that does not invoke the function."""
        queue = self.stack.queue({"drain": "SpillQueue", "notify": "NotifyQueue"}[self.name])
        while alert["alert_id"].encode() not in text(message := queue.next()):
            pass
        return json.dumps(message)

    def takes(self, message):
        """Whether the function is done with a message of its queue."""
        event = {"Records": [{"messageId": "one", "eventSource": "aws:sqs", "body": message}]}
        answer = self.account.client("lambda").invoke(FunctionName=self.function, Payload=json.dumps(event))
        answer = json.loads(answer["Payload"].read())
        assert answer in ({"batchItemFailures": []}, {"batchItemFailures": [{"itemIdentifier": "one"}]}), answer
        return not answer["batchItemFailures"]


def record_of(stack, event):
    """The record that S3's event is about. LocalEmu encodes the key in it."""
    return stack.records()[urllib.parse.unquote(event["detail"]["object"]["key"])]


def actions(statement):
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.mark.parametrize(
    ("sid", "answer"),
    [("AddToLake", QUEUED), ("ReadSharedSecret", 503), ("SpillWhatIsNotStored", 503)],
)
def test_the_webhook_needs_each_statement(account, stack, sid, answer):
    policy = Policy(account, stack, "webhook")
    policy.start_anew()
    with policy.without(sid), contextlib.ExitStack() as more:
        if sid == "SpillWhatIsNotStored":
            more.enter_context(refusing_bucket(account, stack))
        status, body = stack.deliver(new_alert())
        assert answer in (status, (status, body))
    policy.start_anew()
    assert stack.deliver(new_alert()) == STORED
    wait_for(lambda: stack.queue("SpillQueue").waiting() == 0, "the drain")


@pytest.mark.parametrize("sid", ["AddToLake", "ReadSharedSecret"])
def test_the_drain_needs_each_statement(account, stack, sid):
    policy, alert = Policy(account, stack, "drain"), new_alert()
    with policy.idle():
        with refusing_bucket(account, stack):
            assert stack.deliver(alert) == QUEUED
        message = policy.message_about(alert, lambda message: base64.b64decode(message["body"]))
        policy.start_anew()
        with policy.without(sid):
            assert not policy.takes(message)
            assert not has_record_of(stack, alert)
        policy.start_anew()
        assert policy.takes(message)
        assert has_record_of(stack, alert)


@pytest.mark.parametrize("sid", ["ReadRecords", "TellPeople", "TellMachines"])
def test_the_notifier_needs_each_statement(account, stack, sid):
    policy, alert = Policy(account, stack, "notify"), new_alert()
    with policy.idle():
        assert stack.deliver(alert) == STORED
        message = policy.message_about(alert, lambda message: record_of(stack, message))
        with policy.without(sid):
            assert not policy.takes(message)
        assert policy.takes(message)


def test_the_notifier_marks_nothing_without_its_statement(account, stack):
    policy, alert, s3 = Policy(account, stack, "notify"), new_alert(), account.client("s3")
    markers = lambda: s3.list_objects_v2(Bucket=stack.bucket(), Prefix=f"{PREFIX}notified/")["KeyCount"]
    with policy.idle():
        assert stack.deliver(alert) == STORED
        message, before = policy.message_about(alert, lambda message: record_of(stack, message)), markers()
        with policy.without("MarkAsNotified"):
            # The alert was published, and would be again.
            assert policy.takes(message)
            assert markers() == before
        policy.start_anew()
        assert policy.takes(message)
        assert markers() == before + 1


@pytest.mark.parametrize(
    ("sid", "problem"),
    [
        ("FindRecordsAndMarkers", "published: ListObjectsV2"),
        ("ReadRecords", "could not be looked for in the lake: GetObject"),
        ("AddToLake", "is not in the lake whole: PutObject"),
        ("CountSubscriptions", "heard: subscriptions for alerts: GetTopicAttributes"),
        ("ReadApiToken", "listed: GetSecretValue"),
    ],
)
def test_the_watcher_needs_each_statement(account, stack, sid, problem):
    policy = Policy(account, stack, "watch")
    with tracebit_api() as api:
        stack.compare_with(api)
        # A record beside the alert, which must be read to know that it is another.
        assert stack.deliver(api.add()) == STORED
        alert = api.add()
        with policy.without(sid):
            found = stack.watch()
            assert any(problem in each for each in found["problems"]), found
            is_link_of_records = sid in ("FindRecordsAndMarkers", "ReadRecords", "AddToLake", "ReadApiToken")
            assert has_record_of(stack, alert) != is_link_of_records
        policy.start_anew()
        assert stack.watch()["problems"] == []
        assert has_record_of(stack, alert)


# ---------------------------------------------------------------------------------------------------- who may do what


class Targets:
    """What a call can be aimed at: what the stack creates, and its neighbours in the account."""

    def __init__(self, account, stack):
        self.ids, self.lake, self.secret = stack.physical_ids(), stack.bucket(), stack.secret_id
        self.token = self.ids["ApiTokenSecret"]
        self.name, self.database = stack.name, stack.parameters["DatabaseName"]
        self.results = self.ids["ResultsBucket"]
        s3, sqs = account.client("s3"), account.client("sqs")
        self.alert = f"{PREFIX}tracebit_alert/day=2026-11-20/hour=02/one.json"
        self.health_check = f"{PREFIX}tracebit_healthcheck/day=2026-11-20/hour=02/one.json"
        self.failure = f"{PREFIX}classification_failures/day=2026-11-20/hour=02/one.json"
        self.marker = f"{PREFIX}notified/one"
        self.outside = "security/other/one.json"
        for key in [self.alert, self.health_check, self.failure, self.marker, self.outside]:
            s3.put_object(Bucket=self.lake, Key=key, Body=b"{}")
        s3.put_object(Bucket=self.results, Key="one.csv", Body=b"")
        self.other_bucket, self.other_bus = "another-bucket", "another-bus"
        account.create_bucket(self.other_bucket, notifies=False)
        s3.put_object(Bucket=self.other_bucket, Key=self.alert, Body=b"{}")
        self.other_secret = account.client("secretsmanager").create_secret(Name="other", SecretString="other")["ARN"]
        self.other_queue = Queue.new(sqs, "other").url
        self.other_topic = account.client("sns").create_topic(Name="other")["TopicArn"]
        account.client("events").create_event_bus(Name=self.other_bus)
        # What LocalEmu's CloudFormation does not create.
        glue, athena = account.client("glue"), account.client("athena")
        for database, workgroup in [(self.database, self.name), ("other", "other")]:
            glue.create_database(DatabaseInput={"Name": database})
            glue.create_table(DatabaseName=database, TableInput={"Name": "tracebit_alert"})
            athena.create_work_group(Name=workgroup)

    def log_group(self, role):
        return self.ids[{"webhook": "WebhookLogs", "drain": "DrainLogs", "notify": "NotifyLogs", "watch": "WatchLogs"}[role]]


def put(bucket, key):
    """Adds an object, as the functions do."""
    return lambda use, to: use("s3").put_object(
        Bucket=bucket(to), Key=f"{key(to)}-{uuid.uuid4()}", Body=b"{}", IfNoneMatch="*"
    )


def get(bucket, key):
    return lambda use, to: use("s3").get_object(Bucket=bucket(to), Key=key(to))


def list_keys(bucket, prefix):
    return lambda use, to: use("s3").list_objects_v2(Bucket=bucket(to), Prefix=prefix)


def send(queue):
    return lambda use, to: use("sqs").send_message(QueueUrl=queue(to), MessageBody="{}")


def receive(queue):
    return lambda use, to: use("sqs").receive_message(QueueUrl=queue(to), VisibilityTimeout=0)


def delete(queue):
    return lambda use, to: use("sqs").delete_message(QueueUrl=queue(to), ReceiptHandle="none")


def attributes(queue):
    return lambda use, to: use("sqs").get_queue_attributes(QueueUrl=queue(to), AttributeNames=["All"])


def purge(queue):
    return lambda use, to: use("sqs").purge_queue(QueueUrl=queue(to))


def keep(queue):
    return lambda use, to: use("sqs").change_message_visibility(
        QueueUrl=queue(to), ReceiptHandle="none", VisibilityTimeout=600
    )


def publish(topic):
    return lambda use, to: use("sns").publish(TopicArn=topic(to), Message="test")


def count(topic):
    return lambda use, to: use("sns").get_topic_attributes(TopicArn=topic(to))


def put_event(bus):
    entry = {"Source": "test", "DetailType": "test", "Detail": "{}"}
    return lambda use, to: use("events").put_events(Entries=[{**entry, "EventBusName": bus(to)}])


def make_stream(role):
    return lambda use, to: use("logs").create_log_stream(
        logGroupName=to.log_group(role), logStreamName=str(uuid.uuid4())
    )


def put_log(role):
    event = {"timestamp": 0, "message": "test"}
    return lambda use, to: use("logs").put_log_events(
        logGroupName=to.log_group(role), logStreamName="none", logEvents=[event]
    )


lake, results, another_bucket = lambda to: to.lake, lambda to: to.results, lambda to: to.other_bucket
spill, spill_dead = lambda to: to.ids["SpillQueue"], lambda to: to.ids["SpillDeadLetters"]
notify, notify_dead = lambda to: to.ids["NotifyQueue"], lambda to: to.ids["NotifyDeadLetters"]
other_queue = lambda to: to.other_queue
siem_queue, siem_dead = lambda to: to.ids["SiemQueue"], lambda to: to.ids["SiemDeadLetters"]
notify_topic, alarm_topic = lambda to: to.ids["AlertTopic"], lambda to: to.ids["AlarmTopic"]
WRITERS, ANALYST, SIEM = {"webhook", "drain"}, {"analyst"}, {"siem"}
READERS = {"notify", "watch", "analyst", "siem"}
NOBODY = set()

# Every call that is tried, and who may make it.
CALLS = {
    # The lake.
    "add an alert": (put(lake, lambda to: to.alert), WRITERS | {"watch"}),
    "add a failure": (put(lake, lambda to: to.failure), WRITERS | {"watch"}),
    "add a health check": (put(lake, lambda to: to.health_check), WRITERS),
    "add a marker": (put(lake, lambda to: to.marker), {"notify"}),
    "add an object outside the prefix": (put(lake, lambda to: to.outside), NOBODY),
    "add an object to another bucket": (put(another_bucket, lambda to: to.alert), NOBODY),
    "overwrite a record": (lambda use, to: use("s3").put_object(Bucket=to.lake, Key=to.alert, Body=b"{}"), NOBODY),
    "overwrite a marker": (lambda use, to: use("s3").put_object(Bucket=to.lake, Key=to.marker, Body=b"{}"), NOBODY),
    "delete a record": (lambda use, to: use("s3").delete_object(Bucket=to.lake, Key=to.alert), NOBODY),
    "delete a marker": (lambda use, to: use("s3").delete_object(Bucket=to.lake, Key=to.marker), NOBODY),
    "read an alert": (get(lake, lambda to: to.alert), READERS),
    "read a failure": (get(lake, lambda to: to.failure), READERS),
    "read a marker": (get(lake, lambda to: to.marker), NOBODY),
    "read a health check": (get(lake, lambda to: to.health_check), ANALYST | SIEM),
    "read an object outside the prefix": (get(lake, lambda to: to.outside), NOBODY),
    "read another bucket": (get(another_bucket, lambda to: to.alert), NOBODY),
    "list the lake": (list_keys(lake, PREFIX), NOBODY),
    "list the markers": (list_keys(lake, f"{PREFIX}notified/"), {"notify", "watch"}),
    "list the alerts": (list_keys(lake, f"{PREFIX}tracebit_alert/"), {"watch", "analyst"}),
    "list the failures": (list_keys(lake, f"{PREFIX}classification_failures/"), {"watch", "analyst"}),
    "list the health checks": (list_keys(lake, f"{PREFIX}tracebit_healthcheck/"), ANALYST),
    "list outside the prefix": (list_keys(lake, "security/other/"), NOBODY),
    "list the whole bucket": (lambda use, to: use("s3").list_objects_v2(Bucket=to.lake), NOBODY),
    "list the versions": (lambda use, to: use("s3").list_object_versions(Bucket=to.lake, Prefix=PREFIX), NOBODY),
    "locate the lake": (lambda use, to: use("s3").get_bucket_location(Bucket=to.lake), ANALYST),
    "read the lake's policy": (lambda use, to: use("s3").get_bucket_policy(Bucket=to.lake), NOBODY),
    "drop the lake's policy": (lambda use, to: use("s3").delete_bucket_policy(Bucket=to.lake), NOBODY),
    "delete the lake": (lambda use, to: use("s3").delete_bucket(Bucket=to.lake), NOBODY),
    "list the buckets": (lambda use, to: use("s3").list_buckets(), NOBODY),
    # The results of queries.
    "write a result": (put(results, lambda to: "result.csv"), ANALYST),
    "read a result": (get(results, lambda to: "one.csv"), ANALYST),
    "list the results": (list_keys(results, ""), ANALYST),
    "list the uploads of results": (lambda use, to: use("s3").list_multipart_uploads(Bucket=to.results), ANALYST),
    "list the parts of a result": (
        lambda use, to: use("s3").list_parts(Bucket=to.results, Key="one.csv", UploadId="none"),
        ANALYST,
    ),
    "abort the upload of a result": (
        lambda use, to: use("s3").abort_multipart_upload(Bucket=to.results, Key="one.csv", UploadId="none"),
        ANALYST,
    ),
    "locate the results": (lambda use, to: use("s3").get_bucket_location(Bucket=to.results), ANALYST),
    "delete a result": (lambda use, to: use("s3").delete_object(Bucket=to.results, Key="one.csv"), NOBODY),
    # The secrets.
    "read the API's token": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.token), {"watch"}),
    "change the API's token": (
        lambda use, to: use("secretsmanager").put_secret_value(SecretId=to.token, SecretString="x"),
        NOBODY,
    ),
    "read the secret": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.secret), WRITERS),
    "read another secret": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.other_secret), NOBODY),
    "change the secret": (
        lambda use, to: use("secretsmanager").put_secret_value(SecretId=to.secret, SecretString="x"),
        NOBODY,
    ),
    "describe the secret": (lambda use, to: use("secretsmanager").describe_secret(SecretId=to.secret), NOBODY),
    "list the secrets": (lambda use, to: use("secretsmanager").list_secrets(), NOBODY),
    # The queues.
    "send to the spill queue": (send(spill), {"webhook"}),
    "receive from the spill queue": (receive(spill), {"drain"}),
    "delete from the spill queue": (delete(spill), {"drain"}),
    "look at the spill queue": (attributes(spill), {"drain"}),
    "purge the spill queue": (purge(spill), NOBODY),
    "send to the drain's dead letters": (send(spill_dead), NOBODY),
    "receive from the drain's dead letters": (receive(spill_dead), NOBODY),
    "send to the notifier's queue": (send(notify), {"watch"}),
    "receive from the notifier's queue": (receive(notify), {"notify"}),
    "delete from the notifier's queue": (delete(notify), {"notify"}),
    "look at the notifier's queue": (attributes(notify), {"notify"}),
    "send to the notifier's dead letters": (send(notify_dead), NOBODY),
    "receive from the notifier's dead letters": (receive(notify_dead), NOBODY),
    "send to the SIEM's queue": (send(siem_queue), NOBODY),
    "receive from the SIEM's queue": (receive(siem_queue), SIEM),
    "delete from the SIEM's queue": (delete(siem_queue), SIEM),
    "keep a message of the SIEM's queue": (keep(siem_queue), SIEM),
    "look at the SIEM's queue": (attributes(siem_queue), SIEM),
    "find the SIEM's queue": (
        lambda use, to: use("sqs").get_queue_url(QueueName=siem_queue(to).split("/")[-1]),
        SIEM,
    ),
    "change the SIEM's queue": (
        lambda use, to: use("sqs").set_queue_attributes(QueueUrl=siem_queue(to), Attributes={"DelaySeconds": "0"}),
        NOBODY,
    ),
    "purge the SIEM's queue": (purge(siem_queue), NOBODY),
    "send to the SIEM's dead letters": (send(siem_dead), NOBODY),
    "receive from the SIEM's dead letters": (receive(siem_dead), NOBODY),
    "send to another queue": (send(other_queue), NOBODY),
    "receive from another queue": (receive(other_queue), NOBODY),
    "list the queues": (lambda use, to: use("sqs").list_queues(), NOBODY),
    # The topics and the buses.
    "publish an alert": (publish(notify_topic), {"notify"}),
    "publish an alarm": (publish(alarm_topic), NOBODY),
    "count who gets alerts": (count(notify_topic), {"watch"}),
    "count who gets alarms": (count(alarm_topic), {"watch"}),
    "count who gets another topic": (count(lambda to: to.other_topic), NOBODY),
    "list who gets alerts": (
        lambda use, to: use("sns").list_subscriptions_by_topic(TopicArn=to.ids["AlertTopic"]),
        NOBODY,
    ),
    "publish to another topic": (publish(lambda to: to.other_topic), NOBODY),
    "subscribe to the alerts": (
        lambda use, to: use("sns").subscribe(
            TopicArn=to.ids["AlertTopic"], Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:000000000000:other"
        ),
        NOBODY,
    ),
    "put an event on the bus": (put_event(lambda to: "default"), {"notify"}),
    "put an event on another bus": (put_event(lambda to: to.other_bus), NOBODY),
    "remove the rule's target": (
        lambda use, to: use("events").remove_targets(Rule=to.ids["ObjectCreatedRule"], Ids=["notifier"]),
        NOBODY,
    ),
    # Logs and traces.
    **{f"make a log stream of the {role}": (make_stream(role), {role}) for role in ROLES},
    **{f"write to a log of the {role}": (put_log(role), {role}) for role in ROLES},
    "make a log group": (lambda use, to: use("logs").create_log_group(logGroupName=str(uuid.uuid4())), NOBODY),
    "read a log": (
        lambda use, to: use("logs").get_log_events(logGroupName=to.log_group("webhook"), logStreamName="none"),
        NOBODY,
    ),
    "send a trace": (lambda use, to: use("xray").put_trace_segments(TraceSegmentDocuments=["{}"]), set(ROLES)),
    "send telemetry": (
        lambda use, to: use("xray").put_telemetry_records(TelemetryRecords=[{"Timestamp": 0}]),
        set(ROLES),
    ),
    # Athena and Glue.
    "list the workgroups": (lambda use, to: use("athena").list_work_groups(), ANALYST),
    "list the catalogs": (lambda use, to: use("athena").list_data_catalogs(), ANALYST),
    "list the saved queries": (lambda use, to: use("athena").list_named_queries(WorkGroup=to.name), ANALYST),
    "list the queries of another workgroup": (
        lambda use, to: use("athena").list_named_queries(WorkGroup="other"),
        NOBODY,
    ),
    "list the history": (lambda use, to: use("athena").list_query_executions(WorkGroup=to.name), ANALYST),
    "look at the workgroup": (lambda use, to: use("athena").get_work_group(WorkGroup=to.name), ANALYST),
    "change the workgroup": (lambda use, to: use("athena").update_work_group(WorkGroup=to.name), NOBODY),
    "run a query": (
        lambda use, to: use("athena").start_query_execution(QueryString="SELECT 1", WorkGroup=to.name),
        ANALYST,
    ),
    "run a query in another workgroup": (
        lambda use, to: use("athena").start_query_execution(QueryString="SELECT 1", WorkGroup="other"),
        NOBODY,
    ),
    "save a query": (
        lambda use, to: use("athena").create_named_query(
            Name="one", Database=to.database, QueryString="SELECT 1", WorkGroup=to.name
        ),
        ANALYST,
    ),
    "read a table's columns": (
        lambda use, to: use("glue").get_table(DatabaseName=to.database, Name="tracebit_alert"),
        ANALYST,
    ),
    "read another database's table": (
        lambda use, to: use("glue").get_table(DatabaseName="other", Name="tracebit_alert"),
        NOBODY,
    ),
    "list the tables": (lambda use, to: use("glue").get_tables(DatabaseName=to.database), ANALYST),
    "look at the database": (lambda use, to: use("glue").get_database(Name=to.database), ANALYST),
    "list the databases": (lambda use, to: use("glue").get_databases(), ANALYST),
    "drop a table": (
        lambda use, to: use("glue").delete_table(DatabaseName=to.database, Name="tracebit_alert"),
        NOBODY,
    ),
    # The functions and the roles themselves.
    "invoke the drain": (lambda use, to: use("lambda").invoke(FunctionName=to.ids["DrainFunction"]), NOBODY),
    "invoke the watcher": (
        lambda use, to: use("lambda").invoke(FunctionName=to.ids["WatchFunction"], InvocationType="Event"),
        {"schedule"},
    ),
    "stop the schedule": (lambda use, to: use("scheduler").delete_schedule(Name=to.ids["WatchSchedule"]), NOBODY),
    "change the function": (
        lambda use, to: use("lambda").update_function_configuration(FunctionName=to.ids["WebhookFunction"], Timeout=1),
        NOBODY,
    ),
    "read a policy": (
        lambda use, to: use("iam").get_role_policy(RoleName=to.ids["WebhookRole"], PolicyName="webhook"),
        NOBODY,
    ),
    "change a policy": (
        lambda use, to: use("iam").delete_role_policy(RoleName=to.ids["WebhookRole"], PolicyName="webhook"),
        NOBODY,
    ),
}


@pytest.fixture(scope="session")
def targets(account, stack):
    return Targets(account, stack)


@pytest.fixture(scope="session")
def callers(account, stack, siem):
    ids = stack.physical_ids()
    roles = {name: account.role(ids[role]) for name, (role, *_) in ROLES.items()}
    schedule, analyst = account.role(ids["WatchScheduleRole"]), account.user("analyst", ids["AnalystPolicy"])
    return {**roles, "schedule": schedule, "analyst": analyst, "siem": siem}


@pytest.mark.parametrize("caller", [*ROLES, "schedule", "analyst", "siem"])
@pytest.mark.parametrize("call", CALLS)
def test_nobody_may_do_more_or_less_than_this(callers, targets, caller, call):
    make, allowed = CALLS[call]
    assert is_refused(make, callers[caller].client, targets) == (caller not in allowed)


@pytest.mark.parametrize(
    ("caller", "call"),
    [
        ("webhook", "add an alert"),
        ("webhook", "send to the spill queue"),
        ("drain", "receive from the spill queue"),
        ("notify", "receive from the notifier's queue"),
        ("notify", "publish an alert"),
        ("watch", "add an alert"),
        ("watch", "read an alert"),
        ("watch", "send to the notifier's queue"),
        ("analyst", "read an alert"),
        ("analyst", "read a result"),
        ("siem", "read an alert"),
        ("siem", "receive from the SIEM's queue"),
    ],
)
def test_nobody_may_do_it_without_tls(callers, targets, caller, call):
    make, _ = CALLS[call]
    assert is_refused(make, lambda service: callers[caller].client(service, scheme="http"), targets)


@pytest.mark.parametrize("caller", ROLES)
def test_no_role_has_an_action_that_no_call_needs(account, stack, callers, targets, caller):
    policy = Policy(account, stack, caller)
    calls = [make for make, allowed in CALLS.values() if caller in allowed]
    needless = []
    for statement in policy.document["Statement"]:
        for action in actions(statement):
            with policy.without(statement["Sid"], action):
                if not any(is_refused(make, callers[caller].client, targets) for make in calls):
                    needless.append((statement["Sid"], action))
    assert not needless


# ------------------------------------------------------------------------------- rights to every queue and every topic

QUEUES = [
    "SpillQueue",
    "SpillDeadLetters",
    "NotifyQueue",
    "NotifyDeadLetters",
    "PagerDeadLetters",
    "SiemQueue",
    "SiemDeadLetters",
]
TOPICS = ["AlertTopic", "AlarmTopic", "ActNowTopic"]
# What changes or reads the messages of a queue.
MESSAGES = {"send": send, "receive": receive, "delete": delete, "keep": keep, "purge": purge}


def named(name):
    return lambda to: to.ids[name]


@pytest.fixture(scope="session")
def intruder(account):
    """Somebody whose own policy allows everything with queues, topics and buses."""
    return account.user("intruder", actions=["sqs:*", "sns:*", "events:*"])


@pytest.fixture(scope="session")
def operator(account):
    return account.user("operator-1", actions=["sqs:*", "sns:*"])


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("action", MESSAGES)
def test_rights_to_every_queue_do_not_reach_messages(intruder, operator, targets, queue, action):
    call = MESSAGES[action](named(queue))
    assert is_refused(call, intruder.client, targets)
    assert not is_refused(call, operator.client, targets)


@pytest.mark.parametrize("topic", TOPICS)
def test_rights_to_every_topic_do_not_forge_a_message(intruder, operator, targets, topic):
    assert is_refused(publish(named(topic)), intruder.client, targets)
    assert is_refused(publish(named(topic)), operator.client, targets)
    entries = [{"Id": "one", "Message": "test"}]
    batch = lambda use, to: use("sns").publish_batch(TopicArn=to.ids[topic], PublishBatchRequestEntries=entries)
    assert is_refused(batch, intruder.client, targets)


@pytest.mark.parametrize(
    "call", [send(other_queue), receive(other_queue), attributes(spill), publish(lambda to: to.other_topic)]
)
def test_the_intruder_has_these_rights_elsewhere(intruder, targets, call):
    assert not is_refused(call, intruder.client, targets)


@pytest.mark.parametrize(
    ("rule", "queue"),
    [
        ("ObjectCreatedRule", "NotifyQueue"),
        ("ObjectCreatedRule", "NotifyDeadLetters"),
        ("SiemRule", "SiemQueue"),
        ("SiemRule", "SiemDeadLetters"),
        ("PagerAlertRule", "PagerDeadLetters"),
        ("PagerOtherAlertRule", "PagerDeadLetters"),
        ("PagerAlarmRule", "PagerDeadLetters"),
        ("PagerResolveRule", "PagerDeadLetters"),
    ],
)
def test_a_rule_sends_to_its_own_queues_alone(account, stack, targets, rule, queue):
    rules = stack.physical_ids()
    arn = account.client("events").describe_rule(Name=rules[rule].split("|")[-1])["Arn"]
    events = account.service("events.amazonaws.com", arn)
    assert not is_refused(send(named(queue)), events.client, targets)
    assert is_refused(receive(named(queue)), events.client, targets)
    for other in ("SpillQueue", "SpillDeadLetters"):
        assert is_refused(send(named(other)), events.client, targets)
    another_rule = account.service("events.amazonaws.com", f"{arn}-of-somebody-else")
    another_service = account.service("s3.amazonaws.com", arn)
    assert is_refused(send(named(queue)), another_rule.client, targets)
    assert is_refused(send(named(queue)), another_service.client, targets)


@pytest.mark.parametrize("service", ["cloudwatch.amazonaws.com", "events.amazonaws.com"])
def test_alarms_and_rules_of_this_account_publish_alarms_alone(account, targets, service):
    own = account.service(service, "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:one")
    assert not is_refused(publish(alarm_topic), own.client, targets)
    assert is_refused(publish(notify_topic), own.client, targets)
    assert is_refused(publish(named("ActNowTopic")), own.client, targets) == (service != "cloudwatch.amazonaws.com")
    theirs = account.service(service, "arn:aws:cloudwatch:eu-west-1:444455556666:alarm:one", "444455556666")
    assert is_refused(publish(alarm_topic), theirs.client, targets)
    other = account.service("ses.amazonaws.com", "arn:aws:ses:eu-west-1:000000000000:identity/one")
    assert is_refused(publish(alarm_topic), other.client, targets)


def test_a_bus_with_the_policy_of_the_page_takes_events_of_the_notifier_alone(account, callers, targets, intruder):
    section = (ROOT / "SECURITY.md").read_text().split("## How to know a genuine event\n")[1]
    policy = re.search(r"```json\n(.*?)```", section, re.S)[1]
    role = targets.ids["NotifyRole"]
    words = {"PARTITION": "aws", "REGION": "eu-west-1", "ACCOUNT": "000000000000", "NAME": "default", "ROLE": role}
    policy = re.sub(r"\b[A-Z]{4,}\b", lambda word: words[word[0]], policy)
    events, put = account.client("events"), put_event(lambda to: "default")
    assert not is_refused(put, intruder.client, targets)
    events.put_permission(EventBusName="default", Policy=policy)
    try:
        assert is_refused(put, intruder.client, targets)
        assert not is_refused(put, callers["notify"].client, targets)
    finally:
        events.remove_permission(EventBusName="default", RemoveAllPermissions=True)
    assert not is_refused(put, intruder.client, targets)
