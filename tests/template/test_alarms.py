"""Each alarm on data that must set it off and on data that must not, judged as CloudWatch does (cloudwatch.py)."""

import pytest
import yaml
from cloudwatch import Unsettled, in_alarm, key
from shared import EVERYTHING, HTTP_API, LISTS, METRICS, PAGER, SIEM
from stack import ROOT, alarms, of_type, source

DAY = 24 * 60
NOTIFY_QUEUE = "<NotifyQueue.QueueName>"
SPILL_QUEUE = "<SpillQueue.QueueName>"
VISIBLE = "ApproximateNumberOfMessagesVisible"
IN_FLIGHT = "ApproximateNumberOfMessagesNotVisible"
ROUND = ("WatchProblems",)
# One log line has both, zero too.
WRITTEN_TOGETHER = [{("UnknownFields",), ("UnknownSubtypes",)}]
# What WatchMinutes may be.
MINUTES = source()["Parameters"]["WatchMinutes"]["AllowedValues"]


def goes_on(alarm, data, until=3 * DAY, **parameters):
    """The minutes at which the alarm begins, from `data` as {(metric, *dimensions): {minute: value}}."""
    declared = alarms(**{**SIEM, **PAGER, **parameters})[alarm]
    data = written(data)
    on = [in_alarm(declared, data, minute) for minute in range(until)]
    return [minute for minute in range(until) if on[minute] and not (minute and on[minute - 1])]


def written(data):
    """These data with what comes with them."""
    data = dict(data)
    for pair in WRITTEN_TOGETHER:
        for metric in pair & data.keys():
            (other,) = pair - {metric}
            data.setdefault(other, dict.fromkeys(data[metric], 0))
    return data


def every(minutes, value, start=0, end=3 * DAY):
    return dict.fromkeys(range(start, end, minutes), value)


# Alarms that one datum of one metric raises: the metric, and a value that is not enough.
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
    ("notify-errors", ("Errors", "<NotifyFunction>"), 1, 0),
    ("alerts-unpublished", ("AlertsUnpublished",), 1, 0),
    ("messages-not-delivered", ("NumberOfNotificationsFailed", "<AlertTopic.TopicName>"), 1, 0),
    ("alarms-not-delivered", ("NumberOfNotificationsFailed", "<AlarmTopic.TopicName>"), 1, 0),
    ("urgent-alarms-not-delivered", ("NumberOfNotificationsFailed", "<ActNowTopic.TopicName>"), 1, 0),
    ("notify-events-lost", ("InvocationsFailedToBeSentToDlq", "<ObjectCreatedRule>"), 1, 0),
    ("siem-events-lost", ("InvocationsFailedToBeSentToDlq", "<SiemRule>"), 1, 0),
    ("throttles", ("Throttles", "<WebhookFunction>"), 1, 0),
    ("rejected-burst", ("Unauthorized",), 100, 99),
    ("spill-dead-letters", (VISIBLE, "<SpillDeadLetters.QueueName>"), 1, 0),
    ("notify-dead-letters", (VISIBLE, "<NotifyDeadLetters.QueueName>"), 1, 0),
    ("pager-dead-letters", (VISIBLE, "<PagerDeadLetters.QueueName>"), 1, 0),
    ("siem-dead-letters", (VISIBLE, "<SiemDeadLetters.QueueName>"), 1, 0),
    ("siem-queue-age", ("ApproximateAgeOfOldestMessage", "<SiemQueue.QueueName>"), 3600, 3599),
]


def alarm_of_one_metric(name, alarm):
    return name, key(alarm), alarm["Threshold"], alarm["Threshold"] - 1


# An alarm that alarms.yml adds in the plain form is among them without a line above.
AT_ONCE += [
    alarm_of_one_metric(name, alarm)
    for name, alarm in alarms(**SIEM, **PAGER).items()
    if name not in {listed for listed, *_ in AT_ONCE} and "MetricName" in alarm
    and alarm["ComparisonOperator"].startswith("GreaterThan") and alarm.get("DatapointsToAlarm") == 1
]


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), AT_ONCE)
def test_one_datum_sets_it_off(alarm, metric, enough, not_enough):
    assert goes_on(alarm, {metric: {300: enough}}, 400) == [300]
    assert goes_on(alarm, {metric: {300: not_enough}}, 400) == []
    assert goes_on(alarm, {metric: every(1, not_enough and 1, end=400)}, 400) == []
    assert goes_on(alarm, {}, 400) == []


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), AT_ONCE)
def test_a_datum_that_is_three_minutes_late_sets_it_off(alarm, metric, enough, not_enough):
    declared = alarms(**SIEM, **PAGER)[alarm]
    # When the datum of minute 300 arrives, the alarm has judged the windows that end until minute 302.
    assert in_alarm(declared, written({metric: {300: enough}}), 303)


