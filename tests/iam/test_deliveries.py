"""The functions do their work with the rights of their roles, on an emulator that enforces IAM."""

import json
import urllib.parse

from cloud import QUEUED, STORED, new_alert, tracebit_api, wait_for
from roles import has_record_of, refusing_bucket
from shared import ROUTING_KEY


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
