"""The parameters of template.yaml: what each allows, what contradicts what, and that a page explains them."""

import re

import pytest
from shared import KEY, KEYS, OLDER, OPERATORS, PARAMETERS, READER, ROUTING_KEY, SECRET
from stack import refusals, source


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
            ["logs", "/logs/", "my logs/", " ", "logs//", "logs/ ", "s3://bucket/logs/", "lögs/", "/", "../", "a/./b/"],
        ),
        *(
            (
                parameter,
                ["", KEY, KEY.replace("key/", "key/mrk-")],
                ["alias/aws/s3", KEY.replace("key", "alias"), f" {KEY}"],
            )
            for parameter in KEYS
        ),
        (
            "OlderKmsKeyArns",
            ["", KEY, f"{KEY},{OLDER}", f"{KEY},{OLDER},{KEY}"],
            [f"{KEY}, {OLDER}", f"{KEY},", f",{KEY}", f"{KEY} {OLDER}", f"{KEY},{OLDER}".replace("key/1", "alias/1"), "*"],
        ),
        ("DatabaseName", ["tracebit_lake", "x1"], ["", "Tracebit", "tracebit-lake", "tracebit lake", "1x"]),
        (
            "EventBusName",
            ["default", "security", "partner/x.y_z"],
            ["", "arn:aws:events:eu-west-1:111122223333:event-bus/default", "two words"],
        ),
        (
            "CloudTrailTable",
            ["default.cloudtrail_logs", "cloudtrail_logs"],
            ["", "Default.Trail", "a.b.c", "a b", 'a"b', "x; DROP TABLE y", "1x"],
        ),
        ("SourceId", ["", "a1b2", "arn:aws:x"], ["two words", 'a"b', "x" * 129]),
        ("SourceLabel", ["tracebit", "Tracebit prod"], ["", "a\nb", 'a"b']),
        (
            "PermissionsBoundaryArn",
            ["", "arn:aws:iam::111122223333:policy/team/boundary", "arn:aws:iam::aws:policy/PowerUserAccess"],
            ["boundary", "arn:aws:iam::111122223333:role/boundary", "arn:aws:iam::1:policy/x"],
        ),
        (
            "RunbookUrl",
            ["", "https://acme.example/docs/operate.md", "https://acme.example/" + "x" * 287],
            ["http://acme.example", "acme.example", "https://a b", 'https://a"b', "https://a\\b", "https://" + "x" * 301],
        ),
        ("PagerDutyRoutingKey", ["", ROUTING_KEY], [ROUTING_KEY[1:], f"{ROUTING_KEY}0", f" {ROUTING_KEY[1:]}", "key"]),
        (
            "SiemReaderArn",
            ["", READER, "arn:aws:iam::444455556666:root", "arn:aws-us-gov:iam::444455556666:user/team/siem"],
            [
                "*",
                "444455556666",
                "arn:aws:iam::*:root",
                "arn:aws:iam::444455556666:role/*",
                "arn:aws:iam::444455556666:group/siem",
                "arn:aws:sts::444455556666:assumed-role/siem/session",
            ],
        ),
        (
            "OperatorArn",
            [
                "",
                OPERATORS,
                "arn:aws-us-gov:iam::111122223333:user/team/one",
                "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_SecOps_*",
            ],
            ["*", "arn:aws:iam::*:role/operator", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:*"],
        ),
        (
            "ExistingSecretArn",
            ["", SECRET, SECRET.replace("lake", "team/lake.old@1")],
            ["lake", "lake-AbCdEf", SECRET.removesuffix("-AbCdEf"), f"{SECRET}:SecretString:key", SECRET + "*"],
        ),
        (
            "TracebitApiUrl",
            ["", "https://acme.tracebit.com", "https://acme.tracebit.com/", "https://a.b-c.example.co.uk"],
            [
                "acme",
                "acme.tracebit.com",
                "http://acme.tracebit.com",
                "https://acme.tracebit.com/api/v1",
                "https://acme.tracebit.com?a",
                "https://acme.tracebit.com:443",
                "https://user@acme.tracebit.com",
                "https://acme",
                "https://acme..com",
                "https:///",
                "https://acme.tracebit.com https://evil.example",
            ],
        ),
        (
            "AlarmEmail",
            ["", "security@example.com", "first.last+tag@mail.example.co.uk"],
            [
                "security",
                "security@",
                "@example.com",
                "security@example",
                "a b@example.com",
                "a@example.com, b@example.com",
                "a@b@example.com",
                "a@example.com.",
            ],
        ),
    ],
)
def test_a_mistyped_parameter_is_refused_with_a_message(parameter, good, bad):
    declared = source()["Parameters"][parameter]
    accepted = {value for value in good + bad if re.fullmatch(declared["AllowedPattern"], value)}
    assert accepted == set(good)
    assert declared["ConstraintDescription"].startswith("must ")


def test_every_parameter_has_a_default_that_it_allows_a_group_and_a_description():
    parameters = source()["Parameters"]
    groups = source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [name for group in groups for name in group["Parameters"]] == list(parameters)
    for name, parameter in parameters.items():
        default = str(parameter["Default"])
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), default), name
        assert parameter.get("AllowedValues", [parameter["Default"]]).count(parameter["Default"]) == 1, name
        assert parameter["Description"] and parameter["ConstraintDescription"], name


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, []),
        ({"RetentionDays": 30, "ObjectLockMode": "GOVERNANCE"}, []),
        ({"ExistingBucket": "my-lake"}, []),
        ({"ExistingBucket": "my-lake", "ObjectLockMode": "COMPLIANCE"}, ["ObjectLockMode"]),
        ({"ExistingBucket": "my-lake", "RetentionDays": 30}, ["RetentionDays"]),
    ],
)
def test_settings_of_a_new_bucket_contradict_an_existing_one(parameters, refused):
    assert [message.split()[0] for message in refusals(**parameters)] == refused


def test_the_page_names_what_hurts_when_it_is_changed_later():
    # `cargo xtask generate` makes the tables, and fails if a parameter has no text.
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PARAMETERS, re.M)
    assert [name for name, _ in rows] == list(source()["Parameters"])
    assert {name for name, change in rows if change.startswith("**")} >= {
        *("EventBusName", "FrontDoor", "ExistingBucket", "LakePrefix", "KmsKeyArn", "QueueKmsKeyArn", "DatabaseName"),
        "ExistingSecretArn",
    }


def test_the_address_is_the_first_parameter_asked_for():
    assert next(iter(source()["Parameters"])) == "AlarmEmail"
