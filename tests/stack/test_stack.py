"""template.yaml, deployed by an emulator's CloudFormation, and seen from outside: by Tracebit, by those whom an alert
notifies, and by the operator who deploys, updates, repairs and removes it."""

import collections
import datetime
import json
import pathlib
import tempfile
import uuid

import cloud as clouds
import pytest
import yaml
from botocore.exceptions import ClientError
from cloud import ALERT, PATIENCE_SECONDS, QUEUED, ROOT, STORED, new_alert, tracebit_api, wait_for
from siem import bento
from stack import TABLES
from webhook import deploy, webhook
from webhooks import by_an_intruder, problems

# The ways into the function, each with the parameters that open it.
ENDPOINTS = [
    pytest.param({}, id="function-url"),
    pytest.param({"FrontDoor": "HttpApi"}, id="http-api"),
]
# The secret with which events/ are signed.
EVENTS_SECRET = "tracebit-lake-development-secret"
SAMPLES = yaml.safe_load((ROOT / "events" / "samples.yml").read_text())
HEALTH_CHECK = json.loads((ROOT / "events" / "logs" / "health-check.json").read_text())
DUPLICATE = (200, {"stored": 0, "duplicates": 1, "failures": 0})
# What outlives the stack, because it may hold records.
RETAINED = {"LakeBucket", "LakeBucketPolicy", "SpillQueue", "SpillDeadLetters", "ResultsBucket", "ResultsBucketPolicy"}
# What signs the deliveries that wait in the queue.
RETAINED |= {"SharedSecret"}


@pytest.fixture(scope="session")
def cloud():
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        folder = pathlib.Path(folder)
        with clouds.ministack(folder) as cloud:
            cloud.upload(clouds.function_zips(folder))
            yield cloud


def deployed(cloud, **parameters):
    stack = cloud.deploy(**parameters)
    assert stack.status == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    return stack


@pytest.fixture(params=ENDPOINTS)
def stack(cloud, request):
    return deployed(cloud, **request.param)


# ----------------------------------------------------------------------------------------------------------- Tracebit


def test_every_sample_gets_its_answer_and_its_records(stack):
    stack.rotate(EVENTS_SECRET)
    expected = collections.Counter()
    for sample in SAMPLES:
        status, answer = stack.post_event(sample["name"])
        assert status == sample["status"], (sample["name"], answer)
        records = collections.Counter(sample.get("records", {}))
        expected += records
        if status == 200:
            failures = records["classification_failures"]
            counts = {"stored": records.total() - failures, "duplicates": 0, "failures": failures}
            assert answer == counts, sample["name"]
    assert collections.Counter(key.split("/")[0] for key in stack.records()) == expected


def test_a_repeated_delivery_counts_as_a_duplicate(stack):
    alert = new_alert()
    assert [stack.deliver(alert), stack.deliver(alert)] == [STORED, DUPLICATE]
    [record] = stack.records().values()
    assert json.loads(record)["alert_id"] == alert["alert_id"]


def test_the_new_and_the_old_secret_verify_after_a_rotation(stack):
    old, new = stack.secret(), uuid.uuid4().hex
    assert stack.deliver(new_alert(), old) == STORED
    stack.rotate(new)
    assert stack.deliver(new_alert(), new) == STORED
    assert stack.deliver(new_alert(), old) == STORED


def test_a_delivery_waits_in_the_queue_until_the_bucket_is_back(stack, cloud):
    # The message comes back to the drain after seconds, not after a quarter of an hour.
    queue, alert = stack.queue("SpillQueue"), new_alert()
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "2"})
    cloud.client("s3").delete_bucket(Bucket=stack.bucket())
    assert stack.deliver(alert) == QUEUED
    assert queue.waiting() == 1
    cloud.create_bucket(stack.bucket())
    [record] = wait_for(stack.records, "the drain").values()
    assert json.loads(record)["alert_id"] == alert["alert_id"]
    wait_for(lambda: queue.waiting() == 0, "the message to leave the queue")
    assert stack.queue("SpillDeadLetters").waiting() == 0
    assert stack.deliver(alert) == DUPLICATE


# ------------------------------------------------------------------------------------------- those whom it notifies


def test_an_alert_reaches_people_and_machines(stack):
    alert = new_alert()
    people, machines = stack.listen(stack.outputs["AlertTopic"]), stack.follow(alert["alert_id"])
    assert stack.deliver(HEALTH_CHECK) == STORED
    assert stack.deliver(alert) == STORED
    message = json.loads(people.next()["Message"])
    assert message["metadata"]["threadId"] == alert["alert_id"]
    assert ALERT["canary"]["name"] in message["content"]["title"]
    event = machines.next()
    assert (event["source"], event["detail-type"]) == ("tracebit-lake", "Tracebit.Alert")
    [record] = [record for key, record in stack.records().items() if key.startswith("tracebit_alert/")]
    assert event["detail"] == json.loads(record)
    wait_for(lambda: stack.queue("NotifyQueue").waiting() == 0, "the notifier")
    assert stack.queue("NotifyDeadLetters").waiting() == 0
    assert people.waiting() == 0


