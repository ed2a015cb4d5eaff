"""What stands in for AWS: moto for S3 and Glue, Trino for Athena, and the Lambda service for the built binary.

Everything listens on 127.0.0.1, on ports that are free.
"""

import base64
import collections
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import sys
import time
import uuid

import boto3
import trino

# The translated template.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "template"))

from loopback import HOST, Quiet, runtime_api, serving

ROOT = pathlib.Path(__file__).parents[2]
BUCKET = "my-lake"
PREFIX = "security/tracebit/"
SECRET = "a secret of this check alone"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "eu-west-1"}
DATABASE = "tracebit_lake"
START_SECONDS = 600
DELIVERY_SECONDS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def wait_until(is_ready, process, log):
    """Waits until a server that was started is ready."""
    end = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.2)


def accepts_connections(port):
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running(command, log, environment=None, cwd=None):
    """A process that ends with the block. What it prints goes to the file `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------------------- S3 and Glue


class Moto:
    """S3 and Glue, with the number of LIST requests that they answered."""

    def __init__(self, url, log):
        self.url = url
        self.log = log
        options = {"endpoint_url": url, "region_name": CREDENTIALS["AWS_REGION"]}
        options |= {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        self.s3 = boto3.client("s3", **options)
        self.glue = boto3.client("glue", **options)

    def list_requests(self):
        """How many LIST requests there were so far, by the folder that was listed."""
        listed = re.findall(r'"GET /\S*[?&]list-type=2\S* HTTP', self.log.read_text())
        return collections.Counter(re.search(r"[?&]prefix=([^&\s]*)", request)[1] for request in listed)


@contextlib.contextmanager
def moto(folder):
    port, log = free_port(), folder / "moto.log"
    command = [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port)]
    with running(command, log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        server = Moto(f"http://{HOST}:{port}", log)
        location = {"LocationConstraint": CREDENTIALS["AWS_REGION"]}
        server.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        yield server


# ------------------------------------------------------------------------------------------------------------- Athena


class Athena:
    """Trino, asked as Athena is: a query as it is saved, its parameters through EXECUTE IMMEDIATE."""

    def __init__(self, port):
        self.connection = trino.dbapi.connect(
            host=HOST,
            port=port,
            user="analyst",
            catalog="awsdatacatalog",
            schema=DATABASE,
            timezone="UTC",
            max_attempts=1,
            # A timestamp as text, because Python has no year 0.
            legacy_primitive_types=True,
        )

    def rows(self, query, *parameters):
        """The rows of a query, as dictionaries."""
        quoted = lambda text: "'" + text.replace("'", "''") + "'"
        if parameters:
            query = f"EXECUTE IMMEDIATE {quoted(query)} USING {', '.join(map(quoted, parameters))}"
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.attempt(query)
            except trino.exceptions.TrinoQueryError as error:
                # The server answers before its one node is ready for work, and a busy machine makes that longer.
                if error.error_name != "NO_NODES_AVAILABLE" or time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def attempt(self, query):
        cursor = self.connection.cursor()
        cursor.execute(query)
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in rows]

    def is_ready(self):
        try:
            self.rows("SHOW SCHEMAS")
        except Exception:
            return False
        return True


@contextlib.contextmanager
def athena(folder, aws_url, home, java_home):
    """Trino of the folder `home`, over the tables and objects of `aws_url`."""
    port, log, etc = free_port(), folder / "trino.log", folder / "trino-etc"
    files = {
        "node.properties": {
            "node.environment": "test",
            "node.data-dir": folder / "trino-data",
            "node.internal-address": HOST,
            "node.bind-ip": HOST,
        },
        "config.properties": {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": port,
            "discovery.uri": f"http://{HOST}:{port}",
            # The one node must not be taken for dead because the machine is busy.
            "discovery.max-age": "10m",
            "failure-detector.enabled": "false",
            "query.max-memory": "512MB",
            "query.max-memory-per-node": "512MB",
        },
        "catalog/awsdatacatalog.properties": {
            "connector.name": "hive",
            "hive.metastore": "glue",
            "hive.metastore.glue.endpoint-url": aws_url,
            "hive.metastore.glue.region": CREDENTIALS["AWS_REGION"],
            "hive.metastore.glue.aws-access-key": "x",
            "hive.metastore.glue.aws-secret-key": "y",
            "hive.partition-projection-enabled": "true",
            "hive.recursive-directories": "true",
            "fs.native-s3.enabled": "true",
            "s3.endpoint": aws_url,
            "s3.region": CREDENTIALS["AWS_REGION"],
            "s3.aws-access-key": "x",
            "s3.aws-secret-key": "y",
            "s3.path-style-access": "true",
        },
    }
    (etc / "catalog").mkdir(parents=True)
    for name, settings in files.items():
        (etc / name).write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    options = ["-Xmx2G", "-Duser.timezone=UTC", "-Djdk.attach.allowAttachSelf=true"]
    options += ["--add-opens=java.base/java.nio=ALL-UNNAMED"]
    (etc / "jvm.config").write_text("\n".join(options) + "\n")
    environment = os.environ | {"JAVA_HOME": java_home, "PATH": f"{java_home}/bin:{os.environ['PATH']}"}
    with running([f"{home}/bin/launcher", "--etc-dir", etc, "run"], log, environment) as process:
        server = Athena(port)
        wait_until(server.is_ready, process, log)
        yield server


# ------------------------------------------------------------------------------------------------------ Tracebit's API


@contextlib.contextmanager
def tracebit(alert, logs):
    """The URL of an API that lists one alert with these logs, all on one page."""

    class Api(Quiet):
        def do_GET(self):
            is_list = self.path.startswith("/api/v1/alerts?")
            body = json.dumps({"alerts": [alert]} if is_list else {"logs": logs, "next_page": None}).encode()
            self.answer(200 if self.headers["Authorization"] == "Bearer the-token" else 401, body)

    with serving(Api) as url:
        yield url


# ------------------------------------------------------------------------------------------------------------- Lambda


class Lambda:
    """The Lambda service to one instance of the function: Lambda's Runtime API, an invocation at a time."""

    def __init__(self):
        self.invocations = queue.Queue()
        self.answers = queue.Queue()

    def next_invocation(self):
        return self.invocations.get(), {
            "Aws-Request-Id": str(uuid.uuid4()),
            "Deadline-Ms": int((time.time() + DELIVERY_SECONDS) * 1000),
            "Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:111122223333:function:lake",
        }

    def take_answer(self, succeeded, body):
        self.answers.put((succeeded, body))

    def invoke(self, event):
        """What the function answers to an event."""
        self.invocations.put(json.dumps(event).encode())
        succeeded, answer = self.answers.get(timeout=DELIVERY_SECONDS)
        assert succeeded, f"the invocation failed: {answer}"
        return json.loads(answer)

    def deliver(self, body):
        """Posts a signed body to the function's URL. Returns the counts that the function answers."""
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        event = json.loads((ROOT / "events" / "health-check.json").read_text())
        event["headers"] |= {"x-tracebit-signature-256": signature}
        answer = self.invoke(event | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True})
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])


@contextlib.contextmanager
def function(folder, aws_url, binary, settings=None):
    """The built binary among AWS's services at `aws_url`, with these settings beside the usual ones."""
    service = Lambda()
    environment = {
        **CREDENTIALS,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_LAMBDA_FUNCTION_NAME": "lake",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "LAKE_BUCKET": BUCKET,
        "LAKE_PREFIX": PREFIX,
        "SOURCE_ID": "the-source",
        "TRACEBIT_SECRET": SECRET,
        **(settings or {}),
    }
    log = folder / f"{pathlib.Path(binary).name}.log"
    with serving(runtime_api(service.next_invocation, service.take_answer)) as url:
        address = {"AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://")}
        with running([binary], log, environment | address):
            yield service
