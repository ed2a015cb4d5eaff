"""CloudWatch's alarms, as far as its documentation says how they decide.

An alarm is judged each minute on windows that end now: EvaluationPeriods of them, and some older ones, in case data is
missing (AWS's examples have two more). DatapointsToAlarm of them must breach. Missing data counts as TreatMissingData
says, but only for want of older data. Metric math: a missing operand makes the result missing; FILL of a metric
replaces what is missing.

AWS does not say what FILL makes of a metric that never had a datum. Either it is filled all the same, or the whole
expression has no data. An alarm must decide the same in both cases, or `Unsettled` is raised.
"""

import math
import operator

OLDER_WINDOWS = 2
STATISTICS = {"Sum": math.fsum, "Maximum": max, "Minimum": min, "SampleCount": len}


class Unsettled(AssertionError):
    """The alarm is on or off, depending on what CloudWatch does with a metric that never had a datum."""


def in_alarm(alarm, data, now):
    """Whether the alarm is on at minute `now`, with `data` as {(metric, *dimensions' values): {minute: value}}."""
    wanted = alarm["EvaluationPeriods"]
    series = evaluate(alarm, data, now, wanted + OLDER_WINDOWS)
    filled = decide(alarm, series)
    if filled != (decide(alarm, [None] * len(series)) if lacks_a_metric(alarm, data, now) else filled):
        raise Unsettled(f"{alarm['AlarmName']} at minute {now}: {'on' if filled else 'off'} if the metric is filled")
    return filled


def lacks_a_metric(alarm, data, now):
    """Whether the alarm computes with a metric that never had a datum."""
    metrics = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
    return any(min(data.get(key(metric), {}), default=math.inf) > now for metric in metrics)


def decide(alarm, series):
    """Whether these windows set it off, the oldest first."""
    wanted = alarm["EvaluationPeriods"]
    breaches = [None if value is None else breaching(alarm, value) for value in series]
    present = [each for each in breaches if each is not None]
    if len(present) >= wanted:
        judged = present[-wanted:]
    else:
        missing = alarm["TreatMissingData"] == "breaching"
        judged = present + [missing] * (wanted - len(present))
    return sum(judged) >= alarm.get("DatapointsToAlarm", wanted)


def breaching(alarm, value):
    compare = {"GreaterThanOrEqualToThreshold": operator.ge, "LessThanThreshold": operator.lt}
    return compare[alarm["ComparisonOperator"]](value, alarm["Threshold"])


def evaluate(alarm, data, now, count):
    """The values of the last `count` windows, the oldest first."""
    if "MetricName" in alarm:
        return windows(alarm, alarm["Statistic"], alarm["Period"], data, now, count)
    (result,) = [part for part in alarm["Metrics"] if part.get("ReturnData", True)]
    series = {
        part["Id"]: Series(windows(stat["Metric"], stat["Stat"], stat["Period"], data, now, count))
        for part in alarm["Metrics"]
        if (stat := part.get("MetricStat"))
    }
    return eval(result["Expression"], {"__builtins__": {}}, {"FILL": fill} | series).values


def key(metric):
    return (metric["MetricName"], *(each["Value"] for each in metric["Dimensions"] if each["Name"] != "Stack"))


def windows(metric, statistic, period, data, now, count):
    points = data.get(key(metric), {})
    minutes = period // 60
    found = []
    for age in reversed(range(count)):
        end = now - age * minutes
        inside = [value for minute, value in points.items() if end - minutes < minute <= end]
        found.append(STATISTICS[statistic](inside) if inside else None)
    return found


class Series:
    """A time series of metric math."""

    def __init__(self, values):
        self.values = values

    def __add__(self, other):
        pairs = zip(self.values, other.values, strict=True)
        return Series([None if None in pair else sum(pair) for pair in pairs])


def fill(series, value):
    return Series([value if each is None else each for each in series.values])

