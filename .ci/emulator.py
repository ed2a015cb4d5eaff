"""Runs the built binary under AWS's own Runtime Interface Emulator, which the SAM CLI carries.

Every sample of events/samples.yml is invoked as `sam local invoke` would, against the S3 server of `serve`; then DuckDB
reads the lake back with its partitions.
"""

import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import tempfile
import time
import urllib.request

import duckdb
import samcli
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
EMULATOR = pathlib.Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
BUCKET = "tracebit-lake-local"
SAMPLES = yaml.safe_load((ROOT / "events" / "samples.yml").read_text())


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def invoke(port, event):
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, data=event), timeout=60) as answer:
        return json.load(answer)


def start_local_s3(folder, port):
    command = ["cargo", "run", "--quiet", "--package", "tracebit-lake-tools", "--", "serve", "--folder", folder]
    command += ["--s3", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "AWS_SECRET_ACCESS_KEY" in line:
            break
    secret, access_key, secret_key = re.search(
        r"Secret\s+(\S+).*AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+)", "".join(lines), re.DOTALL
    ).groups()
    return process, {
        "LAKE_BUCKET": BUCKET,
        "TRACEBIT_SECRET": secret,
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def start_emulator(environment, port):
    binary = ROOT / "target" / "debug" / "tracebit-lake"
    command = [EMULATOR, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{free_port()}", binary]
    os.chmod(EMULATOR, 0o755)
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    subprocess.run(["cargo", "build", "--quiet", "--bins"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        s3, environment = start_local_s3(folder, free_port())
        port = free_port()
        emulator = start_emulator(environment, port)
        try:
            wait_for(port)
            for sample in SAMPLES:
                answer = invoke(port, (ROOT / "events" / f"{sample['name']}.json").read_bytes())
                print(f"  {sample['name']:<24} {answer.get('statusCode')} {answer.get('body')}")
                assert answer.get("statusCode") == sample["status"], answer
            answer = invoke(port, b'{"key1": "value1"}')
            assert "events/" in answer["errorMessage"], answer
        finally:
            emulator.terminate()
            s3.terminate()
        check_lake(folder)


def check_lake(folder):
    expected = {}
    for sample in SAMPLES:
        for table, records in sample.get("records", {}).items():
            expected[table] = expected.get(table, 0) + records
    for table, records in expected.items():
        files = f"{folder}/{BUCKET}/{table}/**/*.json"
        rows = duckdb.sql(
            f"SELECT day, hour, * FROM read_json('{files}', hive_partitioning = true, format = 'newline_delimited')"
        )
        found = rows.fetchall()
        assert len(found) == records, f"{table}: {len(found)} records, expected {records}"
        time_column = "p_parse_time" if table == "classification_failures" else "p_event_time"
        misfiled = duckdb.sql(
            f"SELECT count(*) FROM rows WHERE strftime({time_column}::TIMESTAMP, '%Y-%m-%d %H')"
            " <> format('{} {:02d}', strftime(day, '%Y-%m-%d'), hour::INT)"
        ).fetchone()[0]
        assert misfiled == 0, f"{table}: {misfiled} records lie under another hour than their own"
        print(f"  {table:<24} {records} records, each under its own hour")


main()
