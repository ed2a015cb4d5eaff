"""The texts that people read in the console, in messages, in logs and in a terminal keep to the rules of .vale/, which
the pages keep to."""

import json
import re

import pytest
import yaml
from shared import EVERYTHING, HTTP_API
from stack import ROOT, example_source, source, stack

TEXTS = {"Description", "ConstraintDescription", "AlarmDescription", "AssertDescription", "InputTemplate", "Comment"}
RULES = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".vale/Lake").glob("*.yml")}
FORBIDDEN = [word for rule in RULES.values() for word in rule.get("swap", {})]


def described(node):
    """Each text under one of the keys. `!Sub` hides it one level deeper."""
    if isinstance(node, list):
        for each in node:
            yield from described(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            text = value.get("Fn::Sub", "") if isinstance(value, dict) else value
            if key in TEXTS and isinstance(text, list):
                yield text[0]
            elif key in TEXTS and isinstance(text, str):
                yield text
            else:
                yield from described(value)


def drawn():
    """The headings, titles and labels of the dashboard, and what the outputs say to people."""
    for parameters in ({}, {"AlarmEmail": "a@example.com", "TracebitApiUrl": "https://acme.tracebit.com"}):
        made = stack(**parameters)
        body = made["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
        yield from (text for widget in json.loads(body)["widgets"] for text in labelled(widget["properties"]))
        yield made["Outputs"]["WhoIsTold"]["Value"]


def labelled(properties):
    yield from (properties[key] for key in ("markdown", "title") if key in properties)
    for line in properties.get("metrics", []):
        yield from (part["label"] for part in line if isinstance(part, dict) and "label" in part)


def groups():
    for group in source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        yield group["Label"]["default"]


ALL = sorted({*described(source()), *described(example_source("webhook-destination")), *drawn(), *groups()})


def test_the_texts_of_each_kind_are_found():
    assert {"Endpoint", "## Was anybody notified?", "Requests and payload bytes, per hour", "dead letters"} <= set(ALL)
    assert sum(text.startswith("must be") for text in ALL) > 20
    assert sum(text.startswith("Act now. ") for text in ALL) > 10
    assert len(FORBIDDEN) > 5


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_text_has_a_word_that_the_pages_may_not_have(word):
    pattern = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
    assert [text for text in ALL if pattern.search(text)] == []


def said(file):
    """The strings of a source file, and what the command-line tool's `--help` takes from comments. Not its unit tests."""
    code = file.read_text().split("#[cfg(test)]")[0]
    help_texts = re.findall(r"^ *///(.*)", code, re.M) if file.is_relative_to(ROOT / "tools/src") else []
    code = re.sub(r"^ *//.*", "", code, flags=re.M)
    return re.findall(r'"((?:[^"\\]|\\.)*)"', code) + help_texts


@pytest.mark.parametrize("folder", ["src", "tools/src"])
def test_no_log_error_or_help_has_such_a_word(folder):
    pattern = re.compile(rf"\b(?:{'|'.join(FORBIDDEN)})\b", re.IGNORECASE)
    texts = [(file.name, text) for file in sorted((ROOT / folder).rglob("*.rs")) for text in said(file)]
    assert len(texts) > 50
    assert [each for each in texts if pattern.search(each[1])] == []


def test_no_sentence_is_longer_than_in_the_pages():
    longest = RULES["Sentences"]["max"]
    sentences = [sentence for text in ALL for sentence in re.split(r"(?<=[.?!;:])\s+", text)]
    assert [sentence for sentence in sentences if len(sentence.split()) > longest] == []


def test_no_message_names_a_file_that_mail_programs_take_for_a_host():
    """They make a link of it, and anybody can own a host in .md."""
    pattern = re.compile(r"\w\.(?:md|sh|rs|py)\b")
    messages = [json.dumps(stack(**EVERYTHING, **HTTP_API)["Resources"][name]["Properties"]) for name in sent()]
    words = [file for file in (ROOT / "src/notify").glob("*.rs") if not file.stem.endswith("_tests")]
    messages += [text for file in words for text in said(file)]
    assert len(messages) > 100
    assert [text for text in messages if pattern.search(text)] == []


def sent():
    """The alarms, and the rules that send a message."""
    made = stack(**EVERYTHING, **HTTP_API)["Resources"].items()
    return [name for name, each in made if each["Type"] in ("AWS::CloudWatch::Alarm", "AWS::Events::Rule")]
