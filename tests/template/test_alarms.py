"""Each alarm on data that must set it off and on data that must not, judged as CloudWatch does (cloudwatch.py)."""

import pytest
from cloudwatch import in_alarm
from test_template import alarms

DAY = 24 * 60
NOTIFY_QUEUE = "<NotifyQueue.QueueName>"
SPILL_QUEUE = "<SpillQueue.QueueName>"
VISIBLE = "ApproximateNumberOfMessagesVisible"
IN_FLIGHT = "ApproximateNumberOfMessagesNotVisible"
NEW_ALERTS = ("LogsStored", "Tracebit.Alert")
PUBLISHED = ("EventsPublished",)


def rings(alarm, data, until=3 * DAY, **parameters):
    """The minutes at which the alarm goes on, from `data` as {(metric, *dimensions): {minute: value}}."""
    declared = alarms(**parameters)[alarm]
    on = [in_alarm(declared, data, minute) for minute in range(until)]
    return [minute for minute in range(1, until) if on[minute] and not on[minute - 1]]


def every(minutes, value, start=0, end=3 * DAY):
    return dict.fromkeys(range(start, end, minutes), value)


# Alarms that one datum of one metric sets off: the metric, and a value that is not enough.
AT_ONCE = [
    ("alert", ("AlertsToNotify",), 1, 0),
    ("unhealthy-health-check", ("UnhealthyHealthChecks",), 1, 0),
    ("signature-mismatch", ("SignatureMismatches",), 1, 0),
    ("stale-secret", ("StaleSecrets",), 1, 0),
    ("unknown-fields", ("UnknownFields",), 1, 0),
    ("unknown-fields", ("UnknownSubtypes",), 1, 0),
    ("classification-failures", ("ClassificationFailures",), 1, 0),
    ("store-errors", ("StoreErrors",), 1, 0),
    ("function-errors", ("Errors", "<WebhookFunction>"), 1, 0),
    ("drain-errors", ("Errors", "<DrainFunction>"), 1, 0),
    ("notify-errors", ("Errors", "<NotifyFunction>"), 1, 0),
    ("throttles", ("Throttles", "<WebhookFunction>"), 1, 0),
    ("rejected-burst", ("Unauthorized",), 100, 99),
    ("spill-queue-depth", (VISIBLE, SPILL_QUEUE), 100, 99),
    ("spill-queue-depth", (IN_FLIGHT, SPILL_QUEUE), 100, 99),
    ("spill-dead-letters", (VISIBLE, "<SpillDeadLetters.QueueName>"), 1, 0),
    ("notify-dead-letters", (VISIBLE, "<NotifyDeadLetters.QueueName>"), 1, 0),
]


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), AT_ONCE)
def test_one_datum_rings(alarm, metric, enough, not_enough):
    assert rings(alarm, {metric: {300: enough}}, 400) == [300]
    assert rings(alarm, {metric: {300: not_enough}}, 400) == []
    assert rings(alarm, {metric: every(1, not_enough and 1, end=400)}, 400) == []
    assert rings(alarm, {}, 400) == []


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), AT_ONCE)
def test_a_datum_that_is_three_minutes_late_rings(alarm, metric, enough, not_enough):
    declared = alarms()[alarm]
    # When the datum of minute 300 arrives, the alarm has judged the windows that end until minute 302.
    assert in_alarm(declared, {metric: {300: enough}}, 303)


HTTP_API = [
    ("rejected-burst", ("Unauthorized",), 100, 99),
    ("throttles", ("ApiThrottled",), 1, 0),
    ("throttles", ("Throttles", "<WebhookFunction>"), 1, 0),
    ("function-errors", ("Errors", "<WebhookFunction>"), 1, 0),
]


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), HTTP_API)
def test_one_datum_rings_at_an_http_api(alarm, metric, enough, not_enough):
    assert rings(alarm, {metric: {300: enough}}, 400, FrontDoor="HttpApi") == [300]
    assert rings(alarm, {metric: {300: not_enough}}, 400, FrontDoor="HttpApi") == []
    assert rings(alarm, {}, 400, FrontDoor="HttpApi") == []
    assert in_alarm(alarms(FrontDoor="HttpApi")[alarm], {metric: {300: enough}}, 303)


def test_two_alerts_of_different_days_set_off_the_alarm_twice():
    assert rings("alert", {("AlertsToNotify",): every(10, 0) | {60: 1, 60 + DAY: 2}}) == [60, 60 + DAY]


