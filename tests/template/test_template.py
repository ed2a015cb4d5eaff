"""What no emulator can show: the properties of template.yaml on which safety and the alarms rest."""

import json
import re

import pytest
from stack import Resolver, ROOT, source, stack, translated

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0d9c4a1e-0000-4000-8000-000000000000"
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}
PRIVATE = dict.fromkeys(
    ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
)
# Metrics of the function, each with the dimension that it has, if any.
METRICS = {
    "LogsStored": "LogType",
    "AlertsStored": "Severity",
    "Duplicates": None,
    "ClassificationFailures": None,
    "Unauthorized": None,
    "StoreErrors": None,
    "HealthChecks": None,
    "UnhealthyHealthChecks": None,
    "StoreLatency": None,
    "PayloadBytes": None,
}


def properties(logical_id, **parameters):
    return stack(**parameters)["Resources"][logical_id]["Properties"]


def of_type(kind, **parameters):
    resources = stack(**parameters)["Resources"]
    return {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}


# ------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            "ExistingBucket",
            ["", "my-lake", "logs.example.com", "123"],
            ["My-Lake", "s3://my-lake", "my_lake", "my lake", "ab", "-lake", "arn:aws:s3:::my-lake", "a" * 64],
        ),
        (
            "LakePrefix",
            ["", "logs/", "security/tracebit/", "team=red/logs/"],
            ["logs", "/logs/", "my logs/", " ", "logs//", "logs/ ", "s3://bucket/logs/", "lögs/", "/"],
        ),
        ("KmsKeyArn", ["", KEY, KEY.replace("key/", "key/mrk-")], ["alias/aws/s3", KEY.replace("key", "alias"), f" {KEY}"]),
        ("DatabaseName", ["tracebit_lake", "x1"], ["", "Tracebit", "tracebit-lake", "tracebit lake", "1x"]),
        ("ProjectedYears", ["2024,2035"], ["", "2024", "2024-2035", "2024, 2035", "1999,2035"]),
        ("SourceId", ["", "a1b2", "arn:aws:x"], ["two words", 'a"b', "x" * 129]),
        ("SourceLabel", ["tracebit", "Tracebit prod"], ["", "a\nb", 'a"b']),
        (
            "AlarmEmail",
            ["", "security@example.com", "first.last+tag@mail.example.co.uk"],
            ["security", "security@", "@example.com", "security@example", "a b@example.com", "a@example.com, b@example.com", "a@b@example.com", "a@example.com."],
        ),
    ],
)
def test_a_mistyped_parameter_is_refused_with_a_message(parameter, good, bad):
    declared = source()["Parameters"][parameter]
    allowed = lambda value: re.fullmatch(declared["AllowedPattern"].removeprefix("^").removesuffix("$") if "|" not in declared["AllowedPattern"] else declared["AllowedPattern"], value)
    assert [value for value in good if not allowed(value)] == []
    assert [value for value in bad if allowed(value)] == []
    assert declared["ConstraintDescription"].startswith("must ")
