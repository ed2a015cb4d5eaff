"""What the tests of docs/examples/webhook-destination.yaml share: what the Alert API takes, and what an intruder writes.

Sources: docs.opsgenie.com/docs/alert-api, "Create Alert" (the fields and their limits);
developer.atlassian.com/cloud/jira/service-desk-ops, "Integration events" (Jira Service Management's, with the same
fields).
"""

import jsonschema
from shared import log

# Breaks a string, an object, a variable, an escape and a line.
HOSTILE = 'a"}], <alert> \\ </b> \n" \u202e\u2028' + "x" * 2000
TEAMS = {"type": "array", "maxItems": 50, "items": {"type": "object", "required": ["type"]}}
ALERT = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "message": {"type": "string", "minLength": 1, "maxLength": 130},
        "alias": {"type": "string", "minLength": 1, "maxLength": 512},
        "description": {"type": "string", "maxLength": 15000},
        "responders": TEAMS,
        "visibleTo": TEAMS,
        "actions": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 50}},
        "tags": {"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 50}},
        "details": {"type": "object", "additionalProperties": {"type": "string"}},
        "entity": {"type": "string", "maxLength": 512},
        "source": {"type": "string", "maxLength": 100},
        "priority": {"enum": ["P1", "P2", "P3", "P4", "P5"]},
        "user": {"type": "string", "maxLength": 100},
        "note": {"type": "string", "maxLength": 25000},
    },
}


def problems(alert):
    """Why the API would refuse an alert."""
    return [error.message for error in jsonschema.Draft202012Validator(ALERT).iter_errors(alert)]


def by_an_intruder():
    """An alert with a hostile text wherever an intruder may choose one."""
    request = {"user_agent": {"raw": HOSTILE, "label": HOSTILE}, "ip": HOSTILE}
    return log() | {
        "message": HOSTILE,
        "principal": {"id": HOSTILE, "aws": {"arn": HOSTILE, "username": HOSTILE}, HOSTILE: HOSTILE},
        "event": {"id": HOSTILE, "operation": HOSTILE, "request": request, "resources": [{"id": HOSTILE}]},
        "unknown": HOSTILE,
    }