def test_quiet_rules_that_cannot_be_used_set_it_off_for_an_hour():
    quiet = {"QuietRules": "Yes"}
    assert "quiet-rules" not in alarms()
    assert goes_on("quiet-rules", {("VoidQuietRules",): {300: 1}}, 400, **quiet) == [300]
    assert goes_on("quiet-rules", {("VoidQuietRules",): {300: 0}}, 400, **quiet) == []


AT_AN_HTTP_API = [
    ("rejected-burst", ("Unauthorized",), 100, 99),
    ("api-throttles", ("ApiThrottled",), 1, 0),
    ("throttles", ("Throttles", "<WebhookFunction>"), 1, 0),
    ("function-errors", ("Errors", "<WebhookFunction>"), 1, 0),
]


@pytest.mark.parametrize(("alarm", "metric", "enough", "not_enough"), AT_AN_HTTP_API)
def test_one_datum_sets_it_off_at_an_http_api(alarm, metric, enough, not_enough):
    assert goes_on(alarm, {metric: {300: enough}}, 400, FrontDoor="HttpApi") == [300]
    assert goes_on(alarm, {metric: {300: not_enough}}, 400, FrontDoor="HttpApi") == []
    assert goes_on(alarm, {}, 400, FrontDoor="HttpApi") == []
    assert in_alarm(alarms(FrontDoor="HttpApi")[alarm], {metric: {300: enough}}, 303)


def test_two_alerts_of_different_days_set_off_the_alarm_twice():
    assert goes_on("alert", {("AlertsToNotify",): every(10, 0) | {60: 1, 60 + DAY: 2}}) == [60, 60 + DAY]


def test_silence_sets_it_off_when_it_says():
    checks = every(10, 1, end=DAY)
    silent = goes_on("health-checks-silent", {("HealthChecks",): checks}, HealthCheckSilenceHours=6)
    last = max(checks)
    (minute,) = [each for each in silent if each > last]
    assert 6 * 60 <= minute - last <= 6 * 60 + 1
    assert goes_on("health-checks-silent", {("HealthChecks",): every(10, 1)}, HealthCheckSilenceHours=6) == []
    hourly_with_gaps = {minute: 1 for minute in range(0, 3 * DAY, 5 * 60)}
    assert goes_on("health-checks-silent", {("HealthChecks",): hourly_with_gaps}, HealthCheckSilenceHours=6) == []


def test_without_the_filled_hours_silence_would_be_seen_hours_late():
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


# A message waits, or is in flight until a function that could not handle it gets it again. SQS writes the second count only
# if there are such messages.
QUEUES = [
    ("spill-queue-age", (VISIBLE, SPILL_QUEUE)),
    ("spill-queue-retries", (IN_FLIGHT, SPILL_QUEUE)),
    ("notify-queue-age", (VISIBLE, NOTIFY_QUEUE)),
    ("notify-queue-retries", (IN_FLIGHT, NOTIFY_QUEUE)),
]


@pytest.mark.parametrize(("alarm", "count"), QUEUES[:2])
def test_a_spill_queue_sets_it_off_after_an_hour_and_a_short_outage_does_not(alarm, count):
    waiting = lambda start, end: {count: every(1, 1, start, end)}
    (minute,) = goes_on(alarm, waiting(100, 500), 600)
    assert 45 <= minute - 100 <= 60
    assert goes_on(alarm, waiting(100, 140), 600) == []


def test_a_message_that_the_drain_has_most_of_the_time_sets_one_off_though_counts_have_gaps():
    spotty = {(VISIBLE, SPILL_QUEUE): every(15, 1, 100, 500), (IN_FLIGHT, SPILL_QUEUE): every(4, 1, 100, 500)}
    (minute,) = goes_on("spill-queue-retries", spotty, 600)
    assert 45 <= minute - 100 <= 60
    assert goes_on("spill-queue-age", spotty, 600) == []


