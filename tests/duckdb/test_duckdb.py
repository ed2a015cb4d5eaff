"""queries/duckdb.sql over lakes of every size and mixture: DuckDB must find every row, with every value.

DuckDB guesses the columns of JSON from the first files if nobody gives it the columns, and then fails, or shows nulls, at the
first file that differs.
"""

import itertools
import json
import os
import pathlib
import re

import duckdb
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = (ROOT / "queries/duckdb.sql").read_text()
TABLES = re.findall(r"^CREATE OR REPLACE VIEW (\w+) AS", SCRIPT, re.M)
LOGS = ROOT / "events/logs"
STANDARD = {
    "p_log_type": "Tracebit.Alert",
    "p_event_time": "2026-03-08 02:58:41.207",
    "p_parse_time": "2026-03-08 03:04:10.000",
    "p_schema_version": 1,
    "p_source_label": "tracebit",
}


def sample(name, **members):
    return json.loads((LOGS / f"{name}.json").read_text()) | members


# Each shape with what a query must see of it.
SHAPES = [
    (sample("alert-aws"), "acme-payroll-exports", None),
    (sample("alert-credential-used"), None, "acme/shop release"),
    (sample("alert-okta", canary_credential=None), "Legacy VPN", None),
    (sample("alert-azure", event=None), "acmevmbackups", None),
    (sample("alert-google-cloud", severity=7, message=True), "acme-model-weights", None),
    ({"alert_id": "bare", "id": "bare", "timestamp": "2026-03-08T02:58:41Z"}, None, None),
    (sample("alert-aws", unknown={"deep": [1, {"a": None}]}, canary={"name": 12, "unknown": []}), "12", None),
    # As the watcher and an import store what Tracebit's API lists.
    (sample("alert-aws", p_source_label="tracebit-api", a_new_member={"nested": [1, None]}), "acme-payroll-exports", None),
    (sample("alert-aws", canary=None, principal=None, p_any_ip_addresses=["192.0.2.1", "2001:db8::1"]), None, None),
]


def lake_of(folder, shapes):
    for row, (log, *_) in enumerate(shapes):
        path = folder / f"tracebit_alert/day=2026-03-08/hour=02/20260308T025841Z-{row:032x}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(STANDARD | log | {"p_row_id": f"{row:032x}"}) + "\n")
    return folder


def connect(folder):
    database = duckdb.connect()
    database.execute(f"SET VARIABLE lake = '{folder}/'")
    database.execute(SCRIPT)
    return database


def assert_seen(folder, shapes):
    rows = connect(folder).execute(
        "SELECT canary.name, canary_credential.name, alert_id, CAST(p_event_time AS VARCHAR), day, p_source_label"
        " FROM tracebit_alert ORDER BY p_row_id"
    )
    expected = [
        (
            canary,
            credential,
            log["alert_id"],
            "2026-03-08 02:58:41.207",
            "2026-03-08",
            log.get("p_source_label", "tracebit"),
        )
        for log, canary, credential in shapes
    ]
    assert rows.fetchall() == expected


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(SHAPES)), 2)))
def test_two_shapes_in_any_order(tmp_path, order):
    assert_seen(lake_of(tmp_path, [SHAPES[index] for index in order]), [SHAPES[index] for index in order])


@pytest.mark.parametrize("count", [1, 33, 200])
@pytest.mark.parametrize("odd", range(len(SHAPES)))
def test_one_other_shape_among_many(tmp_path, count, odd):
    for place in {0, count // 2, count - 1}:
        shapes = [SHAPES[0]] * count
        shapes[place] = SHAPES[odd]
        folder = tmp_path / str(place)
        assert_seen(lake_of(folder, shapes), shapes)


def test_a_table_without_an_object_has_no_rows(tmp_path):
    database = connect(tmp_path)
    for table in TABLES:
        assert database.execute(f"SELECT * FROM {table} WHERE day >= '2026-01-01'").fetchall() == []
    lake_of(tmp_path, SHAPES)
    with_rows = connect(tmp_path)
    types = "SELECT column_name, column_type FROM (DESCRIBE tracebit_alert)"
    assert database.execute(types).fetchall() == with_rows.execute(types).fetchall()
    assert with_rows.execute("SELECT count(*) FROM tracebit_healthcheck").fetchone() == (0,)


def test_a_prefix_with_a_partition_of_its_own_is_no_column(tmp_path):
    folder = lake_of(tmp_path / "env=prod", SHAPES)
    assert_seen(folder, SHAPES)


def test_a_large_failure_can_be_read(tmp_path):
    failure = {"error": "bad", "payload": "\u0001" * 10_000_000, "payload_encoding": "utf-8", "p_row_id": "0"}
    path = tmp_path / "classification_failures/day=2026-03-08/hour=03/20260308T030000Z-0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(failure) + "\n")
    rows = connect(tmp_path).execute("SELECT length(payload), log_type FROM classification_failures")
    assert rows.fetchall() == [(10_000_000, None)]


@pytest.mark.skipif(not os.environ.get("LAKE"), reason="LAKE names a folder of records")
def test_the_records_of_a_real_lake_can_be_read():
    database = connect(os.environ["LAKE"])
    for table in TABLES:
        (rows,) = database.execute(f"SELECT count(p_row_id) FROM {table}").fetchone()
        lines = [
            line
            for path in pathlib.Path(os.environ["LAKE"], table).rglob("*.json")
            for line in path.read_text().splitlines()
        ]
        assert rows == len(lines) > 0
