"""The queries of an investigation and the OCSF view, on DuckDB in place of Athena, as in test_queries.py.

With LAKE set to a folder of records (`.ci/sql FOLDER`), the view's rows of these are checked as well.
"""

import base64
import datetime
import functools
import json
import re

import jsonschema
import pytest
import sqlglot
import yaml
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from stack import ROOT, stack
from test_queries import CLOUDTRAIL, LAKE, NOW, QUERIES, alert, columns, file, lake, run, with_lake

PRINCIPAL = "arn:aws:sts::210987654321:assumed-role/DataEngineer/dana@acme.example"
KEY = "ASIAEXAMPLE6T3S9L1QP"
SEEN = NOW - datetime.timedelta(days=2)


def trail(eventid, minutes, eventname="GetObject", arn=None, key=None, ip=None):
    """A row of CloudTrail's table, `minutes` after the alert."""
    return {
        "useridentity": {"type": "AssumedRole", "arn": arn, "accesskeyid": key},
        "eventtime": f"{SEEN + datetime.timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}",
        "eventname": eventname,
        "eventsource": "s3.amazonaws.com",
        "sourceipaddress": ip,
        "eventid": eventid,
    }


def insert(database, rows):
    for row in rows:
        values = [row.get(name) for name in CLOUDTRAIL]
        identity = list(CLOUDTRAIL).index("useridentity")
        members = ("type", "principalid", "arn", "accountid", "invokedby", "accesskeyid", "username")
        values[identity] = {name: (values[identity] or {}).get(name) for name in members}
        places = ", ".join("?" for _ in values)
        database.execute(f'INSERT INTO "default".cloudtrail_logs VALUES ({places})', values)


@pytest.fixture
def investigated(tmp_path):
    """Alert A, touched by a principal and with a planted key from an address, and what CloudTrail saw around it."""
    touched = alert(1, SEEN, "A", "Medium", ip="203.0.113.57")
    touched["event"] |= {"id": "touched"}
    touched["principal"] = {"id": "DataEngineer/dana@acme.example", "aws": {"arn": PRINCIPAL}}
    used = alert(2, SEEN + datetime.timedelta(hours=1), "A", "High", ip="192.0.2.146")
    used["event"] |= {"id": "used"}
    used["canary_credential"] = {"name": "acme/shop release", "aws": {"access_key_id": KEY}}
    other = alert(3, SEEN, "B", ip="198.51.100.9")
    other["event"] |= {"id": "other"}
    wrong_clocks = [alert(4, datetime.datetime(9999, 12, 31, 12), "A"), alert(5, datetime.datetime(1, 1, 1, 12), "A")]
    for record in (touched, used, other, *wrong_clocks):
        file(tmp_path, "tracebit_alert", SEEN, record)
    database = lake(tmp_path)
    day = 24 * 60
    insert(
        database,
        [
            trail("long before", -3 * day, "ConsoleLogin", arn=PRINCIPAL),
            trail("before", -day + 1, "ListBuckets", arn=PRINCIPAL),
            trail("touched", 0, arn=PRINCIPAL, ip="203.0.113.57"),
            trail("used", 60, "GetCallerIdentity", key=KEY, ip="192.0.2.146"),
            trail("same address", 90, "CreateUser", ip="192.0.2.146"),
            trail("after", day + 59, "ListUsers", key=KEY),
            trail("long after", 3 * day, "ListUsers", key=KEY),
            trail("another", 5, arn="arn:aws:iam::210987654321:user/eve", key="AKIAEVE", ip="198.51.100.77"),
            trail("other", 5, ip="198.51.100.9"),
        ],
    )
    return database


def test_an_alerts_own_events_are_found_by_their_id(investigated):
    rows = run(investigated, "the-event-in-cloudtrail", NOW, "A")
    assert columns(rows, "eventid", "eventname") == [("touched", "GetObject"), ("used", "GetCallerIdentity")]
    assert rows[0]["arn"] == PRINCIPAL and rows[1]["access_key"] == KEY
    assert [row["eventid"] for row in run(investigated, "the-event-in-cloudtrail", NOW, "B")] == ["other"]