def test_a_known_scanner_wakes_nobody_and_machines_see_why(cloud):
    cloud.client("events").create_event_bus(Name="security")
    page = "https://acme.example/runbook"
    stack = deployed(cloud, LakePrefix="logs/", EventBusName="security", QuietRules="Yes", RunbookUrl=page)
    expires = datetime.date.today() + datetime.timedelta(days=30)
    rule = {"reason": "our scanner", "expires": f"{expires}", "cidr": "203.0.113.0/24"}
    rules = json.dumps({"rules": [rule]}).encode()
    cloud.client("s3").put_object(Bucket=stack.bucket(), Key="logs/config/quiet.json", Body=rules)
    alert = new_alert()
    people, machines = stack.listen(stack.outputs["AlertTopic"]), stack.follow(alert["alert_id"], bus="security")
    assert stack.deliver(alert) == STORED
    assert machines.next()["detail"]["p_quiet_reason"] == "our scanner"
    # E-mail, SMS and a pager take no message with this attribute.
    assert people.next()["MessageAttributes"]["form"]["Value"] == "chat"
    event = alert["event"] | {"request": alert["event"]["request"] | {"ip": "198.51.100.7"}}
    assert stack.deliver(alert | {"id": str(uuid.uuid4()), "event": event}) == STORED
    assert "p_quiet_reason" not in machines.next()["detail"]
    assert "form" not in people.next().get("MessageAttributes", {})
    notifier = stack.physical_ids()["NotifyFunction"]
    function = cloud.client("lambda").get_function_configuration(FunctionName=notifier)
    assert function["Environment"]["Variables"]["RUNBOOK_URL"] == page


READER = {"SiemReaderArn": "arn:aws:iam::000000000000:role/siem"}


def test_a_siem_reads_every_record_once(cloud, tmp_path):
    stack = deployed(cloud, LakePrefix="security/tracebit/", **READER)
    stack.rotate(EVENTS_SECRET)
    queue, dead_letters = stack.queue("SiemQueue"), stack.queue("SiemDeadLetters")
    with bento(cloud, queue.url, tmp_path) as read:
        for sample in SAMPLES:
            stack.post_event(sample["name"])
        for _ in range(20):
            assert stack.deliver(new_alert()) == STORED
        lake = [(key, line) for key, lines in stack.records().items() for line in lines.decode().splitlines()]
        assert {key.split("/")[2] for key, _ in lake} == set(TABLES)
        wait_for(lambda: len(read()) >= len(lake) and queue.waiting() == 0, "Bento")
        assert sorted(read()) == sorted(lake)
    assert dead_letters.waiting() == 0


def test_a_webhook_is_called_whatever_an_intruder_writes(cloud):
    stack = deployed(cloud)
    with webhook(problems) as (url, calls):
        deploy(stack, url)
        # None of these two notifies.
        stack.deliver(HEALTH_CHECK)
        stack.deliver(new_alert() | {"severity": "Info"})
        hostile = by_an_intruder() | {"id": str(uuid.uuid4()), "alert_id": str(uuid.uuid4())}
        odd = new_alert() | {"canary": {"name": [hostile["message"]]}}
        large = new_alert() | {"message": hostile["message"] * 200}
        assert [stack.deliver(each)[0] for each in (hostile, odd, large)] == [200] * 3
        called = [calls.get(timeout=PATIENCE_SECONDS) for _ in range(3)]
        assert [status for status, _ in called] == [202] * 3, called
        records = [json.loads(record) for record in stack.records().values()]
        rows = [each["p_row_id"] for each in records if "error" in each or each.get("alert_id") == large["alert_id"]]
        assert sorted(body["alias"] for _, body in called) == sorted([hostile["alert_id"], *rows])
        wait_for(lambda: stack.queue("NotifyQueue").waiting() == 0, "the notifier")
        assert calls.empty()


def test_any_webhook_gets_an_event_with_all_that_an_intruder_wrote(cloud):
    stack = deployed(cloud)
    with webhook() as (url, calls):
        deploy(stack, url, Form="Event")
        assert stack.deliver(by_an_intruder()) == STORED
        status, event = calls.get(timeout=PATIENCE_SECONDS)
        assert (status, event["source"], event["detail-type"]) == (202, "tracebit-lake", "Tracebit.Alert")
        [record] = stack.records().values()
        assert event["detail"] == json.loads(record)


