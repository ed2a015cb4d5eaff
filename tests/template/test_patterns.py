"""The rule of the stack and the patterns of docs/query.md, each with events that match and events that do not."""

import json
import re

import pytest
from patterns import matches
from stack import ROOT
from test_template import properties


def log(name):
    return json.loads((ROOT / f"events/logs/{name}.json").read_text())


def event(record, detail_type="Tracebit.Alert"):
    """What the notifier publishes of a record."""
    return {"source": "tracebit-lake", "detail-type": detail_type, "detail": record}


def created(key, bucket="<LakeBucket>"):
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}, "reason": "PutObject"},
    }


def documented(title):
    """The pattern under a heading of docs/query.md."""
    page = (ROOT / "docs/query.md").read_text()
    return json.loads(re.search(rf"^### {title}\n(?:(?!^#).*\n)*?```json\n((?:.*\n)*?)```", page, re.M)[1])


# By heading: events that must match, and events that must not.
PATTERNS = {
    "What notifies people": (
        [
            event(log("alert-aws")),
            event(log("alert-okta")),
            event(log("alert-aws") | {"severity": None}),
            event({name: value for name, value in log("alert-aws").items() if name != "severity"}),
            event(log("alert-aws") | {"severity": "Severe"}),
            event({"log_type": "Tracebit.Alert", "error": "id: required"}, "ClassificationFailure"),
        ],
        [
            event(log("alert-aws") | {"severity": "Info"}),
            event(log("alert-aws") | {"severity": "info"}),
            event(log("alert-aws") | {"severity": "LOW"}),
            event(log("health-check"), "Tracebit.HealthCheck"),
            event(log("alert-aws")) | {"source": "aws.s3"},
            created("tracebit_alert/day=2026-11-20/hour=02/x.json"),
        ],
    ),
    "A credential that leaked from your CI": (
        [event(log("alert-credential-used"))],
        [
            event(log("alert-aws")),
            event(log("alert-credential-used") | {"canary_credential": None}),
            event(
                log("alert-credential-used")
                | {
                    "canary_credential": {
                        "labels": [
                            {"name": "github.repo", "value": "another/shop"},
                            {"name": "source", "value": "acme/"},
                        ]
                    }
                }
            ),
        ],
    ),
    "From your own network": (
        [event(log("alert-aws") | {"p_any_ip_addresses": ["198.51.100.7", "203.0.113.57"]})],
        [
            event(log("alert-aws") | {"p_any_ip_addresses": ["198.51.100.7"]}),
            event(log("alert-aws")),
        ],
    ),
    "Every new object": (
        [created("tracebit_alert/day=2026-11-20/hour=02/x.json", "LAKE_BUCKET")],
        [
            created("tracebit_healthcheck/day=2026-11-20/hour=02/x.json", "LAKE_BUCKET"),
            created("tracebit_alert/day=2026-11-20/hour=02/x.json", "another-bucket"),
        ],
    ),
}


@pytest.mark.parametrize("title", PATTERNS)
def test_a_documented_pattern_matches_what_it_should_and_nothing_else(title):
    matching, others = PATTERNS[title]
    assert [each for each in matching if not matches(documented(title), each)] == []
    assert [each for each in others if matches(documented(title), each)] == []


def test_the_stacks_rule_passes_on_new_alerts_and_failures_alone():
    pattern = properties("ObjectCreatedRule", LakePrefix="logs/")["EventPattern"]
    key = "day=2026-11-20/hour=02/20261120T025841Z-0.json"
    assert matches(pattern, created(f"logs/tracebit_alert/{key}"))
    assert matches(pattern, created(f"logs/classification_failures/{key}"))
    others = [f"logs/tracebit_healthcheck/{key}", f"tracebit_alert/{key}", "logs/notified/day=2026-11-20/0.json"]
    assert [each for each in others if matches(pattern, created(each))] == []
    assert not matches(pattern, created(f"logs/tracebit_alert/{key}", "another-bucket"))
    deleted = created(f"logs/tracebit_alert/{key}") | {"detail-type": "Object Deleted"}
    assert not matches(pattern, deleted)
    put = created(f"logs/tracebit_alert/{key}")
    reasons = [{"reason": reason} for reason in ("PutObject", "CompleteMultipartUpload", "CopyObject", "RestoreObject")]
    matched = [matches(pattern, put | {"detail": put["detail"] | reason}) for reason in reasons]
    assert matched == [True, True, False, False]
    del put["detail"]["reason"]
    assert matches(pattern, put)


def test_a_deleted_record_notifies_people_and_an_expired_one_does_not():
    pattern = properties("RecordDeletedRule", LakePrefix="logs/")["EventPattern"]
    key = "day=2026-11-20/hour=02/20261120T025841Z-0.json"

    def deleted(path, reason="DeleteObject"):
        event = created(path)
        return event | {"detail-type": "Object Deleted", "detail": event["detail"] | {"reason": reason}}

    for table in ("tracebit_alert", "tracebit_healthcheck", "classification_failures"):
        assert matches(pattern, deleted(f"logs/{table}/{key}"))
    assert not matches(pattern, deleted(f"logs/tracebit_alert/{key}", "Lifecycle Expiration"))
    assert not matches(pattern, deleted(f"logs/notified/{key}"))
    assert not matches(pattern, deleted(f"another/tracebit_alert/{key}"))
    assert not matches(pattern, created(f"logs/tracebit_alert/{key}"))