def test_a_day_before_and_after_shows_the_principal_the_key_and_the_address(investigated):
    rows = run(investigated, "the-day-around-an-alert", NOW, "A")
    assert [row["eventid"] for row in rows] == ["before", "touched", "used", "same address", "after"]


def test_first_and_last_sight_covers_all_of_cloudtrail(investigated):
    rows = run(investigated, "first-and-last-sight", NOW, "A")
    assert columns(rows, "what", "value", "first_seen", "last_seen", "events", "operations") == [
        ("principal", PRINCIPAL, "2026-03-05T12:00:00Z", "2026-03-08T12:00:00Z", 3, 3),
        ("address", "203.0.113.57", "2026-03-08T12:00:00Z", "2026-03-08T12:00:00Z", 1, 1),
        ("access key", KEY, "2026-03-08T13:00:00Z", "2026-03-11T12:00:00Z", 3, 2),
        ("address", "192.0.2.146", "2026-03-08T13:00:00Z", "2026-03-08T13:30:00Z", 2, 2),
    ]


def test_a_leaked_credential_leads_to_its_ci_run(tmp_path):
    labels = {"source": "github", "github.repo": "acme/shop", "github.workflow": "release", "github.run_id": "194"}
    leaked = alert(1, SEEN, "A")
    leaked["canary_credential"] = {
        "name": "acme/shop release",
        "labels": [{"name": name, "value": value} for name, value in labels.items()],
        "aws": {"access_key_id": KEY},
    }
    elsewhere = alert(2, SEEN - datetime.timedelta(hours=1), "B")
    elsewhere["canary_credential"] = {"name": "laptop", "labels": [{"name": "source", "value": "kandji"}], "aws": None}
    for record in (leaked, elsewhere, alert(3, SEEN, "C")):
        file(tmp_path, "tracebit_alert", SEEN, record)
    rows = run(lake(tmp_path), "which-ci-run-leaked-a-credential", NOW)
    assert columns(rows, "alert_id", "repository", "workflow", "run_id", "run", "access_key") == [
        ("A", "acme/shop", "release", "194", "https://github.com/acme/shop/actions/runs/194", KEY),
        ("B", None, None, None, None, None),
    ]
    assert rows[1]["labels"] == "source=kandji"


def test_fields_and_kinds_that_the_schema_does_not_know_are_listed(tmp_path):
    odd = alert(1, SEEN, "A")
    del odd["unknown_to_the_schema"]
    odd["perimeter"] = {"sensor": "edge-1"}
    odd["event"]["request"]["asn"] = 64500
    odd["discriminator"]["subtype"] = "canary_cookie_used"
    known = alert(2, SEEN, "B")
    del known["unknown_to_the_schema"]
    for record in (odd, known):
        file(tmp_path, "tracebit_alert", SEEN, record)
    rows = run(lake(tmp_path), "unknown-fields", NOW)
    assert sorted(columns(rows, "field", "logs", "alert_id")) == [
        ("discriminator.subtype = canary_cookie_used", 1, "A"),
        ("event.request.asn", 1, "A"),
        ("perimeter", 1, "A"),
    ]


def test_the_query_of_unknown_fields_knows_what_the_schema_knows():
    def objects(fields, path=""):
        yield path, [field["name"] for field in fields]
        for field in fields:
            if field["type"] == "object":
                yield from objects(field["fields"], f"{path}{field['name']}.")

    schema = yaml.safe_load((ROOT / "schemas/tracebit_alert.yml").read_text())
    listed = re.findall(r"\('([\w.]*)', '\$([\w.]*)', ARRAY\[([^\]]*)\]\)", QUERIES["unknown-fields"])
    assert all("." + path == json_path + "." for path, json_path, _ in listed)
    assert [(path, re.findall(r"'(\w+)'", names)) for path, _, names in listed] == list(objects(schema["fields"]))


