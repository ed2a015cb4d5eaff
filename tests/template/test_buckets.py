"""The buckets: who may reach them, how long records stay, and what outlives the stack."""

import re

import pytest
from shared import KEY, PARAMETERS, TLS_ONLY, without
from stack import properties, source, stack, tables

PRIVATE = dict.fromkeys(["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True)


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
