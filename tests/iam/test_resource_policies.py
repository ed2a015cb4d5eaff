"""Rights to every queue, topic and bus do not suffice: the policies of the resources refuse strangers."""

import re

import pytest
from account import is_refused
from calls import (
    alarm_topic,
    attributes,
    delete,
    keep,
    notify_topic,
    other_queue,
    publish,
    purge,
    put_event,
    receive,
    send,
    spill,
)
from cloud import ROOT

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
