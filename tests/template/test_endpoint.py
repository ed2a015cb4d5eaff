"""The webhook's function, and the URL and the HTTP API that invoke it."""

import json
import re

from shared import BOTH, HTTP_API, PARAMETERS
from stack import ROOT, of_type, properties, refusals, source, stack


def test_the_function_runs_the_binary_with_the_limits_given():
    function = properties("WebhookFunction", MemorySize=256)
    assert function["Runtime"] == "provided.al2023"
    assert function["Handler"] == "bootstrap"
    assert function["MemorySize"] == 256
    assert function["Timeout"] == 60, "time for the worst payload at 128 MB"
    assert isinstance(function["Timeout"], int), "sam local wants a number"
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert "ReservedConcurrentExecutions" not in function, "an account with ten units can reserve none"
    assert properties("WebhookFunction", ReservedConcurrency=5)["ReservedConcurrentExecutions"] == 5
    metadata = source()["Resources"]["WebhookFunction"]["Metadata"]
    assert (metadata["BuildMethod"], metadata["BuildProperties"]) == ("rust-cargolambda", {"Binary": "tracebit-lake"})


def test_a_flood_leaves_the_other_functions_their_own_concurrency_if_the_quota_allows():
    reserved = lambda **parameters: {
        name: each["ReservedConcurrentExecutions"]
        for name, each in of_type("AWS::Lambda::Function", **parameters).items()
        if "ReservedConcurrentExecutions" in each
    }
    assert reserved() == {}, "an account with ten units can reserve none"
    # docs/reliability.md has the measurement that twelve notifiers follow from.
    own = {"DrainFunction": 2, "NotifyFunction": 12, "WatchFunction": 1}
    assert reserved(ReserveForOthers="Yes") == own
    assert reserved(ReserveForOthers="Yes", ReservedConcurrency=50) == {**own, "WebhookFunction": 50}
    # With fewer than a queue invokes at once, it would be throttled.
    at_once = lambda mapping, **parameters: properties(mapping, **parameters)["ScalingConfig"]["MaximumConcurrency"]
    assert at_once("DrainFunctionSpilled", ReserveForOthers="Yes") == 2
    assert at_once("NotifyFunctionCreated", ReserveForOthers="Yes") == 12
    assert at_once("NotifyFunctionCreated") == 2, "most of ten units are left to the webhook"
    said = {name: source()["Parameters"][name]["Description"] for name in ("ReservedConcurrency", "ReserveForOthers")}
    assert "flood" in said["ReservedConcurrency"] and "50 where the quota allows" in said["ReservedConcurrency"]
    assert f"reserves {sum(own.values())} " in said["ReserveForOthers"] and "quota is 10" in said["ReserveForOthers"]


def test_one_line_of_the_template_says_the_architecture():
    # A parameter would be asked for again after the build, and nothing would compare the two answers.
    architectures = source()["Globals"]["Function"]["Architectures"]
    assert architectures in (["x86_64"], ["arm64"])
    functions = of_type("AWS::Lambda::Function").values()
    assert [each["Architectures"] for each in functions] == [architectures] * 4
    written = re.findall(r"^ *Architectures?:.*", (ROOT / "template.yaml").read_text(), re.M)
    assert len(written) == 1


def test_logs_are_json_in_a_group_of_their_own_with_retention():
    assert properties("WebhookFunction")["LoggingConfig"] == {
        "LogFormat": "JSON",
        # Anything stricter would drop the metrics.
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": "<WebhookLogs>",
    }
    assert properties("WebhookLogs", LogRetentionDays=30)["RetentionInDays"] == 30


