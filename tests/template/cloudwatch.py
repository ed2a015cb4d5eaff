"""CloudWatch's alarms, as far as its documentation says how they decide.

An alarm is judged each minute on windows that end now: EvaluationPeriods of them, and some older ones, in case data is
missing (AWS's examples have two more). DatapointsToAlarm of them must breach. Missing data counts as TreatMissingData
says, but only for want of older data. Metric math: a missing operand makes the result missing; FILL of a metric
replaces what is missing, also where nothing of it is there; DIFF has no value for the oldest window.
"""

import math
import operator
import re

OLDER_WINDOWS = 2


def in_alarm(alarm, data, now):
    """Whether the alarm is on at minute `now`, with `data` as {(metric, *dimensions' values): {minute: value}}."""
    wanted = alarm["EvaluationPeriods"]
    series = evaluate(alarm, data, now, wanted + OLDER_WINDOWS)
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
    expression = re.sub(r"\bAND\b", "&", result["Expression"])
    functions = {"FILL": fill, "DIFF": diff, "IF": if_}
    return eval(expression, {"__builtins__": {}}, functions | series).values


def windows(metric, statistic, period, data, now, count):
    key = (metric["MetricName"], *(each["Value"] for each in metric["Dimensions"] if each["Name"] != "Stack"))
    points = data.get(key, {})
    minutes = period // 60
    found = []
    for age in reversed(range(count)):
        end = now - age * minutes
        inside = [value for minute, value in points.items() if end - minutes < minute <= end]
        found.append({"Sum": math.fsum, "Maximum": max}[statistic](inside) if inside else None)
    return found


class Series:
    """A time series of metric math."""

    def __init__(self, values):
        self.values = values

    def combined(self, other, combine):
        others = other.values if isinstance(other, Series) else [other] * len(self.values)
        pairs = zip(self.values, others, strict=True)
        return Series([None if None in (left, right) else float(combine(left, right)) for left, right in pairs])

    def __add__(self, other):
        return self.combined(other, operator.add)

    def __sub__(self, other):
        return self.combined(other, operator.sub)

    def __gt__(self, other):
        return self.combined(other, operator.gt)

    def __eq__(self, other):
        return self.combined(other, operator.eq)

    def __and__(self, other):
        return self.combined(other, lambda left, right: bool(left) and bool(right))


def fill(series, value):
    return Series([value if each is None else each for each in series.values])


def diff(series):
    pairs = zip(series.values, series.values[1:])
    return Series([None] + [None if None in (before, after) else after - before for before, after in pairs])


def if_(condition, then, otherwise):
    return Series([None if each is None else then if each else otherwise for each in condition.values])
