"""The tables and named queries of template.yaml, on DuckDB in place of Athena.

The tables have the very columns and types that the template gives to Glue, and the queries are the very ones that it
saves, put from Athena's dialect into DuckDB's by sqlglot. With LAKE set to a folder of records (`.ci/sql FOLDER`), they
are read as well.
"""

import datetime
import json
import os
import pathlib
import re

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from stack import queries, tables

TABLES = {name: table["TableInput"] for name, table in tables().items()}
QUERIES = queries()
# Queries that find rows in whatever was delivered; test_respond.py tests those of an investigation.
OF_ANY_LAKE = [
    "latest-alerts",
    "one-row-per-alert",
    "everything-one-actor-did",
    "alerts-by-severity-and-day",
    "health-checks-missing",
    "failures-by-error",
]
# The columns of CloudTrail's table that the queries use, as AWS's guide to Athena declares them.
CLOUDTRAIL = {
    "eventversion": "string",
    "useridentity": "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,"
    "accesskeyid:string,username:string>",
    "eventtime": "string",
    "eventsource": "string",
    "eventname": "string",
    "awsregion": "string",
    "sourceipaddress": "string",
    "useragent": "string",
    "errorcode": "string",
    "errormessage": "string",
    "requestparameters": "string",
    "responseelements": "string",
    "requestid": "string",
    "eventid": "string",
    "readonly": "string",
    "recipientaccountid": "string",
}
SCALARS = {
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
}


# -------------------------------------------------------------------------------------------------- Athena on DuckDB


def duckdb_type(hive_type):
    """`array<struct<id:string>>` as `STRUCT("id" VARCHAR)[]`."""
    kind, rest = hive_type_and_rest(hive_type)
    assert rest == "", f"{rest!r} is left of {hive_type!r}"
    return kind


def hive_type_and_rest(text):
    if text.startswith("array<"):
        element, rest = hive_type_and_rest(text.removeprefix("array<"))
        assert rest[0] == ">", text
        return f"{element}[]", rest[1:]
    if text.startswith("struct<"):
        members, rest = [], "," + text.removeprefix("struct<")
        while rest[0] == ",":
            name, rest = rest[1:].split(":", 1)
            kind, rest = hive_type_and_rest(rest)
            members.append(f'"{name}" {kind}')
        assert rest[0] == ">", text
        return f"STRUCT({', '.join(members)})", rest[1:]
    name = re.match(r"[a-z]*", text)[0]
    return SCALARS[name], text.removeprefix(name)


def lake(folder):
    """A database with the template's tables over the records below `folder`."""
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for name, table in TABLES.items():
        columns = {column["Name"]: duckdb_type(column["Type"]) for column in table["StorageDescriptor"]["Columns"]}
        partitions = {key["Name"]: SCALARS[key["Type"]] for key in table["PartitionKeys"]}
        if any((folder / name).rglob("*.json")):
            # Athena reads a TIMESTAMP in one form alone, and so does this. The folder of the hour is no column there.
            selected = ", ".join(f'"{column}"' for column in columns | partitions)
            database.execute(
                f"""CREATE VIEW {name} AS SELECT {selected} FROM read_json('{folder}/{name}/**/*.json',
                    format = 'newline_delimited', timestampformat = '%Y-%m-%d %H:%M:%S.%g', columns = {columns},
                    hive_partitioning = true, hive_types = {partitions})"""
            )
        else:
            declared = ", ".join(f'"{name}" {kind}' for name, kind in (columns | partitions).items())
            database.execute(f"CREATE TABLE {name} ({declared})")
    lines = "SELECT unnest(string_split(rtrim(content, chr(10)), chr(10)))"
    records = f"{lines} FROM read_text('{folder}/tracebit_alert/**/*.json')"
    if not any((folder / "tracebit_alert").rglob("*.json")):
        records = "SELECT '' WHERE false"
    database.execute(f"CREATE VIEW tracebit_alert_text (record) AS {records}")
    declared = ", ".join(f'"{name}" {duckdb_type(kind)}' for name, kind in CLOUDTRAIL.items())
    database.execute(f'CREATE SCHEMA "default"; CREATE TABLE "default".cloudtrail_logs ({declared})')
    return database


def run(database, query, now, *arguments):
    """The rows of a named query at the time `now`."""
    tree = sqlglot.parse_one(QUERIES[query], read="athena")

    def at_now(node):
        if isinstance(node, exp.CurrentDate):
            return sqlglot.parse_one(f"DATE '{now:%Y-%m-%d}'")
        if isinstance(node, exp.Localtimestamp):
            return sqlglot.parse_one(f"TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}'")
        return node

    result = database.execute(tree.transform(at_now).sql("duckdb"), arguments)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


# -------------------------------------------------------------------------------------------------- crafted records

NOW = datetime.datetime(2026, 3, 10, 12, 0)


