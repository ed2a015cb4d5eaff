"""The commands of docs/install.md that install a release, run as they stand there, against an emulator of AWS.

RELEASE names the folder with the zip, and PATH has `sam` and `aws`.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "stack"))

import cloud as clouds
from samtranslator.yaml_helper import yaml_parse

[RELEASE] = (ROOT / os.environ["RELEASE"]).glob("tracebit-lake-*.zip")
DEPLOY = (ROOT / "docs" / "install.md").read_text()
HEALTH_CHECK = json.loads((ROOT / "events" / "logs" / "health-check.json").read_text())


@pytest.fixture(scope="module")
def cloud():
    with tempfile.TemporaryDirectory(prefix="install-") as folder, clouds.ministack(pathlib.Path(folder)) as cloud:
        yield cloud


def commands(contains):
    """The block of commands with a text."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if contains in block]
    return found


def run(script, folder, cloud, **variables):
    environment = {
        **os.environ,
        **variables,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": clouds.REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def without_the_emulators_faults(folder):
    """Replaces the template with what the emulator can do of it. The paths of the functions stay."""
    template = folder / "template.yaml"
    template.write_text(json.dumps(clouds.for_ministack(yaml_parse(template.read_text()))))


def unpacked(folder):
    """The folder that a release unpacks to."""
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-q", RELEASE, "-d", folder], check=True)
    else:
        shutil.unpack_archive(RELEASE, folder)
    without_the_emulators_faults(folder / RELEASE.stem)
    return folder / RELEASE.stem


def test_two_commands_install_a_release(cloud, tmp_path):
    unzip, deploy = commands("unzip tracebit-lake-").splitlines()
    assert unzip == f"unzip {RELEASE.name} && cd {RELEASE.stem}"
    assert deploy == "sam deploy --parameter-overrides AlarmEmail=security@example.com"
    folder = unpacked(tmp_path)
    # samconfig.toml has every other answer. Without a terminal nobody can confirm.
    run(f"{deploy} --no-confirm-changeset", folder, cloud)
    stack = clouds.Stack(cloud, "tracebit-lake", {})
    assert stack.status == "CREATE_COMPLETE"
    assert stack.deliver(HEALTH_CHECK) == (200, {"stored": 1, "duplicates": 0, "failures": 0})
    stack.delete()


def test_the_aws_cli_alone_installs_a_release(cloud, tmp_path):
    cloud.create_bucket("our-code")
    folder = unpacked(tmp_path)
    printed = run(commands("aws cloudformation package"), folder, cloud, bucket="our-code")
    stack = clouds.Stack(cloud, "tracebit-lake", {})
    assert stack.status == "CREATE_COMPLETE"
    assert stack.outputs["WebhookUrl"] in printed
    assert stack.deliver(HEALTH_CHECK) == (200, {"stored": 1, "duplicates": 0, "failures": 0})
    stack.delete()
