"""What no emulator can show: the properties of template.yaml on which safety and the alarms rest."""

import json
import re
import urllib.parse

import pytest
import yaml
from eventbridge import transformed
from stack import ROOT, TABLES, refusals, source, stack

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0d9c4a1e-0000-4000-8000-000000000000"
OLDER = "arn:aws:kms:eu-west-1:111122223333:key/1d9c4a1e-0000-4000-8000-000000000000"
KEYS = ["KmsKeyArn", "SecretKmsKeyArn", "QueueKmsKeyArn", "TopicKmsKeyArn", "LogKmsKeyArn"]
LISTS = {"TracebitApiUrl": "https://acme.tracebit.com"}
READER = "arn:aws:iam::444455556666:role/siem"
SIEM = {"SiemReaderArn": READER}
OPERATORS = "arn:aws:iam::111122223333:role/operator*"
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:lake-AbCdEf"
ROUTING_KEY = "R0123456789ABCDEF0123456789ABCDE"
PAGER = {"PagerDutyRoutingKey": ROUTING_KEY}
# Whatever a stack can have.
EVERYTHING = {**LISTS, **SIEM, **PAGER, "QuietRules": "Yes"}
OWN_ACCOUNT = {"StringEquals": {"aws:ResourceAccount": "111122223333"}}
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}
PRIVATE = dict.fromkeys(["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True)
OPERATE = (ROOT / "docs/operate.md").read_text()
SCHEMA = (ROOT / "docs/schema.md").read_text()
PARAMETERS = (ROOT / "docs/parameters.md").read_text()
# The metrics that the functions write, each with the dimension that it has besides Stack: the table that
# `cargo xtask generate` makes of the code.
TABLE = re.search("<!-- begin metrics.*?<!-- end metrics", SCHEMA, re.S)[0]
METRICS = {name: dimension or None for name, dimension in re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| ", TABLE, re.M)}


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


def test_every_output_is_explained():
    for name in source()["Outputs"]:
        assert f"`{name}`" in PARAMETERS, name


def test_the_page_names_what_hurts_when_it_is_changed_later():
    # `cargo xtask generate` makes the tables, and fails if a parameter has no text.
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PARAMETERS, re.M)
    assert [name for name, _ in rows] == list(source()["Parameters"])
    assert {name for name, change in rows if change.startswith("**")} >= {
        *("EventBusName", "FrontDoor", "ExistingBucket", "LakePrefix", "KmsKeyArn", "QueueKmsKeyArn", "DatabaseName"),
        "ExistingSecretArn",
    }


# ------------------------------------------------------------------------------------------ function and endpoint


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


HTTP_API = {"FrontDoor": "HttpApi"}
BOTH = {"FrontDoor": "Both"}


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


# ------------------------------------------------------------------------------------------------- secret and role


def test_the_secret_is_generated_and_written_nowhere():
    secret = properties("SharedSecret")
    assert secret["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert "KmsKeyId" not in secret
    assert "KmsKeyId" not in properties("SharedSecret", KmsKeyArn=KEY), "a key for objects is not one for the secret"
    assert properties("SharedSecret", SecretKmsKeyArn=KEY)["KmsKeyId"] == KEY
    assert "SecretString" not in secret
    assert "resolve:secretsmanager" not in (ROOT / "template.yaml").read_text()


@pytest.mark.parametrize("parameters", [{}, {"SecretKmsKeyArn": KEY}])
def test_an_existing_secret_takes_the_place_of_the_stacks_own_and_of_no_other(parameters):
    made, given = stack(**parameters), stack(**parameters, ExistingSecretArn=SECRET)
    assert "SharedSecret" not in given["Resources"] and "<SharedSecret>" not in json.dumps(given)
    del made["Resources"]["SharedSecret"]
    # What differs is the secret that is read.
    assert json.loads(json.dumps(made).replace("<SharedSecret>", SECRET)) == given
    assert of_type("AWS::SecretsManager::Secret", ExistingSecretArn=SECRET, **LISTS).keys() == {"ApiTokenSecret"}


def statements(role="WebhookRole", **parameters):
    role = properties(role, **parameters)
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    return policy["PolicyDocument"]["Statement"]


def without(key, statement):
    return {name: value for name, value in statement.items() if name != key}


def test_the_role_may_add_to_the_lake_read_its_secret_log_and_trace_and_nothing_else():
    assert [without("Sid", statement) for statement in statements()] == [
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": [f"arn:aws:s3:::<LakeBucket>/{table}/*" for table in TABLES],
            "Condition": {"Null": {"s3:if-none-match": "false"}} | OWN_ACCOUNT,
        },
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "<SharedSecret>"},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "<SpillQueue.Arn>"},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "<WebhookLogs.Arn>",
        },
        {"Effect": "Allow", "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"},
    ]


@pytest.mark.parametrize("role", ["WebhookRole", "DrainRole"])
def test_the_role_is_bound_to_the_prefix_of_an_existing_bucket(role):
    put = statements(role, ExistingBucket="my-lake", LakePrefix="logs/")[0]
    assert put["Resource"] == [f"arn:aws:s3:::my-lake/logs/{table}/*" for table in TABLES]


def keys_of(role, **parameters):
    """The statements about keys, each as its action, its key, and the service through which alone it is used."""
    found = {}
    for each in statements(role, **parameters):
        if "kms:" in str(each["Action"]):
            service = each["Condition"]["StringEquals"]["kms:ViaService"].removesuffix(".eu-west-1.amazonaws.com")
            found[each["Sid"]] = (each["Action"], each["Resource"], service)
    return found


@pytest.mark.parametrize("role", ["WebhookRole", "DrainRole"])
def test_each_key_serves_its_own_store_alone(role):
    assert keys_of(role) == {}
    assert keys_of(role, KmsKeyArn=KEY) == {"EncryptObjects": ("kms:GenerateDataKey", KEY, "s3")}
    assert keys_of(role, SecretKmsKeyArn=KEY) == {"DecryptSharedSecret": ("kms:Decrypt", KEY, "secretsmanager")}
    sending = ["kms:Decrypt", "kms:GenerateDataKey"]
    queue = {"WebhookRole": sending, "DrainRole": "kms:Decrypt"}[role]
    assert keys_of(role, QueueKmsKeyArn=KEY) == {"UseKeyOfQueue": (queue, KEY, "sqs")}
    assert keys_of(role, TopicKmsKeyArn=KEY, LogKmsKeyArn=KEY) == {}


def test_the_notifier_may_use_the_keys_of_what_it_reads_and_tells():
    both = ["kms:Decrypt", "kms:GenerateDataKey"]
    assert keys_of("NotifyRole", SecretKmsKeyArn=KEY, LogKmsKeyArn=KEY) == {}
    assert keys_of("NotifyRole", KmsKeyArn=KEY) == {"UseKeyOfLake": (both, KEY, "s3")}
    assert keys_of("NotifyRole", TopicKmsKeyArn=KEY) == {"UseKeyOfTopic": (both, KEY, "sns")}
    assert keys_of("NotifyRole", QueueKmsKeyArn=KEY) == {"UseKeyOfQueue": ("kms:Decrypt", KEY, "sqs")}


def test_the_watcher_may_use_the_keys_of_what_it_reads_and_sends():
    both = ["kms:Decrypt", "kms:GenerateDataKey"]
    assert keys_of("WatchRole", SecretKmsKeyArn=KEY, TopicKmsKeyArn=KEY, LogKmsKeyArn=KEY) == {}
    assert keys_of("WatchRole", KmsKeyArn=KEY) == {"UseKeyOfLake": ("kms:Decrypt", KEY, "s3")}
    assert keys_of("WatchRole", KmsKeyArn=KEY, **LISTS) == {"UseKeyOfLake": (both, KEY, "s3")}
    assert keys_of("WatchRole", QueueKmsKeyArn=KEY) == {"UseKeyOfQueue": (both, KEY, "sqs")}
    decrypt = ("kms:Decrypt", KEY, "secretsmanager")
    assert keys_of("WatchRole", SecretKmsKeyArn=KEY, **LISTS) == {"DecryptApiToken": decrypt}


def test_whoever_reads_may_still_decrypt_with_older_keys_and_nobody_encrypts_with_them():
    via = lambda *services: {"StringEquals": {"kms:ViaService": [f"{each}.eu-west-1.amazonaws.com" for each in services]}}
    expected = {
        "DrainRole": {"StringEquals": {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}},
        "NotifyRole": via("s3", "sqs"),
        "WatchRole": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
        "AnalystPolicy": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
    }
    # Of the older keys, one was of the objects and one of the queues. Today there may be none.
    for parameters in ({}, dict.fromkeys(KEYS, KEY)):
        made = stack(OlderKmsKeyArns=f"{KEY},{OLDER}", **parameters, **EVERYTHING)["Resources"]
        documents = {
            name: (each["Properties"].get("Policies") or [each["Properties"]])[0]["PolicyDocument"]
            for name, each in made.items()
            if each["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
        }
        older = [(name, each) for name, all_ in documents.items() for each in all_["Statement"] if OLDER in each["Resource"]]
        assert {name: each["Condition"] for name, each in older} == expected
        for _, each in older:
            assert (each["Sid"], each["Effect"], each["Action"]) == ("DecryptWithOlderKeys", "Allow", "kms:Decrypt")
            assert each["Resource"] == [KEY, OLDER]
    assert "DecryptWithOlderKeys" not in json.dumps(stack(**dict.fromkeys(KEYS, KEY), **EVERYTHING))


def test_queues_topics_and_logs_take_the_customers_keys():
    for queue in of_type("AWS::SQS::Queue", QueueKmsKeyArn=KEY, **EVERYTHING).values():
        assert (queue["KmsMasterKeyId"], queue["SqsManagedSseEnabled"]) == (KEY, False)
    for queue in of_type("AWS::SQS::Queue", **EVERYTHING).values():
        assert "KmsMasterKeyId" not in queue and queue["SqsManagedSseEnabled"] is True
    assert {each["KmsMasterKeyId"] for each in of_type("AWS::SNS::Topic", TopicKmsKeyArn=KEY).values()} == {KEY}
    assert [each.get("KmsKeyId") for each in of_type("AWS::Logs::LogGroup").values()] == [None] * 4
    groups = of_type("AWS::Logs::LogGroup", **HTTP_API, LogKmsKeyArn=KEY)
    assert [each["KmsKeyId"] for each in groups.values()] == [KEY] * 5


def test_every_role_takes_the_boundary():
    boundary = "arn:aws:iam::111122223333:policy/boundary"
    roles = of_type("AWS::IAM::Role", PermissionsBoundaryArn=boundary, **SLACK, **PAGER)
    functions = {"WebhookRole", "DrainRole", "NotifyRole", "WatchRole"}
    assert roles.keys() == {*functions, "WatchScheduleRole", "ChatRole", "PagerRole"}
    assert {each["PermissionsBoundary"] for each in roles.values()} == {boundary}
    assert not any("PermissionsBoundary" in each for each in of_type("AWS::IAM::Role").values())


def test_the_page_has_the_statements_that_the_services_need_of_a_key():
    section = re.search(r"^## KMS keys\n(.*?)^## ", PARAMETERS, re.M | re.S)[1]
    statements = json.loads(re.search(r"```json\n(.*?)```", section, re.S)[1])
    services = [each["Principal"]["Service"] for each in statements]
    assert services == [["events.amazonaws.com", "cloudwatch.amazonaws.com"], "logs.REGION.amazonaws.com"]
    assert all({"kms:Decrypt", "kms:Decrypt*"} & set(each["Action"]) for each in statements)
    assert all("kms:GenerateDataKey*" in each["Action"] and each["Effect"] == "Allow" for each in statements)


@pytest.mark.parametrize("role", ["WebhookRole", "DrainRole", "NotifyRole", "WatchRole"])
def test_only_lambda_may_take_the_role(role):
    assert properties(role)["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]


# ---------------------------------------------------------------------------------------------- what outlives the stack


def test_the_lake_the_queues_and_their_secret_outlive_the_stack_but_not_a_failed_creation():
    policies = {
        name: (each["DeletionPolicy"], each["UpdateReplacePolicy"])
        for name, each in stack()["Resources"].items()
        if "DeletionPolicy" in each
    }
    kept = ("RetainExceptOnCreate", "Retain")
    assert policies == {
        "LakeBucket": kept,
        "LakeBucketPolicy": kept,
        "SharedSecret": kept,
        "SpillQueue": kept,
        "SpillDeadLetters": kept,
        "ResultsBucket": kept,
        "ResultsBucketPolicy": kept,
    }


# ---------------------------------------------------------------------------------------------- spill queue and drain


def test_what_spills_is_kept_for_14_days_and_encrypted():
    for queue in ["SpillQueue", "SpillDeadLetters"]:
        declared = properties(queue)
        assert declared["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert declared["SqsManagedSseEnabled"] is True


MESSAGES = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue"]


@pytest.mark.parametrize(
    ("policy", "queues", "principals"),
    [
        ("SpillQueuePolicy", ["SpillQueue", "SpillDeadLetters"], ["<WebhookRole.Arn>", "<DrainRole.Arn>"]),
        ("NotifyQueuePolicy", ["NotifyQueue", "NotifyDeadLetters"], ["<NotifyRole.Arn>", "<WatchRole.Arn>"]),
        ("PagerDeadLettersPolicy", ["PagerDeadLetters"], []),
        ("SiemQueuePolicy", ["SiemQueue", "SiemDeadLetters"], [READER]),
    ],
)
def test_a_queue_takes_tls_alone_and_its_messages_are_for_its_functions(policy, queues, principals):
    declared = properties(policy, **EVERYTHING)
    assert declared["Queues"] == [f"<{queue}>" for queue in queues]
    tls, others, *allowed = declared["PolicyDocument"]["Statement"]
    resource = [f"<{queue}.Arn>" for queue in queues] if len(queues) > 1 else f"<{queues[0]}.Arn>"
    everybody = {"Effect": "Deny", "Principal": "*", "Resource": resource}
    assert without("Sid", tls) == {**everybody, "Action": "sqs:*", "Condition": TLS_ONLY}
    condition = {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}
    except_for = lambda arns: {**condition, "ArnNotLikeIfExists": {"aws:PrincipalArn": arns}}
    refused = {**everybody, "Action": MESSAGES}
    assert without("Sid", others) == {**refused, "Condition": except_for(principals) if principals else condition}
    # An operator is one more, and gets no right by it.
    _, others, *same = properties(policy, **EVERYTHING, OperatorArn=OPERATORS)["PolicyDocument"]["Statement"]
    more = except_for([*principals, OPERATORS] if principals else OPERATORS)
    assert (without("Sid", others), same) == ({**refused, "Condition": more}, allowed)


def test_every_queue_has_a_policy():
    policies = of_type("AWS::SQS::QueuePolicy", **EVERYTHING).values()
    covered = [queue for policy in policies for queue in policy["Queues"]]
    assert sorted(covered) == sorted(f"<{queue}>" for queue in of_type("AWS::SQS::Queue", **EVERYTHING))


def test_an_account_that_reads_for_the_siem_is_each_of_its_principals():
    policy = properties("SiemQueuePolicy", SiemReaderArn="arn:aws:iam::444455556666:root")
    _, others, *_ = policy["PolicyDocument"]["Statement"]
    assert others["Condition"]["ArnNotLikeIfExists"] == {"aws:PrincipalArn": ["arn:aws:iam::444455556666:*"]}


def test_a_spilled_payload_is_tried_for_days_before_it_is_a_dead_letter():
    queue = properties("SpillQueue")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<SpillDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 6 * properties("DrainFunction")["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] > 7 * 24 * 3600
    # What the function takes for the limit of a message. A dead letter is as large.
    assert queue["MaximumMessageSize"] == 1024 * 1024
    assert properties("SpillDeadLetters")["MaximumMessageSize"] == queue["MaximumMessageSize"]


def test_the_drain_takes_from_the_queue_and_keeps_there_what_it_cannot_file():
    mapping = of_type("AWS::Lambda::EventSourceMapping")["DrainFunctionSpilled"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"]) == ("<SpillQueue.Arn>", "<DrainFunction>")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # An event holds 6 MB.
    assert mapping["BatchSize"] * properties("SpillQueue")["MaximumMessageSize"] < 6_000_000
    metadata = source()["Resources"]["DrainFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-drain"}
    logging = properties("DrainFunction")["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<DrainLogs>")


def test_the_drain_has_the_settings_of_the_function_but_for_the_queue():
    webhook = properties("WebhookFunction")["Environment"]["Variables"]
    drain = properties("DrainFunction")["Environment"]["Variables"]
    assert drain == without("SPILL_QUEUE_URL", webhook)


def test_the_drains_role_is_the_functions_with_the_other_end_of_the_queue():
    webhook = {each["Sid"]: each for each in statements()}
    drain = {each["Sid"]: each for each in statements("DrainRole")}
    del webhook["SpillWhatIsNotStored"]
    assert drain.pop("TakeFromQueue") == {
        "Sid": "TakeFromQueue",
        "Effect": "Allow",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "Resource": "<SpillQueue.Arn>",
    }
    assert drain.pop("WriteLogs")["Resource"] == "<DrainLogs.Arn>"
    del webhook["WriteLogs"]
    assert drain == webhook


# ------------------------------------------------------------------------------------------------------ the notifier


def test_new_objects_of_alerts_and_failures_reach_the_notifier():
    rule = properties("ObjectCreatedRule", ExistingBucket="my-lake", LakePrefix="logs/")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["my-lake"]},
            "object": {"key": [{"prefix": "logs/tracebit_alert/"}, {"prefix": "logs/classification_failures/"}]},
            "reason": ["PutObject", "CompleteMultipartUpload", {"exists": False}],
        },
    }
    assert rule["State"] == "ENABLED"
    # S3 sends its events to the default bus alone.
    assert "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]) == ("<NotifyQueue.Arn>", {"Arn": "<NotifyDeadLetters.Arn>"})
    queues = ["<NotifyQueue.Arn>", "<NotifyDeadLetters.Arn>"]
    _, _, allowed = properties("NotifyQueuePolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queues,
        "Condition": {"ArnEquals": {"aws:SourceArn": "<ObjectCreatedRule.Arn>"}},
    }


def test_the_notifier_takes_from_its_queue_and_keeps_there_what_it_cannot_tell():
    mapping = of_type("AWS::Lambda::EventSourceMapping")["NotifyFunctionCreated"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"]) == ("<NotifyQueue.Arn>", "<NotifyFunction>")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = properties("NotifyQueue")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<NotifyDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 6 * properties("NotifyFunction")["Timeout"]
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= 8 * 3600
    for each in ("NotifyQueue", "NotifyDeadLetters"):
        assert properties(each)["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert properties(each)["SqsManagedSseEnabled"] is True
    metadata = source()["Resources"]["NotifyFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-notify"}
    logging = properties("NotifyFunction")["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<NotifyLogs>")



def test_the_notifiers_role_may_read_publish_and_mark_and_nothing_else():
    lake = "arn:aws:s3:::my-lake/logs/"
    allowed = statements("NotifyRole", ExistingBucket="my-lake", LakePrefix="logs/", EventBusName="security")
    assert [without("Effect", without("Sid", each)) for each in allowed] == [
        {
            "Action": "s3:GetObject",
            "Resource": [f"{lake}tracebit_alert/*", f"{lake}classification_failures/*"],
            "Condition": OWN_ACCOUNT,
        },
        {
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::my-lake",
            "Condition": {"StringLike": {"s3:prefix": "logs/notified/*"}} | OWN_ACCOUNT,
        },
        {
            "Action": "s3:PutObject",
            "Resource": f"{lake}notified/*",
            "Condition": {"Null": {"s3:if-none-match": "false"}} | OWN_ACCOUNT,
        },
        {"Action": "sns:Publish", "Resource": "<AlertTopic>"},
        {"Action": "events:PutEvents", "Resource": "arn:aws:events:eu-west-1:111122223333:event-bus/security"},
        {
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            "Resource": "<NotifyQueue.Arn>",
        },
        {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "<NotifyLogs.Arn>"},
        {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"},
    ]
    assert all(each["Effect"] == "Allow" for each in allowed)


# --------------------------------------------------------------------------------------------------------- the pager

PAGER_RULES = ["PagerAlertRule", "PagerOtherAlertRule", "PagerAlarmRule", "PagerResolveRule"]
# The alarms that need somebody now. An alert has a rule of its own.
PAGED = [each["name"] for each in yaml.safe_load((ROOT / "alarms.yml").read_text()) if each["urgency"] == "act-now"]


def paged(rule, event):
    """What PagerDuty gets of an event, checked against its documentation of the Events API v2."""
    (target,) = properties(rule, **PAGER)["Targets"]
    sent = transformed(target["InputTransformer"], event)
    # The connection puts the key in.
    (parameter,) = properties("PagerConnection", **PAGER)["AuthParameters"]["InvocationHttpParameters"]["BodyParameters"]
    assert parameter == {"Key": "routing_key", "Value": ROUTING_KEY, "IsValueSecret": True}
    assert sent.keys() <= {"event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}
    assert sent["event_action"] in ("trigger", "resolve") and 0 < len(sent["dedup_key"]) <= 255
    if sent["event_action"] == "trigger":
        payload = sent["payload"]
        optional = {"timestamp", "component", "group", "class", "custom_details"}
        assert payload.keys() - optional == {"summary", "source", "severity"}
        assert 0 < len(payload["summary"]) <= 1024 and payload["source"]
        assert payload["severity"] in ("critical", "error", "warning", "info")
        assert isinstance(payload["custom_details"], dict)
        assert all(each["href"].startswith("https://") for each in sent.get("links", []))
    return sent


def published(detail, detail_type="Tracebit.Alert"):
    return {"source": "tracebit-lake", "detail-type": detail_type, "detail": detail}


def test_a_stack_without_a_pager_has_nothing_for_one():
    made = stack()
    assert not [name for part in made.values() for name in part if name.startswith("Pager")]
    assert "Pager" not in json.dumps(made)


def test_the_key_of_the_pager_is_in_its_connection_alone():
    assert source()["Parameters"]["PagerDutyRoutingKey"]["NoEcho"] is True
    assert json.dumps(stack(**PAGER)).count(ROUTING_KEY) == 1
    destination = properties("PagerDestination", **PAGER)
    assert without("Description", destination) == {
        "ConnectionArn": "<PagerConnection.Arn>",
        "HttpMethod": "POST",
        "InvocationEndpoint": "https://events.pagerduty.com/v2/enqueue",
    }
    assert statements("PagerRole", **PAGER) == [
        {
            "Sid": "CallPagerDuty",
            "Effect": "Allow",
            "Action": "events:InvokeApiDestination",
            "Resource": "<PagerDestination.Arn>",
        }
    ]
    (trust,) = properties("PagerRole", **PAGER)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}


@pytest.mark.parametrize("rule", PAGER_RULES)
def test_what_the_pager_does_not_take_is_a_dead_letter(rule):
    declared = properties(rule, EventBusName="security", **PAGER)
    (target,) = declared["Targets"]
    assert (target["Arn"], target["RoleArn"]) == ("<PagerDestination.Arn>", "<PagerRole.Arn>")
    assert target["DeadLetterConfig"] == {"Arn": "<PagerDeadLetters.Arn>"}
    # CloudWatch sends its events to the default bus alone.
    assert declared.get("EventBusName") == ("security" if "AlertRule" in rule else None)
    _, _, allowed = properties("PagerDeadLettersPolicy", **PAGER)["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "<PagerDeadLetters.Arn>",
        "Condition": {"ArnEquals": {"aws:SourceArn": [f"<{each}.Arn>" for each in PAGER_RULES]}},
    }


def test_an_alert_calls_the_pager():
    log = json.loads((ROOT / "events/logs/alert-aws.json").read_text())
    assert paged("PagerAlertRule", published(log)) == {
        "event_action": "trigger",
        "dedup_key": log["alert_id"],
        "payload": {
            "summary": f"Tracebit Medium: canary_resource_accessed {log['canary']['name']}",
            "source": "lake",
            "severity": "critical",
            "custom_details": {
                "severity": "Medium",
                "kind": "canary_resource_accessed",
                "time": log["timestamp"],
                "provider": "aws",
                "account": log["canary"]["provider_account_id"],
                "canary": log["canary"]["name"],
                "canary type": "AWS::S3::Bucket",
            },
        },
        "links": [{"href": log["tracebit_portal_url"], "text": "The alert in Tracebit"}],
        "client": "tracebit-lake",
    }


def test_nothing_that_an_intruder_writes_keeps_the_pager_quiet():
    log = json.loads((ROOT / "events/logs/alert-aws.json").read_text())
    hostile = 'a"}], <detail> \\ </b> \n"'
    log |= {
        "message": hostile,
        "principal": {"id": hostile},
        "event": {"id": hostile, "operation": hostile, "request": {"user_agent": {"raw": hostile}, "ip": hostile}},
        "unknown": hostile,
    }
    assert paged("PagerAlertRule", published(log))["dedup_key"] == log["alert_id"]
    bare = {"alert_id": "a1", "tracebit_portal_url": "https://acme.tracebit.com/alerts/a1", "canary": None}
    assert paged("PagerAlertRule", published(bare))["dedup_key"] == "a1"
    failure = {"error": hostile, "payload": hostile, "log_type": "Tracebit.Alert", "p_row_id": "00ff"}
    assert paged("PagerOtherAlertRule", published(failure, "ClassificationFailure"))["dedup_key"] == "00ff"


def test_an_alarm_about_lost_alerts_calls_the_pager_and_is_resolved():
    for rule, state in (("PagerAlarmRule", "ALARM"), ("PagerResolveRule", "OK")):
        pattern = properties(rule, **PAGER)["EventPattern"]
        assert pattern == {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "account": ["111122223333"],
            "region": ["eu-west-1"],
            "detail": {"state": {"value": [state]}, "alarmName": [f"lake-{name}" for name in PAGED]},
        }
        # EventBridge takes no longer one, so a stack with a pager has a name of at most 58 characters.
        long = stack({"AWS::StackName": "x" * 58}, **PAGER)["Resources"][rule]["Properties"]["EventPattern"]
        assert len(json.dumps(long, separators=(",", ":"))) <= 2048
    for name in PAGED:
        alarm = alarms(**EVERYTHING, **HTTP_API)[name]
        # The example of CloudWatch's user guide, for this alarm.
        event = {
            "account": "111122223333",
            "region": "eu-west-1",
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "detail": {
                "alarmName": alarm["AlarmName"],
                "configuration": {"description": alarm["AlarmDescription"], "metrics": []},
                "state": {"reason": 'Threshold Crossed: 1 "datapoint"', "value": "ALARM"},
            },
        }
        trigger, resolve = paged("PagerAlarmRule", event), paged("PagerResolveRule", event)
        assert trigger["payload"]["summary"] == f"{alarm['AlarmName']}: {alarm['AlarmDescription']}"
        assert resolve == {"event_action": "resolve", "dedup_key": f"111122223333/eu-west-1/lake-{name}"}
        assert trigger["dedup_key"] == resolve["dedup_key"]


def test_a_pager_is_somebody_who_is_notified():
    notified = lambda **parameters: stack(**PAGER, **parameters)["Outputs"]["WhoIsTold"]["Value"]
    assert notified().startswith("PagerDuty and nobody else. Set AlarmEmail")
    assert notified(AlarmEmail="a@example.com").endswith("links are confirmed), PagerDuty")


# ---------------------------------------------------------------------------------------------------------- the SIEM

SIEM_ELSEWHERE = {**SIEM, "ExistingBucket": "my-lake", "LakePrefix": "logs/"}


def test_a_stack_without_a_siem_has_nothing_for_one():
    made = stack()
    assert not [name for part in made.values() for name in part if name.startswith("Siem")]
    assert "Siem" not in json.dumps(made)


def test_new_objects_of_every_table_reach_the_siems_queue():
    rule = properties("SiemRule", **SIEM_ELSEWHERE)
    notifier = properties("ObjectCreatedRule", ExistingBucket="my-lake", LakePrefix="logs/")["EventPattern"]
    notifier["detail"]["object"]["key"] = [{"prefix": f"logs/{table}/"} for table in TABLES]
    assert rule["EventPattern"] == notifier
    assert rule["State"] == "ENABLED" and "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]) == ("<SiemQueue.Arn>", {"Arn": "<SiemDeadLetters.Arn>"})
    queue = properties("SiemQueue", **SIEM)
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<SiemDeadLetters.Arn>"
    assert queue["VisibilityTimeout"] >= 300
    for each in ("SiemQueue", "SiemDeadLetters"):
        assert properties(each, **SIEM)["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_the_siem_gets_a_notification_as_s3_sends_it():
    key = "logs/tracebit_alert/day=2026-11-20/hour=02/20261120T025841Z-0123456789abcdef0123456789abcdef.json"
    # The example of S3's user guide, with a key of the lake.
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::my-lake"],
        "detail": {
            "version": "0",
            "bucket": {"name": "my-lake"},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }
    (target,) = properties("SiemRule", **SIEM_ELSEWHERE)["Targets"]
    s3 = {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": "my-lake", "arn": "arn:aws:s3:::my-lake"},
        "object": {"key": key, "size": 5, "eTag": "b1946ac92492d2347c6235b4d2611184"},
    }
    assert transformed(target["InputTransformer"], event) == {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "ca-central-1",
                "eventTime": "2021-11-12T00:00:00Z",
                "eventName": "ObjectCreated:Put",
                "s3": s3,
            }
        ]
    }
    # Readers decode a key. No part of one may change by that.
    assert urllib.parse.unquote_plus(key) == key
    prefix = source()["Parameters"]["LakePrefix"]["AllowedPattern"]
    assert not [each for each in map(chr, range(128)) if re.fullmatch(prefix, f"a{each}/") and each in "+%\"\\<>"]


def test_a_siem_may_take_messages_and_get_objects_and_nothing_else():
    queues = ["<SiemQueue.Arn>", "<SiemDeadLetters.Arn>"]
    policy = properties("SiemQueuePolicy", **SIEM)
    assert policy["Queues"] == ["<SiemQueue>", "<SiemDeadLetters>"]
    _, _, *allowed = policy["PolicyDocument"]["Statement"]
    assert [without("Sid", each) for each in allowed] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queues,
            "Condition": {"ArnEquals": {"aws:SourceArn": "<SiemRule.Arn>"}},
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": READER},
            "Action": [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
            ],
            "Resource": "<SiemQueue.Arn>",
        },
    ]
    denied, allowed = properties("LakeBucketPolicy", LakePrefix="logs/", **SIEM)["PolicyDocument"]["Statement"]
    assert [denied] == properties("LakeBucketPolicy")["PolicyDocument"]["Statement"]
    read = {"Sid": "LetTheSiemRead", "Effect": "Allow", "Principal": {"AWS": READER}, "Action": "s3:GetObject"}
    assert allowed == {**read, "Resource": [f"<LakeBucket.Arn>/logs/{table}/*" for table in TABLES]}
    # No stack may change the policy of a bucket that it did not make.
    elsewhere = stack(**SIEM_ELSEWHERE)["Outputs"]
    resources = [f"arn:aws:s3:::my-lake/logs/{table}/*" for table in TABLES]
    assert json.loads(elsewhere["SiemBucketStatement"]["Value"]) == {**read, "Resource": resources}
    assert "SiemBucketStatement" not in stack(**SIEM)["Outputs"]
    assert elsewhere["SiemQueueArn"]["Value"] == "<SiemQueue.Arn>"


# ------------------------------------------------------------------------------------------------------- the watcher


def test_a_schedule_begins_rounds_and_nothing_repeats_one():
    schedule = properties("WatchSchedule")
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"} and "State" not in schedule
    at_most_a_minute = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert schedule["Target"] == {
        "Arn": "<WatchFunction.Arn>",
        "RoleArn": "<WatchScheduleRole.Arn>",
        "RetryPolicy": at_most_a_minute,
    }
    (asynchronous,) = of_type("AWS::Lambda::EventInvokeConfig").values()
    assert at_most_a_minute.items() <= asynchronous.items() and asynchronous["FunctionName"] == "<WatchFunction>"
    assert statements("WatchScheduleRole") == [
        {
            "Sid": "BeginRounds",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": "<WatchFunction.Arn>",
        }
    ]
    (trust,) = properties("WatchScheduleRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }


@pytest.mark.parametrize("minutes", source()["Parameters"]["WatchMinutes"]["AllowedValues"])
def test_a_period_of_the_alarms_is_as_long_as_a_round(minutes):
    rate = properties("WatchSchedule", WatchMinutes=minutes)["ScheduleExpression"]
    # EventBridge wants a singular for 1.
    assert rate == ("rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)")
    declared = alarms(WatchMinutes=minutes, **LISTS)
    for name in ("alerts-missing", "alerts-unpublished", "nobody-listens", "watch-problems", "watch-silent"):
        stats = [part["MetricStat"] for part in declared[name].get("Metrics", []) if "MetricStat" in part]
        assert {each["Period"] for each in stats or [declared[name]]} == {minutes * 60}, name
    assert declared["watch-silent"]["EvaluationPeriods"] * minutes == max(30, 3 * minutes)
    # CloudWatch looks at a day at most.
    assert all(each["EvaluationPeriods"] * each.get("Period", 60) <= 24 * 3600 for each in declared.values())


def test_the_watcher_has_room_for_the_largest_answer_whatever_the_others_have():
    function = properties("WatchFunction", MemorySize=128)
    assert function["MemorySize"] == 512 and function["Timeout"] == 60
    metadata = source()["Resources"]["WatchFunction"]["Metadata"]
    assert metadata["BuildProperties"] == {"Binary": "tracebit-lake-watch"}
    logging = function["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogGroup"]) == ("INFO", "<WatchLogs>")


WATCHED = ["tracebit_alert", "classification_failures"]


def test_the_watchers_role_may_look_and_send_and_nothing_else():
    lake = "arn:aws:s3:::my-lake/logs/"
    allowed = statements("WatchRole", ExistingBucket="my-lake", LakePrefix="logs/")
    assert [without("Effect", without("Sid", each)) for each in allowed] == [
        {
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::my-lake",
            "Condition": {"StringLike": {"s3:prefix": [f"logs/{name}/*" for name in [*WATCHED, "notified"]]}}
            | OWN_ACCOUNT,
        },
        {"Action": "s3:GetObject", "Resource": [f"{lake}{table}/*" for table in WATCHED], "Condition": OWN_ACCOUNT},
        {"Action": "sqs:SendMessage", "Resource": "<NotifyQueue.Arn>"},
        {"Action": "sns:GetTopicAttributes", "Resource": ["<AlertTopic>", "<AlarmTopic>"]},
        {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "<WatchLogs.Arn>"},
        {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"},
    ]
    assert all(each["Effect"] == "Allow" for each in allowed)


def test_a_watcher_of_tracebits_list_may_also_add_what_is_missing_and_read_its_token():
    before = {each["Sid"]: each for each in statements("WatchRole")}
    allowed = {each["Sid"]: each for each in statements("WatchRole", **LISTS)}
    assert allowed.pop("AddToLake") == {
        "Sid": "AddToLake",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": [f"arn:aws:s3:::<LakeBucket>/{table}/*" for table in WATCHED],
        "Condition": {"Null": {"s3:if-none-match": "false"}} | OWN_ACCOUNT,
    }
    assert without("Sid", allowed.pop("ReadApiToken")) == {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "<ApiTokenSecret>",
    }
    assert allowed == before


def test_url_and_token_are_both_set_or_neither():
    named = ("TRACEBIT_API_URL", "TRACEBIT_API_TOKEN_ARN")
    variables = lambda **parameters: properties("WatchFunction", **parameters)["Environment"]["Variables"]
    assert [variables()[name] for name in named] == ["", ""]
    assert [variables(**LISTS)[name] for name in named] == ["https://acme.tracebit.com", "<ApiTokenSecret>"]
    assert "ApiTokenSecret" not in stack()["Resources"] and "ApiTokenCommand" not in stack()["Outputs"]


@pytest.mark.parametrize("days", [0, 1, 3, 6, 7, 8, 400])
def test_the_watcher_looks_no_further_back_than_records_are_kept(days):
    # 7 is the default of WATCH_DAYS (src/watch/config.rs), and an empty value counts as unset.
    made = stack(RetentionDays=days, **LISTS)
    looked_back = made["Resources"]["WatchFunction"]["Properties"]["Environment"]["Variables"]["WATCH_DAYS"]
    assert (looked_back or 7) == (min(days, 7) if days else 7)
    option = re.search(r" --days (\d+)", made["Outputs"]["WatchCommand"]["Value"])
    assert (int(option[1]) if option else 7) == (looked_back or 7)


def test_the_token_is_in_no_parameter_and_the_command_keeps_it_out_of_the_history():
    made = stack(**LISTS)
    secret = made["Resources"]["ApiTokenSecret"]["Properties"]
    # A bearer token has no space, so the function sends this text to nobody.
    assert " " in secret["SecretString"] and "ApiTokenCommand" in secret["SecretString"]
    assert "KmsKeyId" not in secret
    assert properties("ApiTokenSecret", SecretKmsKeyArn=KEY, **LISTS)["KmsKeyId"] == KEY
    command = made["Outputs"]["ApiTokenCommand"]["Value"]
    assert command.startswith("aws secretsmanager put-secret-value ") and "--secret-id <ApiTokenSecret> " in command
    assert command.endswith("--secret-string file:///dev/stdin")
    assert not [name for name in source()["Parameters"] if "Token" in name]


# ------------------------------------------------------------------------------------------------ topics and channels


def test_messages_about_alerts_are_encrypted_and_sent_over_tls_alone():
    assert properties("AlertTopic")["KmsMasterKeyId"] == "alias/aws/sns"
    assert properties("AlertTopic", KmsKeyArn=KEY)["KmsMasterKeyId"] == "alias/aws/sns"
    assert "KmsMasterKeyId" not in properties("AlarmTopic"), "alarms cannot publish with SNS's own key"
    for policy in ("AlertTopicPolicy", "AlarmTopicPolicy", "ActNowTopicPolicy"):
        denied, *_ = properties(policy)["PolicyDocument"]["Statement"]
        assert (denied["Effect"], denied["Action"], denied["Condition"]) == ("Deny", "sns:Publish", TLS_ONLY)


@pytest.mark.parametrize(
    ("topic", "condition"),
    [
        ("AlertTopic", {"ArnNotLikeIfExists": {"aws:PrincipalArn": "<NotifyRole.Arn>"}}),
        ("AlarmTopic", {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}),
        ("ActNowTopic", {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}),
    ],
)
def test_the_notifier_alone_publishes_alerts_and_services_alone_publish_alarms(topic, condition):
    _, others, *_ = properties(f"{topic}Policy", OperatorArn=OPERATORS)["PolicyDocument"]["Statement"]
    assert without("Sid", others) == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": f"<{topic}>",
        "Condition": condition,
    }


SLACK = {"SlackWorkspaceId": "T07EA123LEP", "SlackChannelId": "C07EZ1ABC23"}
TEAM = "6f1c2d3e-0000-4000-8000-1234567890ab"
TEAMS = {"TeamsTenantId": TEAM, "TeamsTeamId": TEAM, "TeamsChannelId": "19%3aab-0123%40thread.tacv2"}


@pytest.mark.parametrize(
    ("name", "parameters", "members"),
    [
        ("SlackChannel", SLACK, SLACK),
        ("TeamsChannel", TEAMS, {"TeamsTenantId": TEAM, "TeamId": TEAM, "TeamsChannelId": TEAMS["TeamsChannelId"]}),
    ],
)
def test_a_channel_gets_both_topics_and_its_members_may_do_nothing(name, parameters, members):
    assert not {"SlackChannel", "TeamsChannel", "ChatRole"} & stack()["Resources"].keys()
    made = stack(**parameters)
    channel = made["Resources"][name]["Properties"]
    assert members.items() <= channel.items()
    assert channel["SnsTopicArns"] == ["<AlertTopic>", "<AlarmTopic>"]
    assert channel["GuardrailPolicies"] == ["arn:aws:iam::aws:policy/AWSDenyAll"]
    role = made["Resources"]["ChatRole"]["Properties"]
    assert channel["IamRoleArn"] == "<ChatRole.Arn>" and not {"Policies", "ManagedPolicyArns"} & role.keys()
    notified = made["Outputs"]["WhoIsTold"]["Value"]
    assert list(parameters.values())[-1] in notified and "NOBODY" not in notified


@pytest.mark.parametrize("parameters", [SLACK, TEAMS])
def test_half_a_channel_is_refused(parameters):
    assert refusals(**parameters) == []
    for name in parameters:
        (refusal,) = refusals(**without(name, parameters))
        assert name in refusal


def test_alarms_and_the_rule_of_deletions_may_publish_to_the_topic_of_alarms():
    _, _, allowed = properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": ["cloudwatch.amazonaws.com", "events.amazonaws.com"]},
        "Action": "sns:Publish",
        "Resource": "<AlarmTopic>",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }
    (target,) = properties("RecordDeletedRule")["Targets"]
    assert target["Arn"] == "<AlarmTopic>"
    shown = target["InputTransformer"]
    assert set(re.findall(r"<(\w+)>", shown["InputTemplate"])) == set(shown["InputPathsMap"])
    section = re.search(r"Bring back a deleted record", shown["InputTemplate"])[0]
    assert f"## {section}\n" in (ROOT / "docs/operate.md").read_text()


def test_alarms_alone_may_publish_to_the_topic_for_pagers():
    _, _, allowed = properties("ActNowTopicPolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "<ActNowTopic>",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }


def test_a_deployment_fails_if_the_bus_does_not_exist():
    check = properties("EventBusCheck", EventBusName="security")
    assert (check["EventBusName"], check["State"]) == ("security", "DISABLED") and "Targets" not in check


def test_no_role_or_policy_reaches_a_bucket_of_another_account():
    for name in ("WebhookRole", "DrainRole", "NotifyRole", "WatchRole"):
        policies = properties(name, **LISTS)["Policies"]
        found = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
        assert_own_account_alone(found, name)
    assert_own_account_alone(properties("AnalystPolicy")["PolicyDocument"]["Statement"], "AnalystPolicy")


def assert_own_account_alone(found, name):
    for each in found:
        if "s3:" in str(each["Action"]):
            assert each["Condition"]["StringEquals"] == OWN_ACCOUNT["StringEquals"], f"{name}: {each}"


# --------------------------------------------------------------------------------------------------------- buckets


@pytest.mark.parametrize("bucket", ["LakeBucket", "ResultsBucket"])
def test_buckets_are_private_encrypted_tls_only_and_outlive_the_stack(bucket):
    resource = stack()["Resources"][bucket]
    policy = stack()["Resources"][f"{bucket}Policy"]
    for each in (resource, policy):
        assert (each["DeletionPolicy"], each["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert resource["Properties"]["PublicAccessBlockConfiguration"] == PRIVATE
    assert resource["Properties"]["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert encryption(bucket) == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert encryption(bucket, KmsKeyArn=KEY) == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
    }
    assert policy["Properties"]["Bucket"] == f"<{bucket}>"
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert without("Sid", statement) == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"<{bucket}.Arn>", f"<{bucket}.Arn>/*"],
        "Condition": TLS_ONLY,
    }


def encryption(bucket, **parameters):
    (rule,) = properties(bucket, **parameters)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return rule


def test_the_lake_keeps_versions_and_announces_objects():
    bucket = properties("LakeBucket")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def lifecycle(**parameters):
    rules = properties("LakeBucket", **parameters)["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    return {rule["Id"]: without("Id", without("Status", rule)) for rule in rules}


def test_alerts_are_kept_for_good_and_health_checks_for_90_days():
    assert lifecycle() == {
        "deleted-records": {
            "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
            "ExpiredObjectDeleteMarker": True,
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        "health-checks": {"Prefix": "tracebit_healthcheck/", "ExpirationInDays": 90},
    }


def test_records_disappear_and_are_deleted_when_the_parameters_say():
    rules = lifecycle(RetentionDays=400, HealthCheckRetentionDays=30, RestoreDays=7, LakePrefix="logs/")
    assert rules["retention"] == {"ExpirationInDays": 400}
    assert rules["health-checks"] == {"Prefix": "logs/tracebit_healthcheck/", "ExpirationInDays": 30}
    assert rules["deleted-records"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert rules["deleted-records"]["ExpiredObjectDeleteMarker"] is True
    location = tables(LakePrefix="logs/")["tracebit_healthcheck"]["TableInput"]["StorageDescriptor"]["Location"]
    assert location.endswith(rules["health-checks"]["Prefix"])
    assert lifecycle(HealthCheckRetentionDays=0).keys() == {"deleted-records"}


def test_object_lock_is_off_unless_a_mode_is_chosen():
    assert not {"ObjectLockEnabled", "ObjectLockConfiguration"} & properties("LakeBucket").keys()
    locked = properties("LakeBucket", ObjectLockMode="GOVERNANCE", ObjectLockDays=30)
    assert locked["ObjectLockEnabled"] is True
    assert locked["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}},
    }


def test_the_texts_say_that_object_lock_cannot_be_turned_off():
    assert "never off" in source()["Parameters"]["ObjectLockMode"]["Description"]
    section = re.search(r"^## Object Lock\n(.*?)^## ", PARAMETERS, re.M | re.S)[1]
    modes = re.findall(r"^\| `([A-Z]+)` \|", section, re.M)
    assert modes == source()["Parameters"]["ObjectLockMode"]["AllowedValues"]
    assert "You can never turn it off" in section and "delete\n  marker" in section
    # A bucket of a fixed name could not be replaced. CloudFormation turns Object Lock on in the bucket that is there.
    assert "BucketName" not in properties("LakeBucket", ObjectLockMode="GOVERNANCE")


def test_an_existing_bucket_is_left_as_it_is_but_must_exist():
    resources = stack(ExistingBucket="my-lake")["Resources"]
    assert not {"LakeBucket", "LakeBucketPolicy"} & resources.keys()
    check = resources["ExistingBucketCheck"]
    assert check["Type"] == "AWS::S3::AccessPoint"
    assert check["Properties"] == {"Bucket": "my-lake", "PublicAccessBlockConfiguration": PRIVATE}
    assert "ExistingBucketCheck" not in stack()["Resources"]


# ------------------------------------------------------------------------------------------------ tables and queries


def tables(**parameters):
    """The tables of records, without the view and the table of records as text."""
    declared = {each["TableInput"]["Name"]: each for each in of_type("AWS::Glue::Table", **parameters).values()}
    return {name: each for name, each in declared.items() if "PartitionKeys" in each["TableInput"]}


def test_every_log_type_and_the_failures_have_a_table():
    assert list(tables()) == TABLES
    # The property at the top alone makes CloudFormation replace the database when its name changes.
    database = of_type("AWS::Glue::Database", DatabaseName="security")["Database"]
    assert (database["DatabaseName"], database["DatabaseInput"]["Name"]) == ("security", "security")


@pytest.mark.parametrize("table", tables())
def test_a_projected_partition_is_the_folder_that_records_are_filed_in(table):
    declared = tables(ExistingBucket="my-lake", LakePrefix="logs/")[table]
    assert declared["DatabaseName"] == "<Database>"
    table_input = declared["TableInput"]
    parameters = table_input["Parameters"]
    assert table_input["StorageDescriptor"]["Location"] == f"s3://my-lake/logs/{table}/"
    keys = table_input["PartitionKeys"]
    # AWS documents a key that is projected as dates as a string.
    assert [(key["Name"], key["Type"]) for key in keys] == [("day", "string")]

    projection = {name: value for name, value in parameters.items() if name.startswith("projection.")}
    assert projection == {
        "projection.enabled": "true",
        "projection.day.type": "date",
        "projection.day.format": "yyyy-MM-dd",
        "projection.day.range": "2024-01-01,NOW+1DAYS",
        "projection.day.interval": "1",
        "projection.day.interval.unit": "DAYS",
    }
    location = parameters["storage.location.template"].replace("${day}", "2026-03-09")
    record = f"s3://my-lake/logs/{table}/day=2026-03-09/hour=07/20260309T070102Z-{'0' * 32}.json"
    assert record.startswith(location)


@pytest.mark.parametrize("table", tables())
def test_tables_read_one_json_object_a_line(table):
    storage = tables()[table]["TableInput"]["StorageDescriptor"]
    assert storage["SerdeInfo"] == {"SerializationLibrary": "org.apache.hive.hcatalog.data.JsonSerDe"}
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    columns = {column["Name"]: column["Type"] for column in storage["Columns"]}
    assert len(columns) == len(storage["Columns"]), "a column is named twice"
    assert all(len(column["Comment"]) <= 255 for column in storage["Columns"])
    # A TIMESTAMP column reads YYYY-MM-DD HH:MM:SS.fff alone, which only these two are written in.
    assert {name for name, kind in columns.items() if "timestamp" in kind.split(":")[-1] or kind == "timestamp"} <= {
        "p_event_time",
        "p_parse_time",
    }


def test_results_lie_outside_the_lake_encrypted_and_expire():
    workgroup = of_type("AWS::Athena::WorkGroup")["WorkGroup"]
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 2**40
    assert configuration["ResultConfiguration"] == {
        "OutputLocation": "s3://<ResultsBucket>/",
        "ExpectedBucketOwner": "111122223333",
        "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
    }
    locked = of_type("AWS::Athena::WorkGroup", KmsKeyArn=KEY)["WorkGroup"]["WorkGroupConfiguration"]
    assert locked["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_KMS", "KmsKey": KEY}
    (rule,) = properties("ResultsBucket")["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled" and 1 <= rule["ExpirationInDays"] <= 31


def analyst(**parameters):
    statements = properties("AnalystPolicy", **parameters)["PolicyDocument"]["Statement"]
    assert all(each["Effect"] == "Allow" for each in statements)
    return {each["Sid"]: without("Sid", without("Effect", each)) for each in statements}


def test_an_analyst_may_use_the_console_and_the_lake_alone():
    allowed = analyst(ExistingBucket="my-lake", LakePrefix="logs/")
    listed = lambda action: {action} if isinstance(action, str) else set(action)
    actions = {sid: listed(each["Action"]) for sid, each in allowed.items()}
    everything = set().union(*actions.values())
    assert not any("*" in action for action in everything)
    # AWS's example policy for running queries in one workgroup, without what changes or deletes.
    assert everything >= {
        f"athena:{name}"
        for name in """ListEngineVersions ListWorkGroups ListDataCatalogs ListDatabases GetDatabase ListTableMetadata
        GetTableMetadata GetWorkGroup BatchGetQueryExecution GetQueryExecution ListQueryExecutions StartQueryExecution
        StopQueryExecution GetQueryResults GetQueryResultsStream CreateNamedQuery GetNamedQuery BatchGetNamedQuery
        ListNamedQueries GetPreparedStatement ListPreparedStatements""".split()
    }
    changing = re.compile(r":(Delete|Update|Put|Create|Restore|Abort)")
    assert {each for each in everything if changing.search(each)} == {
        "athena:CreateNamedQuery",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
    }
    anywhere = [sid for sid, each in allowed.items() if each["Resource"] == "*"]
    assert anywhere == ["FindTheWorkGroup"] and all(":List" in action for action in actions["FindTheWorkGroup"])
    account = "eu-west-1:111122223333"
    assert allowed["RunQueries"]["Resource"] == f"arn:aws:athena:{account}:workgroup/<WorkGroup>"
    assert allowed["ReadTables"]["Resource"] == [
        f"arn:aws:glue:{account}:catalog",
        f"arn:aws:glue:{account}:database/<Database>",
        f"arn:aws:glue:{account}:table/<Database>/*",
    ]
    lake = [f"arn:aws:s3:::my-lake/logs/{table}/*" for table in TABLES]
    assert allowed["ReadRecords"] == {"Action": "s3:GetObject", "Resource": lake, "Condition": OWN_ACCOUNT}
    assert allowed["ListRecords"] == {
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::my-lake",
        "Condition": {"StringLike": {"s3:prefix": [f"logs/{table}/*" for table in TABLES]}} | OWN_ACCOUNT,
    }
    for sid in ("ListResults", "WriteResults"):
        assert allowed[sid]["Resource"].startswith("<ResultsBucket.Arn>")
    assert [sid for sid, each in allowed.items() if "s3:PutObject" in each["Action"]] == ["WriteResults"]


def test_an_analyst_may_use_the_key_through_s3():
    assert "UseKey" not in analyst()
    assert analyst(KmsKeyArn=KEY)["UseKey"] == {
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
    }


def test_a_stack_without_a_catalog_has_nothing_of_glue_or_athena_and_nothing_names_it():
    with_catalog, without_catalog = stack(**EVERYTHING), stack(Catalog="None", KmsKeyArn=KEY, **EVERYTHING)
    made, left_out = without_catalog["Resources"], with_catalog["Resources"].keys() - without_catalog["Resources"].keys()
    kinds = {with_catalog["Resources"][name]["Type"] for name in left_out}
    assert kinds == {
        *("AWS::Glue::Database", "AWS::Glue::Table", "AWS::Athena::WorkGroup", "AWS::Athena::NamedQuery"),
        *("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
    }
    assert {"ResultsBucket", "ResultsBucketPolicy"} == {name for name in left_out if name.startswith("Results")}
    assert not [each for each in made.values() if each["Type"].startswith(("AWS::Glue", "AWS::Athena"))]
    assert with_catalog["Outputs"].keys() - without_catalog["Outputs"].keys() == {
        *("AthenaConsole", "WorkGroup", "Database", "ResultsLocation")
    }
    text = json.dumps(without_catalog)
    assert not re.search(r"athena:|glue:|<WorkGroup>|<Database>|<ResultsBucket", text)
    # An empty variable counts as unset, so messages name neither Athena nor SQL.
    variables = made["NotifyFunction"]["Properties"]["Environment"]["Variables"]
    assert (variables["ATHENA_DATABASE"], variables["ATHENA_WORKGROUP"]) == ("", "")
    # An analyst may still read the records, with another engine.
    allowed = analyst(Catalog="None", KmsKeyArn=KEY)
    assert allowed.keys() == {"ReadRecords", "ListRecords", "LocateBuckets", "UseKey"}
    assert allowed["LocateBuckets"]["Resource"] == ["arn:aws:s3:::<LakeBucket>"]
    assert allowed["UseKey"]["Action"] == "kms:Decrypt"


def test_the_page_for_analysts_names_the_outputs_and_no_policy_of_its_own():
    page = (ROOT / "docs/query.md").read_text()
    section = re.search(r"^## Who may query\n(.*?)^## ", page, re.M | re.S)[1]
    named = {"AnalystPolicy", "WorkGroup", "Database", "Bucket", "ResultsLocation"}
    assert set(re.findall(r"output `(\w+)`", section)) == named
    outputs = {name: output["Value"] for name, output in stack()["Outputs"].items()}
    assert outputs["ResultsLocation"] == "s3://<ResultsBucket>/"
    assert (outputs["WorkGroup"], outputs["Database"], outputs["AnalystPolicy"]) == (
        "<WorkGroup>",
        "<Database>",
        "<AnalystPolicy>",
    )
    assert '"Statement"' not in page


def test_the_first_questions_of_an_analyst_are_saved():
    queries = of_type("AWS::Athena::NamedQuery").values()
    files = {path.stem for path in (ROOT / "queries").glob("*.sql")} - {"duckdb"}
    assert {query["Name"] for query in queries} == files >= {"latest-alerts", "everything-one-actor-did"}
    assert all((query["Database"], query["WorkGroup"]) == ("<Database>", "<WorkGroup>") for query in queries)


# ------------------------------------------------------------------------------------------------- alarms, dashboard


def alarms(**parameters):
    return {
        each["AlarmName"].removeprefix("lake-"): each
        for each in of_type("AWS::CloudWatch::Alarm", **parameters).values()
    }


def test_every_alarm_notifies_people_and_is_explained():
    declared = alarms(**EVERYTHING, **HTTP_API)
    for name, alarm in declared.items():
        assert "<AlarmTopic>" in alarm["AlarmActions"], name
        assert f"### {name}\n" in OPERATE, name
    assert set(re.findall(r"^### ([a-z-]+)$", OPERATE, re.M)) == declared.keys()


def test_metrics_are_of_this_stack_alone():
    for name, alarm in alarms(**EVERYTHING, **HTTP_API).items():
        parts = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part] or [alarm]
        for metric in parts:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert dimensions if metric["Namespace"].startswith("AWS/") else dimensions["Stack"] == "lake", name
    for function in ("WebhookFunction", "DrainFunction", "NotifyFunction", "WatchFunction"):
        assert properties(function)["Environment"]["Variables"]["STACK_NAME"] == "lake"


def test_people_hear_of_changed_quiet_rules():
    rule = properties("QuietRulesChangedRule", QuietRules="Yes", LakePrefix="logs/")
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": ["<LakeBucket>"]}, "object": {"key": ["logs/config/quiet.json"]}
    }
    assert [target["Arn"] for target in rule["Targets"]] == ["<AlarmTopic>"]
    assert "QuietRulesChangedRule" not in of_type("AWS::Events::Rule")


def test_quiet_rules_are_read_only_if_they_count():
    key = "arn:aws:s3:::{}/config/quiet.json"
    for parameters, value in [({}, "No"), ({"QuietRules": "Yes"}, "Yes")]:
        assert properties("NotifyFunction", **parameters)["Environment"]["Variables"]["QUIET_RULES"] == value
        statements = properties("NotifyRole", **parameters)["Policies"][0]["PolicyDocument"]["Statement"]
        readable = [each["Resource"] for each in statements if each["Sid"] == "ReadQuietRules"]
        assert readable == ([key.format("<LakeBucket>")] if value == "Yes" else [])
        # The alarm that knows no rules must not wake anybody whom a rule lets sleep.
        assert properties("AlertAlarm", **parameters)["ActionsEnabled"] is (value == "No")


def test_the_topics_mail_only_whom_they_were_given():
    assert of_type("AWS::SNS::Subscription") == {}
    subscriptions = of_type("AWS::SNS::Subscription", AlarmEmail="a@example.com")
    mail = {"Protocol": "email", "Endpoint": "a@example.com"}
    assert subscriptions == {
        "AlarmSubscription": {"TopicArn": "<AlarmTopic>", **mail},
        "AlertSubscription": {
            "TopicArn": "<AlertTopic>",
            **mail,
            "FilterPolicyScope": "MessageAttributes",
            # The first message of an alert and day has no attributes. Those for chat alone have form=chat.
            "FilterPolicy": {"form": [{"exists": False}]},
        },
    }


def test_a_stack_that_tells_nobody_says_so():
    silent, notified = stack(), stack(AlarmEmail="a@example.com")
    assert silent["Outputs"]["WhoIsTold"]["Value"].startswith("NOBODY. Set AlarmEmail")
    assert notified["Outputs"]["WhoIsTold"]["Value"].startswith("a@example.com")
    title = lambda resources: [
        widget["properties"]["markdown"]
        for widget in json.loads(resources["Resources"]["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
        if widget["properties"].get("markdown", "").startswith("## Was anybody notified?")
    ]
    assert "subscribes nobody" in title(silent)[0]
    assert title(notified) == ["## Was anybody notified?"]


def test_the_address_is_the_first_parameter_asked_for():
    assert next(iter(source()["Parameters"])) == "AlarmEmail"


@pytest.mark.parametrize(
    ("parameters", "metrics"),
    [
        ({}, METRICS),
        ({"HealthCheckSilenceHours": 0}, METRICS),
        (LISTS, METRICS),
        ({"QuietRules": "Yes"}, METRICS),
        (EVERYTHING, METRICS),
        (HTTP_API, METRICS | {"ApiThrottled": None}),
        (BOTH, METRICS | {"ApiThrottled": None}),
    ],
)
def test_the_dashboard_shows_every_alarm_and_every_metric(parameters, metrics):
    body = properties("Dashboard", **parameters)["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    # In this order, because CloudWatch sorts the alarms of a widget by their names.
    shown = [widget["properties"] for widget in widgets if widget["type"] == "alarm"]
    assert [each["title"] for each in shown] == ["Act now", "Today", "This week"]
    declared = of_type("AWS::CloudWatch::Alarm", **parameters)
    for each, begins in zip(shown, ["Act now. ", "Today. ", "This week. "], strict=True):
        urgent = {f"<{name}.Arn>" for name, alarm in declared.items() if alarm["AlarmDescription"].startswith(begins)}
        assert set(each["alarms"]) == urgent

    own = [line for line in metric_lines(widgets) if line[0] == "TracebitLake"]
    assert all(line[2:4] == ["Stack", "lake"] for line in own)
    shown = {line[1]: None for line in own}
    searches = re.findall(r"\{TracebitLake,Stack,(\w+)\} MetricName=\\?\"(\w+)\\?\" Stack=\\?\"lake\\?\"", body)
    shown |= {metric: dimension for dimension, metric in searches}
    assert shown == metrics
    hint = "" if "TracebitApiUrl" in parameters else " (Set TracebitApiUrl to compare the lake with the alerts that Tracebit lists.)"
    assert [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"] == [
        f"## Is there an alert that nobody knows of?{hint}",
        "## Is it alive?",
        "## Was anybody notified? (This stack subscribes nobody: set AlarmEmail, or subscribe somebody to AlertTopic and"
        " AlarmTopic.)",
        "## What came in?",
        "## What went wrong?",
        "## How fast?",
    ]


def test_the_first_row_of_the_dashboard_is_the_chain_in_numbers():
    widgets = json.loads(properties("Dashboard", WatchMinutes=10)["DashboardBody"])["widgets"]
    row = sorted((each for each in widgets if each["y"] == 1), key=lambda each: each["x"])
    assert [[line[1] for line in each["properties"]["metrics"]] for each in row] == [
        ["AlertsListed", "AlertsMissing"],
        ["LogsStored", "LogsRecovered"],
        ["AlertsUnpublished", "WatchProblems"],
        ["AlertSubscribers", "AlarmSubscribers"],
    ]
    assert {each["properties"]["view"] for each in row} == {"singleValue"}
    # What a round counts is shown as the last round counted it, what is stored over the time that the dashboard shows.
    assert [each["properties"]["period"] for each in row] == [600, 300, 600, 600]
    assert [each["properties"].get("setPeriodToTimeRange", False) for each in row] == [False, True, False, False]


URL_METRICS = ["UrlRequestCount", "Url4xxCount", "Url5xxCount", "UrlRequestLatency", "UrlRequestLatency"]
API_METRICS = ["Count", "4xx", "5xx", "Latency", "Latency"]


@pytest.mark.parametrize(
    ("parameters", "url", "api"),
    [({}, URL_METRICS, []), (HTTP_API, [], API_METRICS), (BOTH, URL_METRICS, API_METRICS)],
)
def test_the_dashboard_shows_the_endpoints_own_metrics(parameters, url, api):
    lines = metric_lines(json.loads(properties("Dashboard", **parameters)["DashboardBody"])["widgets"])
    of = lambda *dimension: [line[1] for line in lines if (line[0], *line[2:4]) == dimension]
    shown = of("AWS/Lambda", "FunctionName", "<WebhookFunction>")
    assert [metric for metric in shown if metric not in ("Errors", "Throttles")] == url
    assert of("AWS/ApiGateway", "ApiId", "<Api>") == api
    labels = [line[-1]["label"] for line in lines if line[1] in {*url, *api}]
    assert len(set(labels)) == len(labels), "with both, nobody could tell them apart"


def metric_lines(widgets):
    return [
        line
        for widget in widgets
        if widget["type"] == "metric"
        for line in widget["properties"]["metrics"]
        if isinstance(line[0], str)
    ]


def test_a_stack_need_not_have_a_dashboard_and_loses_nothing_else_with_it():
    every, fewer = stack(**EVERYTHING), stack(MakeDashboard="No", **EVERYTHING)
    assert every["Resources"].keys() - fewer["Resources"].keys() == {"Dashboard"}
    assert every["Outputs"].keys() - fewer["Outputs"].keys() == {"DashboardConsole"}


def test_widgets_do_not_overlap():
    taken = set()
    for widget in json.loads(properties("Dashboard")["DashboardBody"])["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


# --------------------------------------------------------------------------------------------------------- outputs


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