def file(folder, table, time, *records):
    path = folder / table / f"{time:day=%Y-%m-%d/hour=%H}/{time:%Y%m%dT%H%M%SZ}-{records[0]['p_row_id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def stamp(time):
    return f"{time:%Y-%m-%d %H:%M:%S}.000"


def alert(row, time, alert_id, severity="High", ip=None, principal=None, **rest):
    return {
        "discriminator": {"type": "tracebit_alert_log", "subtype": "canary_resource_accessed"},
        "id": f"log-{row}",
        "alert_id": alert_id,
        "timestamp": f"{time:%Y-%m-%dT%H:%M:%S}Z",
        "severity": severity,
        "message": f"message {row}",
        "canary": {"name": "payroll", "aws": None},
        "principal": {"id": principal},
        "event": {"operation": "GetObject", "request": {"ip": ip}},
        "unknown_to_the_schema": {"kept": True},
        "p_log_type": "Tracebit.Alert",
        "p_event_time": stamp(time),
        "p_parse_time": stamp(time + datetime.timedelta(minutes=5)),
        "p_row_id": f"{row:032x}",
        "p_schema_version": 1,
        "p_source_label": "tracebit",
        **({"p_any_ip_addresses": [ip]} if ip else {}),
        **({"p_any_actor_ids": [principal]} if principal else {}),
        **rest,
    }


def health_check(row, time):
    return {
        "discriminator": {"type": "health_check", "subtype": "integration"},
        "timestamp": f"{time:%Y-%m-%dT%H:%M:%S}Z",
        "is_healthy": True,
        "p_log_type": "Tracebit.HealthCheck",
        "p_event_time": stamp(time),
        "p_parse_time": stamp(time),
        "p_row_id": f"{row:032x}",
        "p_schema_version": 1,
    }


def failure(row, time, error, log_type=None):
    return {
        "error": error,
        "payload": f"payload {row}",
        **({"log_type": log_type} if log_type else {}),
        "p_parse_time": stamp(time),
        "p_row_id": f"{row:032x}",
    }


@pytest.fixture(scope="module")
def crafted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    day = lambda days, hour=9: NOW.replace(hour=hour) - datetime.timedelta(days=days)

    first = alert(1, day(2, 8), "A", "Medium", ip="203.0.113.7", principal="AIDA1")
    second = alert(2, day(2, 9), "A", "High", ip="2001:db8::1", principal="AIDA1")
    other = alert(3, day(1), "B", "Info", ip="198.51.100.9", p_any_emails=["eve@example.com"])
    other["p_any_trace_ids"] = ["AKIAIOSFODNN7EXAMPLE", "5d3c8a52-0a4e-4a53-9f57-1f6f2a3f9b01"]
    file(folder, "tracebit_alert", day(2, 8), first)
    file(folder, "tracebit_alert", day(2, 9), second)
    # Delivered again, in one payload with a log of the same hour.
    file(folder, "tracebit_alert", day(2, 9), alert(6, day(2, 9), "A", "High"), second)
    file(folder, "tracebit_alert", day(1), other)
    file(folder, "tracebit_alert", day(60), alert(4, day(60), "C"))
    file(folder, "tracebit_alert", day(400), alert(5, day(400), "D", ip="203.0.113.7"))

    for row, minutes in enumerate([600, 540, 480, 240, 30]):
        time = NOW - datetime.timedelta(minutes=minutes)
        file(folder, "tracebit_healthcheck", time, health_check(row, time))

    file(folder, "classification_failures", day(3), failure(1, day(3), "id: required", "Tracebit.Alert"))
    file(folder, "classification_failures", day(2), failure(1, day(2), "id: required", "Tracebit.Alert"))
    file(folder, "classification_failures", day(1), failure(2, day(1), "id: required", "Tracebit.Alert"))
    file(folder, "classification_failures", day(1, 10), failure(3, day(1, 10), "not JSON"))
    file(folder, "classification_failures", day(40), failure(4, day(40), "too old to be counted"))
    return lake(folder)


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_latest_alerts_come_newest_first_and_old_ones_not(crafted):
    rows = run(crafted, "latest-alerts", NOW)
    assert columns(rows, "alert_id", "message")[0] == ("B", "message 3")
    assert columns(rows, "message")[-1] == ("message 1",)
    assert {row["alert_id"] for row in rows} == {"A", "B"}
    assert columns(rows, "severity", "canary", "principal", "operation", "ip")[-1] == (
        "Medium",
        "payroll",
        "AIDA1",
        "GetObject",
        "203.0.113.7",
    )


def test_an_alert_is_one_row_however_many_logs_and_deliveries_it_has(crafted):
    rows = run(crafted, "one-row-per-alert", NOW)
    assert columns(rows, "alert_id", "severity", "logs") == [("B", "Info", 1), ("A", "High", 3), ("C", "High", 1)]
    folded = rows[1]
    assert (folded["first_seen"], folded["last_seen"]) == (
        datetime.datetime(2026, 3, 8, 8),
        datetime.datetime(2026, 3, 8, 9),
    )
    assert (folded["canaries"], folded["principals"]) == ("payroll", "AIDA1")
    assert sorted(folded["ips"].split(", ")) == ["2001:db8::1", "203.0.113.7"]


