"""The pages name the metrics, the alarms, the environment variables and the commands of the AWS CLI that there are; figures
that stand twice agree."""

import json
import re
from datetime import datetime

import botocore.session
import pytest
import yaml
from botocore import xform_name
from shared import EVERYTHING, HTTP_API, LISTS, OPERATE, SCHEMA, metric_lines
from stack import ROOT, SCHEMAS, alarms, of_type, properties, source, stack


def filtered():
    """The metrics that filters of the template count in logs."""
    filters = of_type("AWS::Logs::MetricFilter", FrontDoor="HttpApi").values()
    return {transformation["MetricName"] for each in filters for transformation in each["MetricTransformations"]}


def section(page, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def test_the_page_explains_the_metrics_that_filters_count():
    assert filtered() <= set(re.findall(r"`(\w+)`", section(SCHEMA, "Metrics")))


@pytest.mark.parametrize("name", alarms(**EVERYTHING, **HTTP_API))
def test_alarms_that_the_runbooks_name_exist(name):
    runbook = re.search(rf"^### {name}\n(.*?)(?=^##)", OPERATE, re.M | re.S)[1]
    followed = re.findall(r"[Ff]ollow (?:the steps of )?`([a-z-]+)`|alarm `([a-z-]+)`", runbook)
    assert {name for pair in followed for name in pair if name} <= alarms(**EVERYTHING, **HTTP_API).keys()


@pytest.mark.parametrize("index", ["By urgency", "By symptom"])
def test_the_index_leads_to_sections_that_exist(index):
    linked = re.findall(r"\]\(#([a-z-]+)\)", re.search(rf"^### {index}\n(.*?)(?=^##)", OPERATE, re.M | re.S)[1])
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^###? (.*)$", OPERATE, re.M)}
    assert set(linked) <= titles
    if index == "By urgency":
        assert sorted(linked) == sorted(alarms(**EVERYTHING, **HTTP_API))


def test_the_costs_of_the_notifier_add_up():
    performance = (ROOT / "docs/performance.md").read_text()
    table = re.search(r"### What the notifier adds\n.*?\n\n(\|.*?)\n\n", performance, re.S)[1]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for column in (2, 3):
        *parts, total = [float(row[column] or 0) for row in rows]
        assert round(sum(parts), 2) == total
    year = float(rows[-1][2]) * 30 * 365 / 1e6
    assert f"thirty new alerts a day cost {round(100 * year)} cents a year" in performance


def test_the_page_quotes_the_budget_of_instructions():
    table = section((ROOT / "benches/README.md").read_text(), "Instructions")
    budget = yaml.safe_load((ROOT / "benches/counts/budget.yml").read_text())["instructions"]
    quoted = {line.split("|")[2].strip() for line in table.splitlines() if line.startswith("| ")}
    assert {f"{count:,}" for count in budget.values()} <= quoted


def test_the_guide_for_contributors_names_every_check():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    run = re.findall(r"^check (\w+) ", (ROOT / ".ci/run").read_text(), re.M)
    assert re.findall(r"^\| `(\w+)` \|", guide, re.M) == run
    others = {path.name for path in (ROOT / ".ci").iterdir() if path.stat().st_mode & 0o100 and path.is_file()} - {*run, "run"}
    assert {name for name in others if f"`.ci/{name}`" not in guide} == set()


def looked_at(alarm):
    """How many metrics CloudWatch bills for an alarm: those that it names, and no expression over them."""
    return len([part for part in alarm.get("Metrics", [alarm]) if "Expression" not in part])


def written_by_deliveries():
    """The metrics that a delivery of a health check writes, each time: those of src/ingest/report.rs, and of the schemas."""
    report = (ROOT / "src/ingest/report.rs").read_text()
    function = re.search(r"\nfn payload_metrics.*?\n}\n", report, re.S)[0]
    own = set(re.findall(r'\.(?:count|metric)\(\s*"(\w+)"', function))
    assert "PayloadBytes" in own
    rules = {rule["name"] for schema in SCHEMAS for rule in schema.get("metrics", []) if "by" not in rule}
    # And LogsStored of this log type.
    return own | rules | {"LogsStored"}


def shown_on_the_dashboard():
    """How many metrics CloudWatch bills a dashboard by. Three dashboards of at most 50 are free."""
    body = json.loads(properties("Dashboard", **EVERYTHING)["DashboardBody"])
    # A search finds one metric for each log type, and one for each severity.
    rules = [rule["by"] for schema in SCHEMAS for rule in schema.get("metrics", []) if "by" in rule]
    found = len(SCHEMAS) + sum(len({*rule["values"], rule["other"]}) for rule in rules)
    return len({tuple(line[:-1]) for line in metric_lines(body["widgets"])}) + found


@pytest.mark.parametrize(("column", "parameters"), [(2, {}), (3, LISTS)])
def test_the_bill_follows_from_the_template_and_adds_up(column, parameters):
    text = section((ROOT / "docs/performance.md").read_text(), "What a month costs")
    table = re.search(r"\n\n(\| \| list price \|.*?)\n\n", text, re.S)[1]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    *parts, total, after_free_tiers = [float(row[column]) for row in rows]
    hourly = len(written_by_deliveries())
    assert f"| CloudWatch: {hourly} metrics that deliveries write in each hour |" in table
    rounds = 30 * 24 * 60 // source()["Parameters"]["WatchMinutes"]["Default"]
    assert f"{rounds:,} rounds" in text
    secrets = len(of_type("AWS::SecretsManager::Secret", **parameters))
    watched = 7 if parameters else 4
    in_alarms = sum(map(looked_at, alarms(**parameters).values()))
    assert str(in_alarms) in re.search(r"metrics in alarms, (\d+) or (\d+)", table).groups()
    # Each source of messages is polled by five long polls of twenty seconds.
    polls = len(of_type("AWS::Lambda::EventSourceMapping")) * 5 * 3 * 60 * 24 * 30
    composite = len(of_type("AWS::CloudWatch::CompositeAlarm", **parameters))
    logs, computing, traces = (
        rounds * 2e-6 * 0.5,
        rounds * properties("WatchFunction")["MemorySize"] / 1024 * 0.0000166667,
        rounds * 5e-6,
    )
    expected = [
        hourly * 0.3,
        watched * 0.3,
        5 * 0.3 * 30 / 720,
        in_alarms * 0.1,
        *([composite * 0.5] if composite else []),
        3 * len(of_type("AWS::CloudWatch::Dashboard")),
        logs,
        15 * rounds * 5e-6,
        polls * 0.4e-6,
        secrets * 0.4 + (rounds * 5e-6 if parameters else 0),
        computing,
        traces,
    ]
    assert parts == [round(each, 2) for each in expected]
    assert round(sum(parts), 2) == total
    dashboard = 3 if shown_on_the_dashboard() <= 50 else 0
    free = 10 * 0.3 + 10 * 0.1 + dashboard + 0.4 + sum(round(each, 2) for each in (logs, computing, traces))
    assert round(total - free, 2) == after_free_tiers
    for page in () if parameters else ("README.md", "docs/install.md"):
        quoted = [float(each) for each in re.findall(r"\$([\d.]+)", (ROOT / page).read_text())][:2]
        assert quoted == [total, after_free_tiers], page


def cells(line):
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_the_page_quotes_the_times_that_were_measured():
    measured = (ROOT / "benches/README.md").read_text().split("### 128 MB")[1].split("###")[0]
    header, _, *rows = [cells(line) for line in re.search(r"\| function .*?\n\n", measured, re.S)[0].strip().splitlines()]
    columns = [header.index(name) for name in ("INIT", "first request", "warm p50", "CPU per request", "peak memory, MB")]
    medians = {row[0]: [row[column].split(" ")[0] for column in columns] for row in rows}
    performance = (ROOT / "docs/performance.md").read_text()
    table = re.search(r"\| function \| INIT .*?\n\n", performance, re.S)[0].strip().splitlines()[2:]
    quoted = {re.match(r"`([a-z-]+)`", row[0])[1]: row[1:] for row in map(cells, table)}
    assert quoted == {name: medians[name] for name in quoted} and len(quoted) > 5


def test_every_page_is_in_the_readmes_table():
    """`.ci/book` makes its table of contents from it."""
    linked = set(re.findall(r"\]\(([^)#]+\.md)\)", section((ROOT / "README.md").read_text(), "Pages")))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    assert {str(page.relative_to(ROOT)) for page in pages} - {"README.md"} <= linked


def test_splunk_finds_the_time_of_each_kind_of_record():
    """A record's own fields stand behind the log's, where an intruder may have written what looks like a time."""
    forward = (ROOT / "docs/forward.md").read_text()
    stanza = dict(re.findall(r"^(\w+) = (.*)$", re.search(r"```ini\n(.*?)```", forward, re.S)[1], re.M))
    assert stanza["TZ"] == "UTC" and stanza["TRUNCATE"] == "0" and stanza["KV_MODE"] == "json"
    forged = {"user_agent": '"p_event_time":"1999-01-01 00:00:00.000"', "error": '"p_parse_time":"1999'}
    times = {"p_event_time": "2026-11-20 02:58:41.500", "p_parse_time": "2026-11-20 03:04:10.250"}
    failure = {"p_parse_time": times["p_parse_time"]}
    for own, expected in ((times, times["p_event_time"]), (failure, times["p_parse_time"])):
        record = json.dumps(forged | own, separators=(",", ":"))
        event = re.split(stanza["LINE_BREAKER"], f"{record}\n{record}\n")[0]
        after = event[re.search(stanza["TIME_PREFIX"], event).end() :]
        # Splunk's %3N, three digits, is Python's %f.
        form = stanza["TIME_FORMAT"].replace("%3N", "%f")
        assert datetime.strptime(after[:23], form) == datetime.strptime(expected, "%Y-%m-%d %H:%M:%S.%f")


# ------------------------------------------------------------------------------------------------ environment variables

# Set by Lambda, by the SDK's own rules, or for local runs alone.
NOT_IN_THE_TEMPLATE = {"TRACEBIT_SECRET", "TRACEBIT_API_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
# Its default is right for every stack.
NOT_IN_THE_TEMPLATE |= {"WATCH_GRACE_MINUTES"}
SHARED = (ROOT / "src/config.rs").read_text()
OWN = {"NotifyFunction": "src/notify/config.rs", "WatchFunction": "src/watch/config.rs"}
CODE = {"WebhookFunction": SHARED} | {function: (ROOT / file).read_text() for function, file in OWN.items()}


def read(source):
    """The variables that a configuration reads, without those that its unit tests name."""
    return set(re.findall(r'"([A-Z][A-Z0-9]*_[A-Z0-9_]+)"', source.split("#[cfg(test)]")[0]))


@pytest.mark.parametrize("function", CODE)
def test_the_template_sets_every_variable_that_the_code_reads_and_no_other(function):
    variables = properties(function)["Environment"]["Variables"].keys()
    shared = {"LAKE_PREFIX"} if function in OWN else set()
    assert variables == (read(CODE[function]) | shared) - NOT_IN_THE_TEMPLATE


def test_the_drain_has_the_webhooks_variables_but_for_the_queue():
    webhook, drain = (properties(name)["Environment"]["Variables"] for name in ("WebhookFunction", "DrainFunction"))
    assert drain == {name: value for name, value in webhook.items() if name != "SPILL_QUEUE_URL"}


def test_the_contract_explains_every_variable():
    contract = (ROOT / "docs/contract.md").read_text()
    rows = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", " ".join(re.findall(r"^\| `[A-Z].*? \|", contract, re.M))))
    assert set().union(*map(read, CODE.values())) <= rows


# ------------------------------------------------------------------------------------------------------------- commands

GLOBAL_OPTIONS = {"region", "query", "output"}
SERVICES = {"s3api": "s3"}
# Commands that the CLI adds to the operations of a service, with those of their options that the texts use.
CUSTOM = {
    ("s3", "cp"): {"recursive", "metadata-directive", "metadata", "content-type"},
    ("logs", "tail"): {"follow", "since"},
    ("cloudformation", "package"): {"template-file", "s3-bucket", "s3-prefix", "output-template-file"},
    ("cloudformation", "deploy"): {"template-file", "s3-bucket", "stack-name", "capabilities", "parameter-overrides"},
}


def commands(text):
    """(service, operation, options) of each command in a text of the shell. A command may hold another in $( )."""
    for found in re.finditer(r"\baws ([a-z0-9]+) ([a-z-]+)((?:(?!\baws )[^\n)])*)", text.replace("\\\n", " ")):
        yield found[1], found[2], set(re.findall(r" --([a-z0-9-]+)", found[3]))


def all_commands():
    for page in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]:
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.M | re.S):
            yield from (pytest.param(*command, id=f"{page.name}:{command[1]}") for command in commands(block))
    for name, output in stack(FrontDoor="HttpApi", TracebitApiUrl="https://acme.tracebit.com")["Outputs"].items():
        if name.endswith("Command"):
            yield from (pytest.param(*command, id=f"{name}:{command[1]}") for command in commands(output["Value"]))


COMMANDS = list(all_commands())


@pytest.mark.parametrize(("service", "operation", "options"), COMMANDS)
def test_a_command_names_an_operation_and_its_options(service, operation, options):
    if (service, operation) in CUSTOM:
        known = CUSTOM[service, operation]
    else:
        model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations
        known = {xform_name(member, "-") for member in model.operation_model(operations[operation]).input_shape.members}
    assert {option.removeprefix("no-") for option in options - GLOBAL_OPTIONS} <= known


def test_the_commands_of_both_kinds_are_found():
    assert {each.values[1] for each in COMMANDS} >= {"get-secret-value", "put-secret-value", "tail"}


def test_the_command_for_a_round_has_options_that_the_tool_takes():
    code = "".join((ROOT / f"tools/src/{file}.rs").read_text() for file in ("watch", "options"))
    known = {name.replace("_", "-") for name in re.findall(r"#\[arg\(long[^\]]*\)\]\n    (?:pub\(crate\) )?(\w+): ", code)}
    command = stack(SourceId="one", TracebitApiUrl="https://acme.tracebit.com")["Outputs"]["WatchCommand"]["Value"]
    assert command.split()[1:3] == ["tracebit-lake-tools", "watch"]
    used = set(re.findall(r" --([a-z-]+) ", command))
    assert len(used) == 9 and used <= known
