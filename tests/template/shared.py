"""What the tests of the stack share: parameters that they give it, parts of what they expect, and the pages.

They test what no emulator can show: the properties of template.yaml on which safety and the alarms rest.
"""

import json
import re

from stack import ROOT

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0d9c4a1e-0000-4000-8000-000000000000"
OLDER = "arn:aws:kms:eu-west-1:111122223333:key/1d9c4a1e-0000-4000-8000-000000000000"
KEYS = ["KmsKeyArn", "SecretKmsKeyArn", "QueueKmsKeyArn", "TopicKmsKeyArn", "LogKmsKeyArn"]
LISTS = {"TracebitApiUrl": "https://acme.tracebit.com"}
READER = "arn:aws:iam::444455556666:role/siem"
SIEM = {"SiemReaderArn": READER}
OPERATORS = "arn:aws:iam::111122223333:role/operator*"
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:lake-AbCdEf"
ROUTING_KEY = "R0123456789ABCDEF0123456789ABCDE"
PAGER = {"PagerDutyRoutingKey": ROUTING_KEY}
# Whatever a stack can have.
EVERYTHING = {**LISTS, **SIEM, **PAGER, "QuietRules": "Yes"}
HTTP_API = {"FrontDoor": "HttpApi"}
BOTH = {"FrontDoor": "Both"}
SLACK = {"SlackWorkspaceId": "T07EA123LEP", "SlackChannelId": "C07EZ1ABC23"}
TEAM = "6f1c2d3e-0000-4000-8000-1234567890ab"
TEAMS = {"TeamsTenantId": TEAM, "TeamsTeamId": TEAM, "TeamsChannelId": "19%3aab-0123%40thread.tacv2"}
OWN_ACCOUNT = {"StringEquals": {"aws:ResourceAccount": "111122223333"}}
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}
OPERATE = (ROOT / "docs/operate.md").read_text()
SCHEMA = (ROOT / "docs/schema.md").read_text()
PARAMETERS = (ROOT / "docs/parameters.md").read_text()
# The metrics that the functions write, each with the dimension that it has besides Stack: the table that
# `cargo xtask generate` makes of the code.
TABLE = re.search("<!-- begin metrics.*?<!-- end metrics", SCHEMA, re.S)[0]
METRICS = {name: dimension or None for name, dimension in re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| ", TABLE, re.M)}


def without(key, statement):
    return {name: value for name, value in statement.items() if name != key}


def log(name="alert-aws"):
    return json.loads((ROOT / f"events/logs/{name}.json").read_text())


def published(detail, detail_type="Tracebit.Alert"):
    """What the notifier publishes of a record."""
    return {"source": "tracebit-lake", "detail-type": detail_type, "detail": detail}


def metric_lines(widgets):
    return [
        line
        for widget in widgets
        if widget["type"] == "metric"
        for line in widget["properties"]["metrics"]
        if isinstance(line[0], str)
    ]
