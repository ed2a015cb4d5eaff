"""The command of docs/install.md that runs the output TestCommand, run by a shell against a server in place of the
function's URL. And the output RotateCommand, run by a shell."""

import hashlib
import hmac
import json
import os
import re
import subprocess

import pytest
import yaml
from loopback import Quiet, serving
from stack import ROOT, stack

SECRET = "tracebit-lake-development-secret"
# In place of the AWS CLI: the output of a stack, the secret, and a new one.
AWS = f"""#!/bin/sh
case "$*" in
*describe-stacks*TestCommand*) printenv OUTPUT ;;
*get-secret-value*--secret-id\\ SECRET\\ *) echo "{SECRET}" ;;
*get-random-password*) echo "a new secret" ;;
*put-secret-value*) printf '%s\\n' "$@" ;;
*) exit 2 ;;
esac
"""


@pytest.fixture
def function():
    """The URL of a server that takes deliveries as the function does, and what it got."""
    deliveries = []

    class Function(Quiet):
        def do_POST(self):
            body = self.body()
            good = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            verified = hmac.compare_digest(good, self.headers["x-tracebit-signature-256"])
            deliveries.append((verified, body))
            self.answer(200 if verified else 401)

    with serving(Function) as url:
        yield url, deliveries


def shell(command, folder, **variables):
    aws = folder / "aws"
    aws.write_text(AWS)
    aws.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "no_proxy": "127.0.0.1"} | variables
    return subprocess.run(["sh", "-euc", command], env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("endpoint", "made"),
    [
        ("FunctionUrl", "<WebhookFunctionUrl.FunctionUrl>"),
        ("HttpApi", "<Api.ApiEndpoint>/"),
        ("Both", "<WebhookFunctionUrl.FunctionUrl>"),
    ],
)
def test_the_command_delivers_a_new_signed_alert(endpoint, made, function, tmp_path):
    url, deliveries = function
    page = (ROOT / "docs/install.md").read_text()
    command = re.search(r"^## Send a test alert\n.*?```sh\n(.*?)```", page, re.M | re.S)[1]
    output = stack(FrontDoor=endpoint)["Outputs"]["TestCommand"]["Value"].replace("<SharedSecret>", "SECRET")
    output = output.replace(made, f"{url}/")
    run = shell(command, tmp_path, OUTPUT=output)
    assert run.returncode == 0 and "200 OK" in run.stdout, run.stderr
    ((verified, body),) = deliveries
    assert verified
    alert = json.loads(body)
    assert alert["severity"] == "High" and alert["id"] == alert["event"]["id"] == alert["alert_id"]
    assert unknown(yaml.safe_load((ROOT / "schemas/tracebit_alert.yml").read_text())["fields"], alert) == []


def test_the_command_that_rotates_puts_one_new_secret(tmp_path):
    output = stack()["Outputs"]["RotateCommand"]["Value"].replace("<SharedSecret>", "SECRET")
    run = shell(output, tmp_path)
    assert run.returncode == 0, run.stderr
    arguments = run.stdout.splitlines()
    assert arguments[:2] == ["secretsmanager", "put-secret-value"]
    given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert given == {"--region": "eu-west-1", "--secret-id": "SECRET", "--secret-string": "a new secret"}


def unknown(fields, members, path=""):
    """Members that the schema does not know, and required fields that are absent."""
    known = {field["name"]: field for field in fields}
    found = [path + name for name in members.keys() - known.keys()]
    found += [path + name for name, field in known.items() if field.get("required") and name not in members]
    for name, field in known.items():
        if field["type"] == "object" and name in members:
            found += unknown(field["fields"], members[name], f"{path}{name}.")
    return found