@pytest.mark.parametrize(
    ("actor", "messages"),
    [
        ("203.0.113.7", ["message 5", "message 1"]),
        ("eve@example.com", ["message 3"]),
        ("AKIAIOSFODNN7EXAMPLE", ["message 3"]),
        ("5d3c8a52-0a4e-4a53-9f57-1f6f2a3f9b01", ["message 3"]),
        ("203.0.113", []),
        ("nobody", []),
    ],
)
def test_one_actor_is_found_by_any_of_its_names_however_long_ago(crafted, actor, messages):
    assert [row["message"] for row in run(crafted, "everything-one-actor-did", NOW, actor)] == messages


def test_alerts_count_once_a_day_and_severity(crafted):
    rows = run(crafted, "alerts-by-severity-and-day", NOW)
    assert columns(rows, "day", "severity", "alerts", "logs") == [
        ("2026-03-09", "Info", 1, 1),
        ("2026-03-08", "High", 1, 2),
        ("2026-03-08", "Medium", 1, 1),
        ("2026-01-09", "High", 1, 1),
    ]


def test_the_longest_silence_of_health_checks_comes_first(crafted):
    rows = run(crafted, "health-checks-missing", NOW)
    assert [row["minutes"] for row in rows] == [240, 210, 60, 60, 30, None]
    assert rows[0]["silent_until"] == datetime.datetime(2026, 3, 10, 8)
    assert rows[4]["silent_until"] == NOW


def test_failures_are_counted_by_error_and_a_repeat_is_no_new_payload(crafted):
    rows = run(crafted, "failures-by-error", NOW)
    assert columns(rows, "error", "log_type", "payloads", "deliveries", "latest_payload") == [
        ("id: required", "Tracebit.Alert", 2, 3, "payload 2"),
        ("not JSON", None, 1, 1, "payload 3"),
    ]


@pytest.mark.parametrize("query", QUERIES)
def test_an_empty_lake_answers_every_query(tmp_path, query):
    arguments = ["nobody"] * QUERIES[query].count("?")
    rows = run(lake(tmp_path), query, NOW, *arguments)
    # A query without GROUP BY may have one row, such as a count.
    assert len(rows) <= 1


# ----------------------------------------------------------------------------------------- records that were delivered

LAKE = pathlib.Path(os.environ["LAKE"]) if os.environ.get("LAKE") else None
with_lake = pytest.mark.skipif(LAKE is None, reason="no folder of records is given")


def written(table):
    return [json.loads(line) for path in (LAKE / table).rglob("*.json") for line in path.read_text().splitlines()]


@with_lake
def test_the_lake_holds_records_of_every_table():
    assert [table for table in TABLES if not written(table)] == []


@with_lake
@pytest.mark.parametrize("table", TABLES)
def test_every_record_is_read_as_it_was_written(table):
    rows = lake(LAKE).execute(f"SELECT * FROM {table}")
    names = [column[0] for column in rows.description]
    read = [dict(zip(names, row)) for row in rows.fetchall()]
    by_id = lambda record: (record["p_row_id"], str(record["p_parse_time"]))
    records = sorted(written(table), key=by_id)
    assert len(read) == len(records)
    time = "p_parse_time" if table == "classification_failures" else "p_event_time"
    for row, record in zip(sorted(read, key=by_id), records):
        assert row["day"] == f"{row[time]:%Y-%m-%d}"
        assert [name for name in names if not same(row[name], record.get(name))] == ["day"]


def same(read, record):
    """Whether a value read by SQL is what the record holds. A column that no record has a member for is empty."""
    if isinstance(read, datetime.datetime):
        return f"{read:%Y-%m-%d %H:%M:%S.%f}"[:-3] == record
    if isinstance(read, dict):
        return all(same(value, (record or {}).get(name)) for name, value in read.items())
    if isinstance(read, list):
        return len(read) == len(record) and all(map(same, read, record))
    if isinstance(read, str) and not isinstance(record, str):
        return read == json.dumps(record)
    return read == record


@with_lake
@pytest.mark.parametrize("query", OF_ANY_LAKE)
def test_every_query_finds_what_was_delivered(query):
    alerts = written("tracebit_alert")
    now = max(datetime.datetime.fromisoformat(each["p_event_time"]) for each in alerts) + datetime.timedelta(hours=1)
    addresses = [address for each in alerts for address in each.get("p_any_ip_addresses", [])]
    rows = run(lake(LAKE), query, now, *addresses[: QUERIES[query].count("?")])
    assert rows
    if query == "one-row-per-alert":
        assert len(rows) == len({row["alert_id"] for row in rows})
    if query == "everything-one-actor-did":
        assert len(rows) == addresses.count(addresses[0])
