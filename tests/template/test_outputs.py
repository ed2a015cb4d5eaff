"""The outputs: what they say, which are exported, and that a page explains them, in every partition."""

import json
import re

import pytest
from shared import BOTH, EVERYTHING, HTTP_API, KEY, KEYS, LISTS, PARAMETERS, READER, SECRET
from stack import ROOT, of_type, source, stack


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"ExistingBucket": "my-lake", "LakePrefix": "logs/", "HealthCheckSilenceHours": 0, **HTTP_API},
        {"ExistingSecretArn": SECRET, **BOTH},
    ],
)
def test_outputs_say_what_to_paste_into_tracebit_and_where_to_look(parameters):
    outputs = {name: output["Value"] for name, output in stack(**parameters)["Outputs"].items()}
    endpoint, secret = parameters.get("FrontDoor"), parameters.get("ExistingSecretArn", "<SharedSecret>")
    address = "<Api.ApiEndpoint>/" if endpoint == "HttpApi" else "<WebhookFunctionUrl.FunctionUrl>"
    assert outputs["WebhookUrl"] == address
    assert outputs.get("HttpApiUrl") == ("<Api.ApiEndpoint>/" if endpoint == "Both" else None)
    assert ("AccessLogCommand" in outputs) == (endpoint is not None)
    assert outputs["SecretCommand"] == (
        f"aws secretsmanager get-secret-value --region eu-west-1 --secret-id {secret} --query SecretString --output text"
    )
    assert f"name={secret}&" in outputs["SecretConsole"]
    assert f"--secret-id {secret} " in outputs["TestCommand"] and f"--secret-id {secret} " in outputs["RotateCommand"]
    assert address in outputs["TestCommand"]
    assert outputs["Bucket"] == parameters.get("ExistingBucket", "<LakeBucket>")
    consoles = [value for name, value in outputs.items() if name.endswith("Console")]
    assert len(consoles) == 5 and all(value.startswith("https://console.aws.amazon.com/") for value in consoles)


def test_outputs_that_other_stacks_need_are_exported():
    exports = {name: each["Export"]["Name"] for name, each in stack()["Outputs"].items() if "Export" in each}
    names = ["Bucket", "WorkGroup", "Database", "ResultsLocation", "AnalystPolicy", "AlertTopic", "AlarmTopic"]
    assert exports == {name: f"lake-{name}" for name in names}
    (listed,) = re.findall(r"^The stack exports these outputs.*?(?=\n\n|\Z)", PARAMETERS, re.M | re.S)
    assert set(re.findall(r"`(\w+)`", listed)) == exports.keys()


def test_outputs_lead_to_each_functions_log_and_to_each_queue():
    outputs = {name: output["Value"] for name, output in stack()["Outputs"].items()}
    assert outputs["WatchCommand"] == (
        "AWS_REGION=eu-west-1 tracebit-lake-tools watch --bucket <LakeBucket> --prefix '' --alert-topic <AlertTopic>"
        " --alarm-topic <AlarmTopic> --queue <NotifyQueue> --severity Medium"
    )
    command = stack(SourceId="lake-1", **LISTS)["Outputs"]["WatchCommand"]["Value"]
    more = " --source-id lake-1 --api-url https://acme.tracebit.com --token-secret <ApiTokenSecret>"
    assert command == outputs["WatchCommand"] + more
    tail = "aws logs tail {} --region eu-west-1 --follow"
    assert {name: value for name, value in outputs.items() if name.endswith("LogCommand")} == {
        "LogCommand": tail.format("<WebhookLogs>"),
        "DrainLogCommand": tail.format("<DrainLogs>"),
        "NotifyLogCommand": tail.format("<NotifyLogs>"),
        "WatchLogCommand": tail.format("<WatchLogs>"),
    }
    outputs = {name: output["Value"] for name, output in stack(**EVERYTHING)["Outputs"].items()}
    for queue in of_type("AWS::SQS::Queue", **EVERYTHING):
        assert outputs[queue] == f"<{queue}>"


def test_the_runbook_names_outputs_that_exist():
    page = (ROOT / "docs/operate.md").read_text()
    words = r"`((?:\w+Command|\w+Console|(?:Spill|Notify|Siem|Pager)(?:Queue|DeadLetters)|WebhookUrl|WhoIsTold|\w+Topic))`"
    named = set(re.findall(words, page))
    assert named >= {"SecretCommand", "DrainLogCommand", "NotifyLogCommand", "WatchLogCommand", "ApiTokenCommand"}
    assert named >= {"SpillDeadLetters", "NotifyDeadLetters", "SiemDeadLetters", "PagerDeadLetters"}
    assert named <= stack(**HTTP_API, **EVERYTHING)["Outputs"].keys()
    assert "/aws/lambda/" not in page


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-eusc", "eusc-de-east-1", "console.amazonaws-eusc.eu"),
    ],
)
def test_links_and_names_are_those_of_the_partition(partition, region, host):
    place = {"AWS::Partition": partition, "AWS::Region": region, "AWS::URLSuffix": f"{partition}.example"}
    keys = dict.fromkeys(KEYS, KEY.replace(":aws:", f":{partition}:"))
    reader = READER.replace(":aws:", f":{partition}:")
    there = stack(place, **HTTP_API, **keys, **{**EVERYTHING, "SiemReaderArn": reader}, ExistingBucket="my-lake")
    outputs = {name: output["Value"] for name, output in there["Outputs"].items()}
    for name, value in outputs.items():
        if name.endswith("Console"):
            assert value.startswith(f"https://{host}/") and f"region={region}" in value, name
    text = json.dumps(there)
    assert "arn:aws:" not in text and "amazonaws.com/" not in text.replace(f"https://{host}", "")
    services = set(re.findall(r'"kms:ViaService": "(.*?)"', text))
    assert services == {f"{name}.{region}.{partition}.example" for name in ("s3", "secretsmanager", "sns", "sqs")}


def test_every_output_is_explained():
    for name in source()["Outputs"]:
        assert f"`{name}`" in PARAMETERS, name
