"""How much time of a processor the saved queries take, and how much they read, as the lake grows.

For each number of alerts it makes a lake of them, an object each, spread evenly over the year until now, and of the health
checks of the 90 days that the template keeps, one every five minutes. Then it runs every saved query of template.yaml on
DuckDB, with the files in the machine's cache. `.ci/growth` runs it.
"""

import argparse
import datetime
import json
import pathlib
import re
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "template"))

import test_queries as queries

NOW = datetime.datetime(2026, 11, 24, 12, 0)
YEAR = datetime.timedelta(days=365)
BETWEEN_HEALTH_CHECKS = datetime.timedelta(minutes=5)
HEALTH_CHECKS = datetime.timedelta(days=90) // BETWEEN_HEALTH_CHECKS
ACTOR = "203.0.113.7"
SAMPLE = json.loads((ROOT / "events" / "logs" / "alert-aws.json").read_text())
# Those that read CloudTrail's table measure CloudTrail.
MEASURED = [name for name, text in queries.QUERIES.items() if "cloudtrail" not in text.lower()]


def alert(row, when):
    """A record as large as those of Tracebit's alerts. Every thousandth is the work of one actor."""
    fields = queries.alert(row, when, f"alert-{row}", "Medium", ip=ACTOR if row % 1000 == 0 else "198.51.100.9")
    return SAMPLE | {name: value for name, value in fields.items() if name.startswith("p_") or name.endswith("id")}


def make(folder, alerts):
    for row in range(alerts):
        when = NOW - YEAR * row / alerts
        queries.file(folder, "tracebit_alert", when, alert(row, when))
    for row in range(HEALTH_CHECKS):
        when = NOW - BETWEEN_HEALTH_CHECKS * row
        queries.file(folder, "tracebit_healthcheck", when, queries.health_check(row, when))
    queries.file(folder, "classification_failures", NOW, queries.failure(1, NOW, "id: required", "Tracebit.Alert"))


def objects_read(folder, query):
    """The number of objects on the days that the query asks for, and their bytes."""
    text = queries.QUERIES[query]
    days = re.search(r"day >= date_format\(current_date - INTERVAL '(\d+)' DAY", text)
    first = f"day={NOW - datetime.timedelta(days=int(days[1])):%Y-%m-%d}" if days else ""
    tables = [name for name in queries.TABLES if re.search(rf"\b{name}\b", text)]
    files = [
        file
        for table in tables
        for day in (folder / table).iterdir()
        if day.name >= first
        for file in day.rglob("*.json")
    ]
    return len(files), sum(file.stat().st_size for file in files)


def seconds(database, query, runs):
    taken = []
    for _ in range(runs):
        # Of all threads. Unlike the time on the clock, it hardly depends on what else the machine does.
        started = time.process_time()
        queries.run(database, query, NOW, *[ACTOR] * queries.QUERIES[query].count("?"))
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("alerts", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    options.add_argument("--runs", type=int, default=1, help="of each query; the median is printed")
    options = options.parse_args()
    cells = {query: [] for query in MEASURED}
    for alerts in options.alerts:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            make(folder, alerts)
            database = queries.lake(folder)
            for query in MEASURED:
                count, size = objects_read(folder, query)
                taken = seconds(database, query, options.runs)
                cells[query].append(f"{taken:.1f} s, {count:,} object{'s' * (count != 1)}, {size / 1e6:,.1f} MB")
                print(f"{alerts:,} alerts: {query}: {cells[query][-1]}", file=sys.stderr, flush=True)
    print(f"| saved query | {' | '.join(f'{alerts:,} alerts' for alerts in options.alerts)} |")
    print(f"| --- |{' ---: |' * len(options.alerts)}")
    for query in MEASURED:
        print(f"| `{query}` | {' | '.join(cells[query])} |")


if __name__ == "__main__":
    main()