# --------------------------------------------------------------------------------------------------------- the watcher

# The parameter takes no address without TLS, so `compare_with` puts another in its place.
LISTS = {"TracebitApiUrl": "https://tracebit.invalid"}
# What a round says of a lake without a fault, apart from Tracebit's list.
WHOLE = {"unpublished": 0, "alert_subscribers": 1, "alarm_subscribers": 0, "problems": []}


def test_a_round_counts_what_is_published_and_who_listens(stack):
    people = stack.listen(stack.outputs["AlertTopic"])
    assert stack.deliver(new_alert()) == STORED
    people.next()
    assert stack.watch() == {"listed": None, "missing": None, "stored": None, **WHOLE}
    assert people.waiting() == 0


def test_an_alert_that_was_not_delivered_is_fetched_and_reaches_people(cloud):
    stack = deployed(cloud, **LISTS)
    people = stack.listen(stack.outputs["AlertTopic"])
    with tracebit_api() as api:
        stack.compare_with(api)
        assert stack.deliver(api.add()) == STORED
        people.next()
        assert stack.watch() == {"listed": 1, "missing": 0, "stored": 0, **WHOLE}
        alert = api.add()
        assert stack.watch() == {"listed": 2, "missing": 1, "stored": 1, **WHOLE}
        assert json.loads(people.next()["Message"])["metadata"]["threadId"] == alert["alert_id"]
        assert stack.watch() == {"listed": 2, "missing": 0, "stored": 0, **WHOLE}
    records = [json.loads(record) for record in stack.records().values()]
    [record] = [record for record in records if record["alert_id"] == alert["alert_id"]]
    assert (record["p_source_label"], record["message"]) == ("tracebit-api", alert["message"])
    assert people.waiting() == 0


def test_without_a_token_a_round_says_so_and_looks_at_the_rest(cloud):
    stack = deployed(cloud, **LISTS)
    stack.listen(stack.outputs["AlertTopic"])
    answer = stack.watch()
    [problem] = answer.pop("problems")
    assert problem.startswith("listed: ") and "not a token" in problem
    assert {**answer, "problems": []} == {"listed": None, "missing": None, "stored": None, **WHOLE}


def test_the_schedule_begins_a_round(cloud):
    stack = deployed(cloud, WatchMinutes="1", **LISTS)
    with tracebit_api() as api:
        stack.compare_with(api)
        alert = api.add()
        [record] = wait_for(stack.records, "the schedule").values()
    assert json.loads(record)["alert_id"] == alert["alert_id"]


# -------------------------------------------------------------------------------------------------------- the operator


def test_an_existing_bucket_and_a_prefix_hold_the_records(cloud):
    bucket = "our-existing-lake"
    cloud.create_bucket(bucket)
    stack = deployed(cloud, ExistingBucket=bucket, LakePrefix="security/tracebit/")
    people, alert = stack.listen(stack.outputs["AlertTopic"]), new_alert()
    assert stack.bucket() == bucket
    assert "LakeBucket" not in stack.physical_ids()
    assert stack.deliver(alert) == STORED
    [key] = stack.records()
    assert key.startswith("security/tracebit/tracebit_alert/day=")
    assert json.loads(people.next()["Message"])["metadata"]["threadId"] == alert["alert_id"]


def test_a_stack_without_a_catalog_and_a_dashboard_stores_and_publishes(cloud):
    older = "arn:aws:kms:us-east-1:000000000000:key/0d9c4a1e-0000-4000-8000-000000000000"
    stack = deployed(cloud, Catalog="None", MakeDashboard="No", OlderKmsKeyArns=f"{older},{older}", RetentionDays="3")
    assert not {"AthenaConsole", "Database", "WorkGroup", "ResultsLocation", "DashboardConsole"} & stack.outputs.keys()
    people, alert = stack.listen(stack.outputs["AlertTopic"]), new_alert()
    assert stack.deliver(alert) == STORED
    assert json.loads(people.next()["Message"])["metadata"]["threadId"] == alert["alert_id"]
    assert stack.watch() == {"listed": None, "missing": None, "stored": None, **WHOLE}


def test_a_bucket_that_does_not_exist_fails_the_deployment(cloud):
    stack = cloud.deploy(ExistingBucket="nobody-has-this-bucket")
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "NoSuchBucket" in stack.events("CREATE_FAILED")["ExistingBucketCheck"]