@pytest.mark.parametrize("gap", range(100, 300, 13))
def test_ten_minutes_without_data_do_not_hide_a_full_spill_queue(gap):
    waiting = {(VISIBLE, SPILL_QUEUE): every(1, 1, 100, gap) | every(1, 1, gap + 10, 500)}
    declared = alarms()["spill-queue-age"]
    assert all(in_alarm(declared, waiting, minute) for minute in range(165, 400))


@pytest.mark.parametrize(("alarm", "count"), QUEUES[2:])
def test_a_notifier_that_falls_behind_sets_it_off_and_a_burst_does_not(alarm, count):
    waiting = lambda minutes: {count: every(1, 5, 100, 100 + minutes)}
    (minute,) = goes_on(alarm, waiting(60), 300)
    assert minute - 100 <= 10
    assert goes_on(alarm, waiting(5), 300) == []


def test_unhealthy_checks_send_one_message_however_often_they_come():
    for minutes in (60, 12 * 60, DAY - 1):
        unhealthy = every(minutes, 1, start=60, end=2 * DAY)
        # A delivery without a health check writes a 0.
        found = {("UnhealthyHealthChecks",): every(50, 0, end=2 * DAY) | unhealthy}
        assert goes_on("unhealthy-health-check", found, 2 * DAY) == [60]


# ------------------------------------------------------------------------------------------ what AWS does not document


def summed(expression):
    """An alarm over two metrics, as some were before."""
    metric = lambda name: {"Namespace": "N", "MetricName": name, "Dimensions": []}
    part = lambda name: {"Id": name, "ReturnData": False, "MetricStat": {"Metric": metric(name), "Stat": "Sum", "Period": 60}}
    return {
        "AlarmName": "sum",
        "Metrics": [{"Id": "both", "Expression": expression}, part("a"), part("b")],
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1,
        "TreatMissingData": "notBreaching",
    }


def test_an_alarm_may_not_depend_on_what_fill_makes_of_a_metric_that_never_existed():
    filled = summed("FILL(a, 0) + FILL(b, 0)")
    with pytest.raises(Unsettled):
        in_alarm(filled, {("a",): {5: 1}}, 5)
    with pytest.raises(Unsettled):
        in_alarm(filled, {("a",): {5: 1}, ("b",): {6: 0}}, 5)
    assert in_alarm(filled, {("a",): {5: 1}, ("b",): {1: 0}}, 5)
    # Without FILL nothing is undocumented, but such metrics must come together.
    assert not in_alarm(summed("a + b"), {("a",): {5: 1}}, 5)
    assert in_alarm(summed("a + b"), {("a",): {5: 1}, ("b",): {5: 0}}, 5)


def test_only_a_metric_whose_absence_is_the_fault_is_filled():
    filled = {name for name, alarm in alarms(**EVERYTHING, **HTTP_API).items() if "FILL" in str(alarm.get("Metrics"))}
    assert filled == {"health-checks-silent", "watch-silent"}


# What a healthy stack writes: each round, each health check, and SQS's and Lambda's counts.
HEALTHY = {
    **{(name,): every(5, 0, start=4, end=180) for name in METRICS if METRICS[name] is None},
    **{(name,): every(5, 2, start=4, end=180) for name in ("AlertSubscribers", "AlarmSubscribers")},
    ("HealthChecks",): every(10, 1, start=8, end=180),
    **{(VISIBLE, queue): every(1, 0, end=180) for queue in (NOTIFY_QUEUE, SPILL_QUEUE, "<SiemQueue.QueueName>")},
    **{(name, "<WebhookFunction>"): every(10, 0, start=8, end=180) for name in ("Errors", "Throttles")},
}


@pytest.mark.parametrize("parameters", [EVERYTHING, {**EVERYTHING, **HTTP_API}])
def test_a_healthy_new_stack_sets_off_nothing_after_its_first_round_and_health_check(parameters):
    for name, alarm in alarms(**parameters).items():
        until = {"health-checks-silent": 8, "watch-silent": 4}.get(name, 0)
        assert [minute for minute in range(0, 180) if in_alarm(alarm, HEALTHY, minute)] == list(range(until)), name


def test_a_stack_without_any_data_is_in_the_two_alarms_about_silence():
    on = {name for name, alarm in alarms(**EVERYTHING, **HTTP_API).items() if in_alarm(alarm, {}, 300)}
    assert on == {"health-checks-silent", "watch-silent"}


# --------------------------------------------------------------------------------------------------------- alarms.yml

