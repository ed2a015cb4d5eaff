"""The command of docs/deploy.md that sends a test alert, run by a shell against a server in place of the function's URL."""

import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
import yaml
from stack import ROOT

SECRET = "tracebit-lake-development-secret"
# In place of the AWS CLI: the outputs of a stack, and the secret.
AWS = f"""#!/bin/sh
case "$*" in
*describe-stacks*WebhookUrl*) echo "$URL" ;;
*describe-stacks*SecretCommand*) echo "aws secretsmanager get-secret-value --secret-id x --output text" ;;
*get-secret-value*) echo "{SECRET}" ;;
*) exit 2 ;;
esac
"""


class Function(http.server.BaseHTTPRequestHandler):
    """Takes deliveries as the function does, and keeps them."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        verified = hmac.compare_digest(good, self.headers["x-tracebit-signature-256"])
        self.server.deliveries.append((verified, body))
        self.send_response(200 if verified else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def function():
    server = http.server.HTTPServer(("127.0.0.1", 0), Function)
    server.deliveries = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_command_delivers_a_new_signed_alert(function, tmp_path):
    page = (ROOT / "docs/deploy.md").read_text()
    command = re.search(r"^## Send a test alert\n.*?```sh\n(.*?)```", page, re.M | re.S)[1]
    aws = tmp_path / "aws"
    aws.write_text(AWS)
    aws.chmod(0o755)
    url = f"http://127.0.0.1:{function.server_port}/"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "URL": url, "no_proxy": "127.0.0.1"}
    run = subprocess.run(["sh", "-euc", command], env=environment, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0 and "200 OK" in run.stdout, run.stderr
    ((verified, body),) = function.deliveries
    assert verified
    alert = json.loads(body)
    assert alert["severity"] == "High" and alert["id"] == alert["event"]["id"] == alert["alert_id"]
    assert unknown(yaml.safe_load((ROOT / "schemas/tracebit_alert.yml").read_text())["fields"], alert) == []


def unknown(fields, members, path=""):
    """Members that the schema does not know, and required fields that are absent."""
    known = {field["name"]: field for field in fields}
    found = [path + name for name in members.keys() - known.keys()]
    found += [path + name for name, field in known.items() if field.get("required") and name not in members]
    for name, field in known.items():
        if field["type"] == "object" and name in members:
            found += unknown(field["fields"], members[name], f"{path}{name}.")
    return found
