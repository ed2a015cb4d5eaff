"""Whatever is stored can be read on Athena's engine, Trino, by the tables and queries of template.yaml.

The built binary stores samples, strange logs, and a thousand mutated ones. Then each column of each record is compared
with the record, and each saved query runs as it stands. `.ci/trino` installs what this needs and runs it.
"""

import contextlib
import datetime
import functools
import itertools
import json
import os
import random
import re
import subprocess

import pytest
import records
import servers
import trino
from mutations import broken, mutated
from servers import BUCKET, DATABASE, PREFIX, ROOT
from stack import of_type, queries

NOW = datetime.datetime.now(datetime.timezone.utc)
PLACE = {"ExistingBucket": BUCKET, "LakePrefix": PREFIX}
# Those of records, the view and the table of records as text.
ALL_TABLES = {each["TableInput"]["Name"]: each["TableInput"] for each in of_type("AWS::Glue::Table", **PLACE).values()}
TABLES = {name: table for name, table in ALL_TABLES.items() if "PartitionKeys" in table}
QUERIES = queries(**PLACE)
# How many days each query must list at most: those that it asks for, today and tomorrow.
ASKED_DAYS = re.compile(r"day >= date_format\(current_date - INTERVAL '(\d+)' DAY")
DAYS_LISTED = {name: int(asked[1]) + 2 for name, query in QUERIES.items() if (asked := ASKED_DAYS.search(query))}
# This one is of all days, of which its text says how to leave some out.
DAYS_LISTED["everything-one-actor-did"] = (NOW.date() - datetime.date(2024, 1, 1)).days + 2
# The others start from an alert, however old, or from every log.
INVESTIGATION = sorted(QUERIES.keys() - DAYS_LISTED)
# How many rows a query finds here at least; one that is not listed may find none.
LEAST_ROWS = {
    "latest-alerts": 1,
    "one-row-per-alert": 1,
    "everything-one-actor-did": 1,
    "alerts-by-severity-and-day": 1,
    "health-checks-missing": 1,
    "failures-by-error": 1,
    "the-event-in-cloudtrail": 1,
    "the-day-around-an-alert": 2,
    "first-and-last-sight": 1,
    "which-ci-run-leaked-a-credential": 1,
    "unknown-fields": 1,
}
# Trino lists a day that has no record twice: the second time, to see whether its folder exists.
LISTS_PER_DAY = 2
MOST_LISTS = {"latest-alerts": 400, "failures-by-error": 400, "health-checks-missing": 400}
LOGS_IN_A_DELIVERY = 20


# ------------------------------------------------------------------------------------------------------ what is stored


def sample(name):
    return json.loads((ROOT / "events" / "logs" / f"{name}.json").read_text())


def alert(time, **changes):
    return sample("alert-aws") | {"timestamp": rfc3339(time)} | changes


def health_check(time):
    return sample("health-check") | {"timestamp": rfc3339(time)}