def test_the_url_has_both_permissions_that_aws_requires():
    assert properties("WebhookFunctionUrl") == {"TargetFunctionArn": "<WebhookFunction>", "AuthType": "NONE"}
    permissions = of_type("AWS::Lambda::Permission").values()
    anybody = {"FunctionName": "<WebhookFunction>", "Principal": "*"}
    assert sorted(permissions, key=lambda each: each["Action"]) == [
        {**anybody, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
        {**anybody, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    ]


def test_there_is_one_endpoint_or_both_while_one_replaces_the_other():
    kinds = {"AWS::Lambda::Url", "AWS::Lambda::Permission", "AWS::Logs::MetricFilter"}
    endpoints = lambda **parameters: {
        name
        for name, each in stack(**parameters)["Resources"].items()
        if each["Type"] in kinds or each["Type"].startswith("AWS::ApiGateway")
    }
    assert endpoints() == {
        "WebhookFunctionUrl",
        "WebhookFunctionUrlPublicPermissions",
        "WebhookFunctionURLInvokeAllowPublicAccess",
    }
    assert endpoints(**HTTP_API) == {
        "Api",
        "ApiIntegration",
        "ApiRoute",
        "ApiStage",
        "ApiPermission",
        "ApiThrottledFilter",
    }
    assert endpoints(**BOTH) == endpoints() | endpoints(**HTTP_API)
    # No step of the way changes an endpoint that stays.
    for name in endpoints(**BOTH):
        alone = {} if name in endpoints() else HTTP_API
        assert stack(**BOTH)["Resources"][name] == stack(**alone)["Resources"][name]
    assert properties("WebhookFunction", **BOTH)["Timeout"] == properties("WebhookFunction", **HTTP_API)["Timeout"]
    assert properties("ApiThrottlesAlarm", **BOTH) == properties("ApiThrottlesAlarm", **HTTP_API)
    assert properties("ThrottlesAlarm", **BOTH) == properties("ThrottlesAlarm")


def test_the_http_api_invokes_the_function_with_a_urls_events():
    arn = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/<WebhookFunction.Arn>/invocations"
    integration = properties("ApiIntegration", **HTTP_API)
    assert integration == {
        "ApiId": "<Api>",
        "IntegrationType": "AWS_PROXY",
        "IntegrationUri": arn,
        "PayloadFormatVersion": "2.0",
        "TimeoutInMillis": 30000,
    }
    # Otherwise API Gateway would answer before the function has said what became of the delivery.
    assert 20 <= properties("WebhookFunction", **HTTP_API)["Timeout"] < integration["TimeoutInMillis"] / 1000
    assert properties("ApiRoute", **HTTP_API) == {
        "ApiId": "<Api>",
        "RouteKey": "$default",
        "AuthorizationType": "NONE",
        "Target": "integrations/<ApiIntegration>",
    }
    assert properties("Api", **HTTP_API)["ProtocolType"] == "HTTP"


def test_only_the_http_api_may_invoke_the_function():
    (permission,) = of_type("AWS::Lambda::Permission", **HTTP_API).values()
    assert permission == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "<WebhookFunction>",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": "arn:aws:execute-api:eu-west-1:111122223333:<Api>/*/$default",
    }


def test_the_http_api_throttles_and_logs_nothing_that_a_sender_wrote():
    stage = properties("ApiStage", **HTTP_API, ApiRateLimit=50, ApiBurstLimit=20, LogRetentionDays=30)
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 50, "ThrottlingBurstLimit": 20}
    log = stage["AccessLogSettings"]
    assert log["DestinationArn"] == "<ApiAccessLogs.Arn>"
    assert properties("ApiAccessLogs", **HTTP_API, LogRetentionDays=30)["RetentionInDays"] == 30
    assert json.loads(log["Format"]) == {
        "stack": "lake",
        "time": "$context.requestTime",
        "id": "$context.requestId",
        "ip": "$context.identity.sourceIp",
        "status": "$context.status",
        "milliseconds": "$context.responseLatency",
        "error": "$context.integrationErrorMessage",
    }


def test_what_the_http_api_throttles_is_counted_from_its_log():
    (filter_,) = of_type("AWS::Logs::MetricFilter", **HTTP_API).values()
    assert (filter_["LogGroupName"], filter_["FilterPattern"]) == ("<ApiAccessLogs>", '{ $.status = "429" }')
    assert filter_["MetricTransformations"] == [
        {
            "MetricNamespace": "TracebitLake",
            "MetricName": "ApiThrottled",
            "MetricValue": "1",
            "Dimensions": [{"Key": "Stack", "Value": "$.stack"}],
        }
    ]


def test_a_region_without_function_urls_refuses_one_before_anything_is_created():
    (listed,) = re.findall(r"^These Regions have no function URLs.*?\n\n", PARAMETERS, re.M | re.S)
    regions = re.findall(r"`([a-z]+(?:-[a-z]+)+-\d)`", listed)
    assert len(regions) == 16
    for region in regions:
        (message,) = refusals({"AWS::Region": region})
        assert "Set FrontDoor to HttpApi" in message, region
        assert refusals({"AWS::Region": region}, **HTTP_API) == []
        assert refusals({"AWS::Region": region}, **BOTH) == [message]
    for region in ("eu-west-1", "us-east-1", "ap-south-1", "eu-central-1"):
        assert refusals({"AWS::Region": region}) == []