LISTED = yaml.safe_load((ROOT / "alarms.yml").read_text())
URGENT = {each["name"] for each in LISTED if each["urgency"] == "act-now"}


def test_each_alarm_says_how_urgent_it_is_and_where_its_runbook_is():
    begins = {"alert": "Act now. ", "act-now": "Act now. ", "today": "Today. ", "this-week": "This week. "}
    longest = "https://" + "x" * 300
    for each in LISTED:
        for parameters, page in [({}, "docs/operate"), ({"RunbookUrl": longest}, longest)]:
            text = alarms(**EVERYTHING, **HTTP_API, **parameters)[each["name"]]["AlarmDescription"]
            assert text.startswith(begins[each["urgency"]]) and text.endswith(f". Runbook: {page}#{each['name']}")
            # PagerDuty's summary has 1,024 characters, too, with the alarm's name before it. A quotation mark would break it.
            assert len("x" * 128 + f"-{each['name']}: {text}") <= 1024 and not set(text) & set('"\\\n'), each["name"]


@pytest.mark.parametrize("parameters", [{}, EVERYTHING, {"HealthCheckSilenceHours": 0}, HTTP_API])
def test_one_alarm_is_on_while_any_alarm_is_that_needs_somebody_now(parameters):
    (composite,) = of_type("AWS::CloudWatch::CompositeAlarm", **parameters).values()
    assert composite["AlarmName"] == "lake-act-now"
    present = {
        logical_id
        for logical_id, each in of_type("AWS::CloudWatch::Alarm", **parameters).items()
        if each["AlarmName"].removeprefix("lake-") in URGENT
    }
    assert set(composite["AlarmRule"].split(" OR ")) == {f'ALARM("<{each}>")' for each in present}
    # Several alarms are one state here, so its message would come once for all of them.
    assert not {"AlarmActions", "OKActions"} & set(composite)


def test_a_pager_that_takes_messages_of_sns_gets_each_urgent_alarm_and_nobody_gets_two_e_mails():
    for each in LISTED:
        alarm = alarms(**EVERYTHING, **HTTP_API)[each["name"]]
        calls = ["<ActNowTopic>"] if each["urgency"] == "act-now" else []
        assert alarm["AlarmActions"] == ["<AlarmTopic>", *calls], each["name"]
        assert [topic for topic in alarm.get("OKActions", []) if topic != "<AlarmTopic>"] == calls, each["name"]
    assert not [each for each in of_type("AWS::SNS::Subscription", AlarmEmail="a@b.example").values() if "ActNow" in str(each)]


def test_the_end_is_said_where_it_means_that_the_fault_is_over():
    for each in LISTED:
        said = "<AlarmTopic>" in alarms(**EVERYTHING, **HTTP_API)[each["name"]].get("OKActions", [])
        assert said == bool(each.get("says_ok")), each["name"]
        # What looks at single events ends by itself.
        assert not said or not {"Errors", "Throttles", "NumberOfNotificationsFailed"} & {each.get("metric")}


def test_own_metrics_of_alarms_exist():
    named = {each["metric"] for each in LISTED if "metric" in each and "namespace" not in each}
    assert named - METRICS.keys() == {"ApiThrottled"}


# ------------------------------------------------------------------------------------------------------- the watcher


def rounds(minutes, values, start=0):
    """One value after another, from a round each."""
    return {start + number * minutes: value for number, value in enumerate(values)}


@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize(
    ("alarm", "metric"), [("alerts-unpublished", "AlertsUnpublished"), ("alerts-missing", "AlertsMissing")]
)
def test_a_broken_link_sets_off_one_alarm_until_it_is_whole(alarm, metric, minutes):
    found = rounds(minutes, [0] * 10 + [3] * 7 + [0] * 10)
    assert goes_on(alarm, {(metric,): found}, 27 * minutes, WatchMinutes=minutes, **LISTS) == [10 * minutes]
    declared, last = alarms(WatchMinutes=minutes, **LISTS)[alarm], 16 * minutes
    # It stays on while any of three rounds found something, and is off with the third that found nothing.
    assert in_alarm(declared, {(metric,): found}, last + 3 * minutes - 1)
    assert not in_alarm(declared, {(metric,): found}, last + 3 * minutes)
    assert goes_on(alarm, {(metric,): rounds(minutes, [0] * 27)}, 27 * minutes, WatchMinutes=minutes, **LISTS) == []


