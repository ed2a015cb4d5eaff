"""Each environment variable that template.yaml sets is one that the code reads, and the other way round."""

import re

import pytest
from stack import ROOT
from test_template import properties

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
