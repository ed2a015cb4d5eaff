"""The functions need each statement of their roles: without it, a part of their work fails."""

import base64
import contextlib

import pytest
from cloud import QUEUED, STORED, new_alert, tracebit_api, wait_for
from roles import PREFIX, Policy, has_record_of, record_of, refusing_bucket


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