@pytest.mark.parametrize("minutes", MINUTES)
def test_a_round_that_comes_a_minute_early_or_late_does_not_set_it_off_again(minutes):
    jitter = [0, 1, -1, 0, 1, 1, -1, 0, 0, -1] if minutes > 2 else [0] * 10
    found = {20 + number * minutes + shift: 1 for number, shift in enumerate(jitter)}
    until = 20 + 10 * minutes
    assert goes_on("alerts-unpublished", {("AlertsUnpublished",): found}, until, WatchMinutes=minutes) == [20]


@pytest.mark.parametrize("minutes", [each for each in MINUTES if each > 1])
def test_of_two_rounds_in_a_period_one_that_found_something_and_one_without_problems_count(minutes):
    both = rounds(minutes, [1] * 30) | rounds(minutes, [0] * 30, start=1)
    on = lambda alarm, metric: goes_on(alarm, {metric: both}, 30 * minutes, WatchMinutes=minutes, **LISTS)
    assert on("alerts-unpublished", ("AlertsUnpublished",)) == on("alerts-missing", ("AlertsMissing",)) == [0]
    assert on("nobody-listens", ("AlertSubscribers",)) == on("nobody-gets-alarms", ("AlarmSubscribers",)) == [1]
    assert on("watch-problems", ROUND) == []


def test_alerts_are_missing_only_where_tracebits_list_is_known():
    assert "alerts-missing" in alarms(**LISTS)
    assert "alerts-missing" not in alarms()
    assert goes_on("alerts-missing", {}, 400, **LISTS) == []


@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize(
    ("alarm", "topic"), [("nobody-listens", "AlertSubscribers"), ("nobody-gets-alarms", "AlarmSubscribers")]
)
def test_a_topic_without_a_subscriber_sets_it_off_at_once(alarm, topic, minutes):
    on = lambda counted: goes_on(alarm, counted, 30 * minutes, WatchMinutes=minutes)
    assert on({(topic,): rounds(minutes, [2] * 30)}) == []
    # Whether or not the other topic could be looked at.
    assert on({(topic,): rounds(minutes, [1] * 10 + [0] * 20)}) == [10 * minutes]
    # Nobody could look. watch-problems says that.
    assert on({}) == [] and alarms()[alarm]["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("minutes", MINUTES)
def test_problems_set_it_off_in_the_third_round_in_a_row(minutes):
    on = lambda values: goes_on("watch-problems", {ROUND: rounds(minutes, values)}, 30 * minutes, WatchMinutes=minutes)
    assert on([0] * 10 + [1] * 20) == [12 * minutes]
    assert on([0] * 10 + [4, 4] + [0] * 18) == []
    assert on([0, 1] * 15) == []
    assert on([1, 1, 0] * 10) == []
    assert on([0] * 30) == []


@pytest.mark.parametrize("minutes", MINUTES)
def test_silence_of_the_watcher_sets_it_off_after_half_an_hour_or_three_rounds(minutes):
    on = lambda data: goes_on("watch-silent", {ROUND: data}, 40 * minutes + 60, WatchMinutes=minutes)
    heard = rounds(minutes, [0] * 10)
    silent = max(heard) + max(30, 3 * minutes)
    assert [minute for minute in on(heard) if minute > minutes] == [silent]
    # Rounds that found problems are rounds.
    assert on(rounds(minutes, [2] * 200)) == []


def test_two_rounds_that_fail_are_not_silence():
    heard = {minute: value for minute, value in every(5, 0).items() if minute not in (100, 105)}
    assert goes_on("watch-silent", {ROUND: heard}, 400) == []


def test_a_new_stack_has_no_round_and_the_first_one_ends_the_silence():
    declared = alarms()["watch-silent"]
    assert in_alarm(declared, {}, 0)
    assert not in_alarm(declared, {ROUND: {4: 0}}, 4)
    # Chat is connected by the deployment, so it gets the first message and must get the second.
    assert declared["OKActions"] == ["<AlarmTopic>"]


def test_every_alarm_was_set_off_above():
    tested = {alarm for alarm, *_ in AT_ONCE + AT_AN_HTTP_API + QUEUES}
    tested |= {"health-checks-silent", "alerts-missing", "nobody-listens", "nobody-gets-alarms"}
    tested |= {"watch-problems", "watch-silent", "quiet-rules"}
    assert tested == alarms(**EVERYTHING, **HTTP_API).keys() == {each["name"] for each in LISTED}