def rfc3339(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.123Z")


def with_members(text):
    """The text of an alert that has these members as well, before its own."""
    return json.dumps(alert(NOW, id=f"strange {text[:80]}")).replace("{", "{" + text + ", ", 1)


# A log of each strange kind, and whether it fits its schema.
STRANGE = {
    "another name in capitals beside it": (with_members('"EVENT": {"request": {"ip": "192.0.2.66"}}'), False),
    "another name in capitals beside it, in an unknown object": (with_members('"a": {"b": 1, "B": 2}'), False),
    "a name in another case": (json.dumps(alert(NOW)).replace('"severity"', '"sEVERITY"'), False),
    "a name in another case with a value of another type": (
        json.dumps(alert(NOW, canary_credential={"aWs": {"access_key_id": []}})),
        False,
    ),
    "a name of 10,000 bytes": (with_members(f'"{"x" * 10_000}": 1'), True),
    "a name of 10,001 bytes": (with_members(f'"{"x" * 10_001}": 1'), False),
    "a name of 60,000 bytes": (with_members(f'"{"x" * 60_000}": 1'), False),
    "a number beyond every range": (json.dumps(alert(NOW)).replace('"Medium"', "1e999"), True),
    "a number of 2,000 digits": (json.dumps(alert(NOW)).replace('"Medium"', "9" * 2000), True),
    "half a surrogate pair": (json.dumps(alert(NOW, message="\ud83d")), True),
    "an unknown name": (with_members('"unknown": {"kept": [null, true, "\\u0000"]}'), True),
    # Hive reads them as the columns of these numbers.
    "a name that Hive gives to a column": (with_members('"_col0": "x"'), False),
    "a name that Hive gives to a column there is not": (with_members('"_col99": "x"'), False),
    "a name that Hive gives to a member": (json.dumps(alert(NOW, canary={"_col3": "x"})), False),
    "a Kelvin sign in place of a k": (json.dumps(alert(NOW, canary={"o\u212ata": {"domain": "x"}})), False),
    "deep nesting": (with_members('"deep": ' + "[" * 60 + "]" * 60), True),
    "null structs": (json.dumps(alert(NOW, canary=None, principal=None, event={"request": None})), True),
    "null elements": (json.dumps(alert(NOW, event={"resources": [None, {}, {"id": None}]})), True),
    "no resources": (json.dumps(alert(NOW, event={"resources": []})), True),
    "values that are not text": (json.dumps(alert(NOW, message=True, provider=-0.5e-3, severity=7)), True),
    "an escaped name": (json.dumps(alert(NOW, message="m")).replace('"message"', '"m\\u0065ssage"'), True),
    "an event time from an unset clock": (json.dumps(alert(NOW) | {"timestamp": "0001-01-01T00:00:00Z"}), True),
    "an event time far ahead": (json.dumps(alert(NOW) | {"timestamp": "9999-12-31T23:59:59.9999Z"}), True),
    "an event time before the lake": (json.dumps(alert(NOW) | {"timestamp": "2023-12-31T23:59:59Z"}), True),
}
# Alerts for the queries: their age in hours, and what sets them apart.
ALERTS = [
    (1, {"id": "q1", "alert_id": "A", "severity": "Medium"}),
    (2, {"id": "q2", "alert_id": "A"}),
    (30, {"id": "q3", "alert_id": "B"}),
    (24 * 60, {"id": "q4", "alert_id": "C"}),
    (24 * 200, {"id": "q5", "alert_id": "D"}),
]
ACTOR = "o'brien@example.com"
# Around the incident of docs/query.md's example.
INCIDENT = {
    "before": "2026-03-08T22:59:59.999Z",
    "first": "2026-03-08T23:00:00Z",
    "second": "2026-03-09T01:59:59Z",
    "after": "2026-03-09T02:00:00Z",
}


def deliver_samples(function):
    """Each sample as it stands, by itself."""
    for path in sorted((ROOT / "events" / "logs").glob("*.json")):
        function.deliver(path.read_bytes())


def deliver_strange(function):
    """Returns those that were not stored or refused as they must be, with the counts that were answered."""
    wrong = {}
    for name, (text, fits) in STRANGE.items():
        counts = function.deliver(text.encode())
        if counts != {"stored": int(fits), "duplicates": 0, "failures": int(not fits)}:
            wrong[name] = counts
    return wrong


def deliver_for_queries(function):
    principal = {"okta": {"alternate_id": ACTOR}}
    logs = [alert(NOW - datetime.timedelta(hours=age), principal=principal, **changes) for age, changes in ALERTS]
    logs += [alert(NOW, id=f"incident {name}") | {"timestamp": time} for name, time in INCIDENT.items()]
    logs += [health_check(NOW - datetime.timedelta(hours=hours)) for hours in (1, 2, 3, 9, 24 * 40)]
    function.deliver(json.dumps(logs).encode())
    # Once more, among so many others that they share objects: two rows of one log.
    others = [alert(NOW - datetime.timedelta(hours=1), id=f"other {number}", alert_id="A") for number in range(500)]
    function.deliver(json.dumps([logs[0], *others]).encode())


def deliver_mutated(function, seed, number):
    """Returns how many logs were stored and how many were refused, and what was done to each, by its id."""
    chance = random.Random(seed)
    done, counts = {}, {"stored": 0, "duplicates": 0, "failures": 0}
    for first in range(0, number, LOGS_IN_A_DELIVERY):
        batch = [mutated(chance, index) for index in range(first, first + LOGS_IN_A_DELIVERY)]
        done |= {f"mutated-{first + offset}": changes for offset, (_, changes) in enumerate(batch)}
        logs = [text.encode() for text, _ in batch]
        # Broken ones are delivered on a line each, because they have no end of their own. The first is not broken, so
        # that lines are expected.
        if is_broken := first % (5 * LOGS_IN_A_DELIVERY) == 0:
            logs[1:] = [broken(chance, text.decode()) if chance.random() < 0.7 else text for text in logs[1:]]
        answered = function.deliver(b"\n".join(logs) if is_broken else b"[" + b",\n".join(logs) + b"]")
        assert is_broken or sum(answered.values()) == LOGS_IN_A_DELIVERY, (answered, batch)
        counts = {name: counts[name] + answered[name] for name in counts}
    return counts, done


def import_history(moto):
    """Two logs that Tracebit had before the lake, by the tool. The API has fewer members than a delivery."""
    time = rfc3339(NOW - datetime.timedelta(days=3))
    lacking = ("discriminator", "provider", "message", "tracebit_portal_url")
    sent = {name: value for name, value in sample("alert-aws").items() if name not in lacking}
    logs = [sent | {"id": f"history-{n}", "alert_id": "history", "timestamp": time, "new": {"a": [n]}} for n in (1, 2)]
    alert = {"id": "history", "start_time": time, "title": "From the list", "provider": "aws", "severity": "High"}
    command = [ROOT / "target" / "debug" / "tracebit-lake-tools", "import", "--since", "2024-01-01"]
    with servers.tracebit(alert, logs) as url:
        environment = {
            **os.environ,
            **servers.CREDENTIALS,
            "AWS_ENDPOINT_URL": moto.url,
            "LAKE_BUCKET": BUCKET,
            "LAKE_PREFIX": PREFIX,
            "TRACEBIT_API_URL": url,
            "TRACEBIT_API_TOKEN": "the-token",
        }
        subprocess.run(command, env=environment, check=True)


def make_tables(glue):
    glue.create_database(DatabaseInput={"Name": DATABASE})
    for table_input in ALL_TABLES.values():
        glue.create_table(DatabaseName=DATABASE, TableInput=table_input)


def make_cloudtrail(moto):
    """A table of CloudTrail's logs with the event of the sample alert-aws, and another of its principal."""
    principal = {"type": "AssumedRole", "arn": sample("alert-aws")["principal"]["aws"]["arn"]}
    events = [
        {"eventid": sample("alert-aws")["event"]["id"], "eventname": "GetObject", "eventtime": "2026-11-20T02:58:41Z"},
        {"eventid": "the day before", "eventname": "ListBuckets", "eventtime": "2026-11-19T03:58:41Z"},
    ]
    lines = "".join(json.dumps(event | {"useridentity": principal}) + "\n" for event in events)
    moto.s3.put_object(Bucket=BUCKET, Key="trail/events.json", Body=lines.encode())
    names = "eventtime eventsource eventname awsregion sourceipaddress useragent errorcode requestparameters"
    columns = [{"Name": name, "Type": "string"} for name in f"{names} responseelements eventid".split()]
    columns.append({"Name": "useridentity", "Type": "struct<type:string,arn:string,accesskeyid:string>"})
    storage = TABLES["tracebit_alert"]["StorageDescriptor"] | {"Location": f"s3://{BUCKET}/trail/", "Columns": columns}
    table_input = {"Name": "cloudtrail_logs", "TableType": "EXTERNAL_TABLE", "Parameters": {"EXTERNAL": "TRUE"}}
    moto.glue.create_database(DatabaseInput={"Name": "default"})
    moto.glue.create_table(DatabaseName="default", TableInput=table_input | {"StorageDescriptor": storage})


class Lake:
    """What was delivered, and where it can be read."""

    @functools.cache
    def asked(self, query):
        """The rows of a query, and the LIST requests that it made, by folder."""
        before = self.moto.list_requests()
        rows = self.athena.rows(query, *[ACTOR] * query.count("?"))
        return rows, self.moto.list_requests() - before


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("athena")
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    lake = Lake()
    with contextlib.ExitStack() as servers_running:
        moto = servers_running.enter_context(servers.moto(folder))
        make_tables(moto.glue)
        make_cloudtrail(moto)
        with servers.function(folder, moto.url, ROOT / "target" / "debug" / "tracebit-lake") as function:
            deliver_samples(function)
            lake.wrong = deliver_strange(function)
            deliver_for_queries(function)
            lake.counts, lake.done = deliver_mutated(function, seed, 1000)
        import_history(moto)
        print(f"seed {seed}: {lake.counts}")
        lake.moto = moto
        lake.records = {table: records.stored(moto.s3, table) for table in TABLES}
        lake.athena = servers_running.enter_context(
            servers.athena(folder, moto.url, os.environ["TRINO_HOME"], os.environ["JAVA_HOME"])
        )
        yield lake


# ------------------------------------------------------------------------------------------------- what is to be read


def test_each_strange_log_is_stored_or_refused_as_the_rules_say(lake):
    assert lake.wrong == {}


def test_mutated_logs_are_stored_and_refused(lake):
    assert lake.counts["stored"] > 200
    assert lake.counts["failures"] > 200


def test_imported_history_is_read(lake):
    day = (NOW - datetime.timedelta(days=3)).date()
    rows = lake.athena.rows(
        "SELECT id, message, provider, p_source_label, discriminator.subtype AS subtype FROM tracebit_alert"
        f" WHERE day >= '{day}' AND alert_id = 'history' ORDER BY id"
    )
    same = {
        "message": "From the list",
        "provider": "aws",
        "p_source_label": "tracebit-api",
        "subtype": "canary_resource_accessed",
    }
    assert rows == [{"id": f"history-{n}"} | same for n in (1, 2)]


@pytest.mark.parametrize("table", TABLES)
def test_every_record_is_read_as_it_is_stored(lake, table):
    stored = lake.records[table]
    assert stored
    try:
        # Of the days that have records, because to list all the others takes longer than the rest.
        days = ", ".join(sorted({f"'{records.day_of(path)}'" for path, *_ in stored}))
        rows = lake.athena.rows(f'SELECT "$path" AS path, * FROM {table} WHERE day IN ({days})')
    except trino.exceptions.TrinoQueryError as error:
        raise AssertionError(f"{error.message}: {culprits(lake, table)}") from None
    found = records.differences(table, TABLES[table], stored, rows)
    assert found == [], f"{len(found)} differences in {len(stored)} records; " + explained(lake, table, found)


def culprits(lake, table):
    """Objects that end a query that meets them, one of each day, with what was done to their logs."""
    paths_by_day = {}
    for path, *_ in lake.records[table]:
        paths_by_day.setdefault(records.day_of(path), set()).add(path)
    found = [culprit(lake, table, day, sorted(paths)) for day, paths in sorted(paths_by_day.items())]
    return "\n".join(each for each in found if each)


def culprit(lake, table, day, paths):
    """The first object of these that ends a query."""
    listed = ", ".join(f"'{path}'" for path in paths)
    try:
        lake.athena.rows(f"""SELECT * FROM {table} WHERE day = '{day}' AND "$path" IN ({listed})""")
    except trino.exceptions.TrinoQueryError as error:
        if len(paths) == 1:
            return f"{paths[0]}: {error.message}: {history(lake, table, paths[0])}"
        middle = len(paths) // 2
        return culprit(lake, table, day, paths[:middle]) or culprit(lake, table, day, paths[middle:])
    return None


def explained(lake, table, found):
    return "\n".join(f"{line} {history(lake, table, line.split(': ')[0])}" for line in found[:20])


def history(lake, table, path):
    """What was done to the logs of an object."""
    ids = [record.get("id") for (where, *_), record in lake.records[table].items() if where == path]
    return [(name, lake.done.get(name)) for name in ids[:3]]


# ------------------------------------------------------------------------------------------------------- saved queries


@pytest.mark.parametrize("query", DAYS_LISTED)
def test_a_saved_query_lists_no_more_days_than_it_asks_for(lake, query):
    rows, made = lake.asked(QUERIES[query])
    assert len(rows) >= LEAST_ROWS.get(query, 0)
    print(f"{query}: {sum(made.values())} LIST requests")
    days = DAYS_LISTED[query]
    assert sum(made.values()) <= MOST_LISTS.get(query, LISTS_PER_DAY * days)
    assert len(made) <= days
    assert max(made.values()) <= LISTS_PER_DAY


@pytest.mark.parametrize("query", DAYS_LISTED)
def test_a_saved_query_says_first_how_to_look_further(query):
    comments = itertools.takewhile(lambda line: line.startswith("--"), QUERIES[query].splitlines())
    assert re.search("look further back|some days alone", " ".join(comments))


@pytest.mark.parametrize("query", ["latest-alerts", "everything-one-actor-did"])
def test_a_log_that_is_stored_twice_is_one_row(lake, query):
    twice = [row_id for row_id, times in rows_of_logs(lake).items() if times > 1]
    assert twice, "no log is stored twice, so this would show nothing"
    # Without its limit, because the other logs of that hour fill the first hundred.
    unlimited = QUERIES[query].replace("LIMIT 100", "")
    found = [row["p_row_id"] for row in lake.asked(unlimited)[0]]
    assert set(twice) <= set(found)
    assert len(found) == len(set(found))


def rows_of_logs(lake):
    counts = {}
    for _, row_id, _ in lake.records["tracebit_alert"]:
        counts[row_id] = counts.get(row_id, 0) + 1
    return counts


def test_the_actor_is_found_however_long_ago(lake):
    rows, _ = lake.asked(QUERIES["everything-one-actor-did"])
    assert [row["alert_id"] for row in rows] == ["D", "C", "B", "A", "A"]


def test_a_log_whose_clock_is_wrong_is_among_the_latest(lake):
    unlimited = QUERIES["latest-alerts"].replace("LIMIT 100", "")
    years = {row["p_event_time"][:4] for row in lake.asked(unlimited)[0]}
    assert {"0001", "2023", "9999"} <= years
    rows, _ = lake.asked(documented("<> day"))
    assert {row["p_event_time"][:4] for row in rows} == {"0001", "1969", "2023", "9999"}


# ---------------------------------------------------------------------------------------------------- an investigation


@pytest.mark.parametrize("query", INVESTIGATION)
def test_a_query_of_an_investigation_runs_as_it_stands(lake, query):
    text = QUERIES[query]
    rows = lake.athena.rows(text, *[sample("alert-aws")["alert_id"]] * text.count("?"))
    assert len(rows) >= LEAST_ROWS.get(query, 0)
    if query == "unknown-fields":
        assert "unknown" in {row["field"] for row in rows}
    if query == "which-ci-run-leaked-a-credential":
        assert "https://github.com/acme/shop/actions/runs/19420187345" in {row["run"] for row in rows}


def test_the_ocsf_view_has_a_row_for_each_record(lake):
    view = "SELECT metadata.uid AS uid, finding_info, evidences, observables FROM tracebit_alert_ocsf"
    uids = sorted(row["uid"] for row in lake.athena.rows(view))
    assert uids == sorted(row_id for _, row_id, _ in lake.records["tracebit_alert"])


# ------------------------------------------------------------------------------------------------------ docs/query.md


def documented(marker):
    """The first SQL of docs/query.md that has the marker."""
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "query.md").read_text(), re.DOTALL)
    return next(block for block in blocks if marker in block).replace(";", "")


def test_the_documented_filter_finds_one_incident(lake):
    rows, made = lake.asked(documented("23:00:00").replace("SELECT", "SELECT id,", 1))
    assert {row["id"] for row in rows} == {"incident first", "incident second"}
    assert len(made) == 2


def test_the_documented_filter_finds_a_range_of_days(lake):
    rows, made = lake.asked(documented("day BETWEEN"))
    assert sum(row["logs"] for row in rows) == len(INCIDENT)
    assert len(made) == 7
