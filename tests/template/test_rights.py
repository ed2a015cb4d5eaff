"""docs/deploy-policy.json allows what CloudFormation does for each resource of the template, and little else.

What that is, each resource type says in its own schema (`handlers`), which cfn-lint carries.
"""

import fnmatch
import functools
import json
import pathlib
import re

import cfnlint
import pytest
from shared import EVERYTHING, HTTP_API, SLACK, TEAMS
from stack import ROOT, stack, translated

POLICY = json.loads((ROOT / "docs/deploy-policy.json").read_text())
STACK = "tracebit-lake"
SCHEMAS = pathlib.Path(cfnlint.__file__).parent / "data/schemas"
# Of features that the template does not use, or that are for a KMS key of yours (docs/install.md).
UNUSED = re.compile(
    r"(kms|ec2|elasticfilesystem|s3files|s3tables|firehose|lakeformation):"
    r"|iam:(Attach|Detach)(Group|User)Policy"
    r"|glue:(.*Connection|GetSchemaVersion)"
    r"|lambda:(.*(CodeSigning|CapacityProvider|LayerVersion|RuntimeAlias|PublishVersion).*|Put(FunctionRecursion|FunctionScaling|RuntimeManagement)Config)"
    r"|logs:(.*(DataProtection|Index)Polic.*|PutBearerTokenAuthentication|PutLogGroupDeletionProtection)"
    r"|sns:.*DataProtectionPolicy"
    r"|secretsmanager:.*Replicat.*"
    r"|s3:(.*(Abac|Acl|Analytics|CORS|Cors|Website|Replication|Inventory|Metrics|Accelerate|Logging|Metadata|IntelligentTiering).*"
    r"|DeleteBucket(Encryption|Lifecycle|MetricsConfiguration)|.*Object(Acl|Version)?|REST\.PUT\.OBJECT|getObject"
    r"|.*Multipart.*|PutAccessPointPolicy|DeleteAccessPointPolicy|GetObject.*)$"
)


@functools.cache
def handlers(kind):
    """What CloudFormation does for a resource type, by the type's own schema."""
    known = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())
    schema = json.loads((SCHEMAS / "resources" / f"{known[kind]}.json").read_text())
    used = ("create", "read", "update", "delete")
    return {action for name in used for action in schema["handlers"].get(name, {}).get("permissions", [])}


def needed(kind):
    return {action for action in handlers(kind) if not UNUSED.match(action)}


KINDS = sorted({resource["Type"] for resource in translated()["Resources"].values()})


def listed(value):
    return value if isinstance(value, list) else [value]


def allowing(action, arn=None):
    """The statements that allow an action on a resource; on any, if none is named."""
    return [
        each
        for each in POLICY["Statement"]
        if any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in listed(each["Action"]))
        and (arn is None or any(fnmatch.fnmatchcase(arn, pattern) for pattern in listed(each["Resource"])))
    ]


CODE = "arn:aws:s3:::CODE_BUCKET/tracebit-lake/1a2b"
# What the commands of docs/install.md call, which CloudFormation does not.
CONFIRM = [("sns:ConfirmSubscription", f"arn:aws:sns:eu-west-1:111122223333:{STACK}-AlertTopic-1A2B")]
# `aws cloudformation package` and `deploy` upload the code, and CloudFormation reads it as whoever deploys.
AWS_CLI = [("s3:PutObject", CODE), ("s3:GetObject", CODE)]
# Terraform reads an object's tags after each upload, and deletes the template of the deployment before.
TERRAFORM = [*AWS_CLI, ("s3:GetObjectTagging", CODE), ("s3:DeleteObject", CODE)]
# `sam delete` looks for a stack of this name, and fails if it may not.
COMPANION = f"arn:aws:cloudformation:eu-west-1:111122223333:stack/{STACK}-1a2b3c4d-CompanionStack/*"
SAM_DELETE = [("cloudformation:DescribeStacks", COMPANION)]
WAYS = [CONFIRM, AWS_CLI, TERRAFORM, SAM_DELETE]