def test_a_failed_first_deployment_leaves_no_bucket(cloud):
    buckets = lambda: {bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]}
    before = buckets()
    # Somebody else has the name of the database.
    cloud.client("glue").create_database(DatabaseInput={"Name": "taken"})
    stack = cloud.deploy(after={"Database": ["LakeBucket", "ResultsBucket"]}, DatabaseName="taken")
    assert stack.status == "ROLLBACK_COMPLETE"
    assert set(stack.events("CREATE_FAILED")) == {"Database"}
    assert {"LakeBucket", "ResultsBucket"} <= stack.events("CREATE_COMPLETE").keys()
    assert buckets() == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"LakePrefix": "/logs"}, "must be empty or end in a slash"),
        ({"ExistingBucket": "our-lake", "RetentionDays": "30"}, "RetentionDays applies to a new bucket only"),
    ],
)
def test_a_mistyped_parameter_stops_the_deployment(cloud, parameters, message):
    with pytest.raises(ClientError, match=message):
        cloud.deploy(**parameters)


def test_an_update_replaces_nothing(stack):
    alert = new_alert()
    assert stack.deliver(alert) == STORED
    ids, outputs = stack.physical_ids(), stack.outputs
    function = lambda: stack.cloud.client("lambda").get_function_configuration(FunctionName=ids["WebhookFunction"])
    code = function()["CodeSha256"]
    stack.update(version=2, MemorySize="256", NotifySeverity="High", AlarmEmail="security@example.com")
    assert stack.status == "UPDATE_COMPLETE", stack.events("UPDATE_FAILED")
    assert {name: stack.physical_ids()[name] for name in ids} == ids
    assert stack.outputs["WatchCommand"] == outputs["WatchCommand"].replace("Medium", "High")
    assert {**stack.outputs, **{name: outputs[name] for name in ("WhoIsTold", "WatchCommand")}} == outputs
    assert function()["MemorySize"] == 256
    assert function()["CodeSha256"] != code
    assert stack.deliver(alert) == DUPLICATE


def test_the_records_outlive_the_stack_and_a_new_stack_takes_them_over(stack, cloud):
    alert = new_alert()
    assert stack.deliver(alert) == STORED
    ids, bucket, endpoint = stack.physical_ids(), stack.bucket(), stack.endpoint()
    records = stack.records()
    stack.delete()
    assert stack.status == "DELETE_COMPLETE", stack.events("DELETE_FAILED")
    assert set(stack.events("DELETE_SKIPPED")) == RETAINED
    # Nothing answers, and nothing but the records and the queues is left.
    assert endpoint.post(b"{}", {})[0] in (403, 404)
    exists = lambda service, call, **request: call_succeeds(getattr(cloud.client(service), call), **request)
    for name in ["WebhookFunction", "DrainFunction", "NotifyFunction", "WatchFunction"]:
        assert not exists("lambda", "get_function", FunctionName=ids[name]), name
    for name in ["WebhookRole", "DrainRole", "NotifyRole", "WatchRole", "WatchScheduleRole"]:
        assert not exists("iam", "get_role", RoleName=ids[name]), name
    assert not exists("sns", "get_topic_attributes", TopicArn=ids["AlertTopic"])
    assert not exists("scheduler", "get_schedule", Name=ids["WatchSchedule"])
    for name in ["SpillQueue", "SpillDeadLetters"]:
        assert exists("sqs", "get_queue_attributes", QueueUrl=ids[name]), name
    successor = deployed(cloud, ExistingBucket=bucket)
    assert successor.records() == records
    assert successor.deliver(alert) == DUPLICATE


def test_the_endpoint_changes_without_a_gap(cloud):
    stack = deployed(cloud)
    url = stack.endpoint()
    stack.update(FrontDoor="Both")
    assert stack.status == "UPDATE_COMPLETE", stack.events("UPDATE_FAILED")
    api = cloud.endpoint(stack.outputs["HttpApiUrl"])
    assert stack.endpoint().host == url.host != api.host
    assert [stack.deliver(new_alert(), endpoint=endpoint) for endpoint in (url, api)] == [STORED, STORED]
    stack.update(FrontDoor="HttpApi")
    assert stack.status == "UPDATE_COMPLETE", stack.events("UPDATE_FAILED")
    assert stack.endpoint().host == api.host
    assert stack.deliver(new_alert(), endpoint=api) == STORED
    assert url.post(b"{}", {})[0] in (403, 404)


def test_a_new_stack_signs_with_the_secret_that_an_earlier_one_left(cloud):
    stack = deployed(cloud)
    secret, arn = stack.secret(), stack.secret_id
    stack.delete()
    successor = deployed(cloud, ExistingSecretArn=arn)
    assert "SharedSecret" not in successor.physical_ids()
    assert successor.secret_id == arn
    assert successor.deliver(new_alert(), secret) == STORED
    successor.rotate(new := uuid.uuid4().hex)
    assert [successor.deliver(new_alert(), each) for each in (new, secret)] == [STORED, STORED]
    successor.delete()
    assert cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"] == new


def call_succeeds(call, **request):
    try:
        call(**request)
    except ClientError:
        return False
    return True
