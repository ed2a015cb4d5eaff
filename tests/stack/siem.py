"""A SIEM that others wrote: Bento reads the objects that the queue of the stack names, as Splunk or Elastic would."""

import contextlib
import json
import os
import subprocess

from cloud import CREDENTIALS, NO_METADATA, REGION, free_port
from loopback import HOST

# What `.ci/stack` built.
BENTO = os.environ.get("BENTO", "target/tools/bento")


@contextlib.contextmanager
def bento(cloud, queue, folder):
    """Bento runs meanwhile. Yields a function that tells the records that it has read, as (key, record)."""
    output, log = folder / "records.jsonl", folder / "bento.log"
    configuration = {
        "http": {"address": f"{HOST}:{free_port()}"},
        "input": {
            "aws_s3": {
                "region": REGION,
                "endpoint": cloud.url,
                "force_path_style_urls": True,
                "scanner": {"lines": {}},
                "sqs": {"url": queue, "endpoint": cloud.url, "wait_time_seconds": 1},
            }
        },
        "pipeline": {"processors": [{"mapping": 'root = {"key": @s3_key, "record": content().string()}'}]},
        "output": {"file": {"path": str(output), "codec": "lines"}},
    }
    (folder / "bento.json").write_text(json.dumps(configuration))
    credentials = {name.upper(): value for name, value in CREDENTIALS.items()}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [BENTO, "-c", folder / "bento.json"],
            env={**os.environ, **NO_METADATA, **credentials},
            stdout=errors,
            stderr=subprocess.STDOUT,
        )

    def read():
        assert process.poll() is None, f"Bento ended:\n{log.read_text()[-4000:]}"
        lines = output.read_text().splitlines() if output.exists() else []
        return [(each["key"], each["record"]) for each in map(json.loads, lines)]

    try:
        yield read
    finally:
        process.kill()
        process.wait()
