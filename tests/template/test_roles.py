"""The shared secret, the roles of the functions, and what they may do with keys of the customer."""

import json
import re

import pytest
from shared import EVERYTHING, HTTP_API, KEY, KEYS, LISTS, OLDER, OWN_ACCOUNT, PAGER, PARAMETERS, SECRET, SLACK, without
from stack import ROOT, TABLES, of_type, properties, stack, statements


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