@pytest.mark.parametrize("way", WAYS, ids=["confirm", "aws-cli", "terraform", "sam-delete"])
def test_whoever_deploys_may_run_the_commands_of_the_page(way):
    assert [each for each in way if not allowing(*each)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_deploys_may_do_what_each_resource_needs(kind):
    assert [action for action in sorted(needed(kind)) if not allowing(action)] == []


def test_whoever_deploys_may_do_little_else():
    actions = {pattern for each in POLICY["Statement"] for pattern in listed(each["Action"])}
    # CloudFormation's own, for this stack and SAM's, and the bucket that SAM puts the code into.
    actions -= {"cloudformation:*", "cloudformation:GetTemplateSummary", "s3:*"}
    actions -= {action for way in WAYS for action, _ in way}
    every = {action for kind in KINDS for action in handlers(kind)}
    assert [each for each in sorted(actions) if not fnmatch.filter(every, each)] == []
    everywhere = [each["Sid"] for each in POLICY["Statement"] if each["Resource"] == "*"]
    assert everywhere == ["ServiceRoles", "WhereAwsKnowsNoNames"]
    # Whoever deploys need not read messages, records or logs.
    for action in ("sqs:ReceiveMessage", "s3:DeleteObject", "s3:GetObject", "logs:GetLogEvents", "lambda:InvokeFunction"):
        arns = [f"arn:aws:sqs:eu-west-1:1:{STACK}-NotifyQueue-1", f"arn:aws:s3:::{STACK}-lakebucket-1/key"]
        arns += [f"arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/{STACK}", f"arn:aws:lambda:eu-west-1:1:function:{STACK}-x-1"]
        assert [arn for arn in arns if allowing(action, arn)] == [], action


# The ARN of a resource of each type that can be named, by its logical id and the properties that name it.
HERE = "eu-west-1:111122223333"
ARNS = {
    "AWS::IAM::Role": lambda name, _: f"arn:aws:iam::111122223333:role/{STACK}-{name}-1A2B",
    "AWS::IAM::ManagedPolicy": lambda name, _: f"arn:aws:iam::111122223333:policy/{STACK}-{name}-1A2B",
    "AWS::S3::Bucket": lambda name, _: f"arn:aws:s3:::{STACK}-{name.lower()}-1a2b",
    "AWS::Lambda::Function": lambda name, _: f"arn:aws:lambda:{HERE}:function:{STACK}-{name}-1A2B",
    "AWS::SQS::Queue": lambda name, _: f"arn:aws:sqs:{HERE}:{STACK}-{name}-1A2B",
    "AWS::SNS::Topic": lambda name, _: f"arn:aws:sns:{HERE}:{STACK}-{name}-1A2B",
    "AWS::Events::Rule": lambda name, given: f"arn:aws:events:{HERE}:rule/{bus(given)}{STACK}-{name}-1A2B",
    "AWS::SecretsManager::Secret": lambda name, _: f"arn:aws:secretsmanager:{HERE}:secret:{name}-1A2B-3c4d5e",
    "AWS::Scheduler::Schedule": lambda name, _: f"arn:aws:scheduler:{HERE}:schedule/default/{STACK}-{name}-1A2B",
    "AWS::Glue::Database": lambda _, given: f"arn:aws:glue:{HERE}:database/{given['DatabaseName']}",
    "AWS::Athena::WorkGroup": lambda _, given: f"arn:aws:athena:{HERE}:workgroup/{given['Name']}",
    "AWS::CloudWatch::Alarm": lambda _, given: f"arn:aws:cloudwatch:{HERE}:alarm:{given['AlarmName']}",
    "AWS::CloudWatch::Dashboard": lambda _, given: f"arn:aws:cloudwatch::111122223333:dashboard/{given['DashboardName']}",
    "AWS::Logs::LogGroup": lambda _, given: f"arn:aws:logs:{HERE}:log-group:{given['LogGroupName']}",
    "AWS::Events::Connection": lambda name, _: f"arn:aws:events:{HERE}:connection/{name}-1A2B/0d9c",
    "AWS::Events::ApiDestination": lambda name, _: f"arn:aws:events:{HERE}:api-destination/{name}-1A2B/0d9c",
}


def bus(given):
    return f"{given['EventBusName']}/" if "EventBusName" in given else ""


@pytest.mark.parametrize("parameters", [EVERYTHING, {**HTTP_API, **SLACK, **TEAMS, "EventBusName": "security"}])
def test_the_names_in_the_policy_are_those_of_the_resources(parameters):
    made = stack({"AWS::StackName": STACK}, **parameters)["Resources"]
    checked = 0
    for name, resource in made.items():
        if resource["Type"] not in ARNS:
            continue
        arn = ARNS[resource["Type"]](name, resource["Properties"])
        service = arn.split(":")[2]
        for action in needed(resource["Type"]):
            # Some actions concern another resource, such as a role that the policy is attached to.
            concerns = resource["Type"] == "AWS::IAM::Role" or "Role" not in action
            if action.startswith(f"{service}:") and concerns:
                assert allowing(action, arn), (action, arn)
                checked += 1
    assert checked > 300


def test_the_policy_fits_into_a_managed_policy():
    # IAM counts no white space.
    assert len(re.sub(r"\s", "", json.dumps(POLICY))) <= 6144
