"""The commands of the AWS CLI in the pages and in the outputs name operations and options that exist."""

import re

import botocore.session
import pytest
from botocore import xform_name
from stack import ROOT, stack

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