# -------------------------------------------------------------------------------------------------------------- OCSF

VERSIONS = ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0"]
VIEW = stack(DatabaseName="some_database")["Resources"]["OcsfView"]["Properties"]["TableInput"]


def view():
    """The view as Athena keeps it: JSON in base64 in a comment."""
    text = re.fullmatch(r"/\* Presto View: (\S+) \*/", VIEW["ViewOriginalText"])[1]
    return json.loads(base64.b64decode(text))


def findings(database):
    result = database.execute(sqlglot.parse_one(view()["originalSql"], read="athena").sql("duckdb"))
    names = [column[0] for column in result.description]
    return [without_nulls(dict(zip(names, row))) for row in result.fetchall()]


def without_nulls(value):
    """A null in SQL is an absent member in OCSF."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


@functools.cache
def detection_finding(version):
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    return schemas.get_class_schema("detection_finding", profiles=["cloud"])


def errors(finding, version):
    """OCSF's complaints about a Detection Finding, an enumeration's value that it does not know among them."""
    schema = detection_finding(version)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(finding)]


def access_key(log):
    return ((log.get("canary_credential") or {}).get("aws") or {}).get("access_key_id")


def samples():
    """The records of events/, with the indicators that the view reads."""
    for row, path in enumerate(sorted((ROOT / "events/logs").glob("alert-*.json"))):
        log = json.loads(path.read_text())
        indicators = {
            "p_any_ip_addresses": [log["event"]["request"]["ip"]] if log["event"]["request"]["ip"] else None,
            "p_any_domain_names": ["acme.tracebit.com"],
            "p_any_actor_ids": [log["principal"]["id"]],
            "p_any_emails": ["dana@acme.example"],
            "p_any_usernames": ["dana"],
            "p_any_aws_arns": [PRINCIPAL],
            "p_any_aws_account_ids": ["210987654321"],
            "p_any_aws_instance_ids": ["i-0a1b2c3d4e5f67890"],
            "p_any_trace_ids": sorted(filter(None, [log["event"]["id"], access_key(log)])),
        }
        yield alert(row, SEEN, log["alert_id"]) | log | {k: v for k, v in indicators.items() if v}


def sparse():
    """The least that the schema of an alert asks for, and severities that Tracebit may come to use."""
    bare = alert(90, SEEN, "bare")
    for name in ("severity", "message", "canary", "principal", "event"):
        bare[name] = None
    bare["discriminator"] = {"type": "tracebit_alert_log"}
    yield bare
    for row, severity in enumerate(["Info", "low", "Medium", "HIGH", "Critical", "Severe"], 91):
        yield alert(row, SEEN, severity, severity)


# What CloudTrail and other platforms write as the source, with the indicators of it and the endpoint that it must become.
SOURCES = {
    "203.0.113.57": (["203.0.113.57"], {"ip": "203.0.113.57"}),
    "2001:DB8::1": (["2001:db8::1"], {"ip": "2001:DB8::1"}),
    "AWS Internal": ([], {}),
    "cloudformation.amazonaws.com": ([], {"hostname": "cloudformation.amazonaws.com"}),
    "198.51.100.7:443": ([], {}),
    "198.51.100.7, 10.0.0.1": ([], {}),
    "unknown": ([], {}),
    "": ([], None),
}


def sources():
    for row, (source, (addresses, _)) in enumerate(SOURCES.items(), 200):
        yield alert(row, SEEN, f"from {source}") | {
            "event": {"request": {"ip": source}},
            "p_any_ip_addresses": addresses or None,
        }


def test_a_source_is_an_address_or_a_host_where_it_is_one(found):
    for source, (_, expected) in SOURCES.items():
        evidences = found[f"from {source}"]["evidences"]
        if expected is None:
            assert evidences == [] or "src_endpoint" not in evidences[0], source
        else:
            assert evidences[0]["src_endpoint"] == expected | {"name": source}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ocsf")
    for record in [*samples(), *sparse(), *sources()]:
        file(folder, "tracebit_alert", SEEN, record)
    return {finding["finding_info"]["uid"]: finding for finding in findings(lake(folder))}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_finding_is_valid(found, version):
    assert len(found) == 12 + len(SOURCES)
    assert {uid: errors(finding, version) for uid, finding in found.items() if errors(finding, version)} == {}


def test_a_finding_that_lacks_something_is_not_valid(found):
    finding = found["bare"]
    for broken in ({"time": "yesterday"}, {"severity_id": 7}, {"cloud": {}}, {"no_such_attribute": 1}):
        assert errors(finding | broken, "1.1.0"), broken
    assert errors({name: value for name, value in finding.items() if name != "type_uid"}, "1.8.0")


def test_a_finding_says_what_the_record_says(found):
    sample = json.loads((ROOT / "events/logs/alert-aws.json").read_text())
    finding = found[sample["alert_id"]]
    assert finding["time"] == int(SEEN.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
    assert (finding["severity_id"], finding["severity"], finding["message"]) == (3, "Medium", sample["message"])
    assert finding["cloud"] == {
        "provider": "AWS",
        "region": "eu-west-1",
        "account": {"uid": "210987654321", "name": "finance-production"},
    }
    assert finding["finding_info"]["src_url"] == sample["tracebit_portal_url"]
    assert finding["resources"][0] == {
        "uid": "arn:aws:s3:::acme-payroll-exports",
        "name": "acme-payroll-exports",
        "type": "AWS::S3::Bucket",
    }
    assert finding["evidences"] == [
        {
            "actor": {"user": {"uid": "DataEngineer/dana@acme.example", "name": "DataEngineer"}},
            "src_endpoint": {"ip": "203.0.113.57", "name": "203.0.113.57"},
            "api": {"operation": "GetObject"},
        }
    ]
    assert {"name": "p_any_ip_addresses", "type_id": 2, "type": "IP Address", "value": "203.0.113.57"} in finding[
        "observables"
    ]
    assert of_traces(finding) == [("p_any_trace_ids", "Event ID", sample["event"]["id"])]
    used = json.loads((ROOT / "events/logs/alert-credential-used.json").read_text())
    assert of_traces(found[used["alert_id"]]) == [
        ("p_any_trace_ids", "Event ID", used["event"]["id"]),
        ("canary_credential.aws.access_key_id", "AWS access key", access_key(used)),
    ]
    severities = {uid: found[uid]["severity_id"] for uid in ("bare", "Info", "low", "HIGH", "Critical", "Severe")}
    assert severities == {"bare": 0, "Info": 1, "low": 2, "HIGH": 4, "Critical": 5, "Severe": 99}


def of_traces(finding):
    traces = [each for each in finding["observables"] if each["type"] in ("Event ID", "AWS access key")]
    return [(each["name"], each["type"], each["value"]) for each in traces]


def test_the_view_has_the_columns_that_it_selects():
    assert (VIEW["TableType"], VIEW["Parameters"]["presto_view"]) == ("VIRTUAL_VIEW", "true")
    # Athena's engine takes a description for the comment, and then it sees no view.
    assert VIEW["Parameters"]["comment"] == "Presto View" and "Description" not in VIEW
    assert (view()["catalog"], view()["schema"]) == ("awsdatacatalog", "some_database")
    selected = [each.alias_or_name for each in sqlglot.parse_one(view()["originalSql"], read="athena").expressions]
    assert selected == [column["name"] for column in view()["columns"]]


@with_lake
@pytest.mark.parametrize("version", VERSIONS)
def test_every_finding_of_the_lake_is_valid(version):
    rows = findings(lake(LAKE))
    assert rows
    assert [errors(row, version) for row in rows if errors(row, version)] == []