def test_silence_rings_when_it_says():
    checks = every(10, 1, end=DAY)
    silent = rings("health-checks-silent", {("HealthChecks",): checks}, HealthCheckSilenceHours=6)
    last = max(checks)
    (minute,) = [each for each in silent if each > last]
    assert 6 * 60 <= minute - last <= 6 * 60 + 1
    assert rings("health-checks-silent", {("HealthChecks",): every(10, 1)}, HealthCheckSilenceHours=6) == []
    hourly_with_gaps = {minute: 1 for minute in range(0, 3 * DAY, 5 * 60)}
    assert rings("health-checks-silent", {("HealthChecks",): hourly_with_gaps}, HealthCheckSilenceHours=6) == []


def test_without_the_filled_hours_silence_would_ring_hours_late():
    declared = alarms(HealthCheckSilenceHours=6)["health-checks-silent"]
    assert declared["Metrics"][0]["Expression"] == "FILL(checks, 0)"
    unfilled = declared | {"Metrics": [declared["Metrics"][0] | {"Expression": "checks"}, *declared["Metrics"][1:]]}
    checks = {("HealthChecks",): every(10, 1, end=DAY)}
    on = lambda alarm: next(minute for minute in range(DAY, 2 * DAY) if in_alarm(alarm, checks, minute))
    assert on(unfilled) - on(declared) >= 60


def test_a_new_stack_is_silent_and_the_first_check_ends_it():
    declared = alarms()["health-checks-silent"]
    assert in_alarm(declared, {}, 0)
    assert not in_alarm(declared, {("HealthChecks",): {0: 1}}, 0)
    assert "health-checks-silent" not in alarms(HealthCheckSilenceHours=0)


def test_a_spill_queue_that_stays_full_rings_within_the_hour_and_a_short_outage_does_not():
    waiting = lambda start, end: {(VISIBLE, SPILL_QUEUE): every(1, 1, start, end)}
    (minute,) = rings("spill-queue-age", waiting(100, 500), 600)
    assert 45 <= minute - 100 <= 60
    assert rings("spill-queue-age", waiting(100, 140), 600) == []
    # The drain has the message for most of the time, and SQS's counts have gaps.
    spotty = {(VISIBLE, SPILL_QUEUE): every(15, 1, 100, 500), (IN_FLIGHT, SPILL_QUEUE): every(4, 1, 100, 500)}
    (minute,) = rings("spill-queue-age", spotty, 600)
    assert 45 <= minute - 100 <= 60


@pytest.mark.parametrize("gap", range(100, 300, 13))
def test_ten_minutes_without_data_do_not_hide_a_full_spill_queue(gap):
    waiting = {(VISIBLE, SPILL_QUEUE): every(1, 1, 100, gap) | every(1, 1, gap + 10, 500)}
    declared = alarms()["spill-queue-age"]
    assert all(in_alarm(declared, waiting, minute) for minute in range(165, 400))


def test_a_notifier_that_falls_behind_rings_within_ten_minutes_and_a_burst_does_not():
    waiting = lambda minutes: {(IN_FLIGHT, NOTIFY_QUEUE): every(1, 5, 100, 100 + minutes)}
    (minute,) = rings("notify-queue-age", waiting(60), 300)
    assert minute - 100 <= 10
    assert rings("notify-queue-age", waiting(5), 300) == []


def test_the_watchdog_rings_within_ten_minutes_of_an_alert_without_an_event():
    (minute,) = rings("bell-silent", {NEW_ALERTS: {100: 1}}, 300)
    assert 5 <= minute - 100 <= 10
    # Events of other alerts, hours before and after, do not hide it.
    (minute,) = rings("bell-silent", {NEW_ALERTS: {20: 1, 100: 1, 200: 1}, PUBLISHED: {20: 1, 200: 1}}, 300)
    assert 5 <= minute - 100 <= 10


@pytest.mark.parametrize("delay", [0, 1, 4])
@pytest.mark.parametrize("stored", range(100, 106))
def test_the_watchdog_is_quiet_where_the_event_followed(stored, delay):
    assert rings("bell-silent", {NEW_ALERTS: {stored: 1}, PUBLISHED: {stored + delay: 1}}, 200) == []


def test_the_watchdog_is_quiet_where_nothing_new_was_stored():
    assert rings("bell-silent", {}, 200) == []
    assert rings("bell-silent", {PUBLISHED: {100: 1}}, 200) == []
    # A log that was in the lake already counts as stored, but S3 sends no event of it.
    assert rings("bell-silent", {("AlertsStored", "High"): {100: 1}}, 200) == []


def test_every_alarm_was_set_off_above():
    tested = {alarm for alarm, *_ in AT_ONCE}
    tested |= {"health-checks-silent", "spill-queue-age", "notify-queue-age", "bell-silent"}
    assert tested == alarms().keys()
