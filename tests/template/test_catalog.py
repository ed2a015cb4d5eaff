"""The tables, the workgroup and the saved queries, and what an analyst may do."""

import json
import re

import pytest
from shared import EVERYTHING, KEY, OWN_ACCOUNT, without
from stack import ROOT, TABLES, of_type, properties, stack, tables


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
