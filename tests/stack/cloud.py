"""CloudFormation and the services behind it as others wrote them: MiniStack deploys template.yaml, and runs the built
binaries behind the function URL, the queues and the rule.

It listens on 127.0.0.1, on a port that is free, and everything is gone when it ends.
"""

import base64
import contextlib
import copy
import dataclasses
import hashlib
import hmac
import datetime
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
import zipfile

import boto3

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "template"))

from loopback import HOST, Quiet, serving
from stack import ROOT, source

REGION = "eu-west-1"
CREDENTIALS = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
PACKAGES = "packages"
# Long, because a busy machine must not fail the check. Nothing waits this long when all is well.
PATIENCE_SECONDS = 180
NO_METADATA = {"AWS_EC2_METADATA_DISABLED": "true"}

ALERT = json.loads((ROOT / "events" / "logs" / "alert-aws.json").read_text())
# The answers to one new log.
STORED = (200, {"stored": 1, "duplicates": 0, "failures": 0})
QUEUED = (202, {"queued": True})


def wait_for(result, what):
    """The first result that is not empty, within a generous limit."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := result()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE_SECONDS} seconds in vain for {what}")
        time.sleep(0.1)
    return found


def new_alert():
    """An alert that the lake does not have."""
    return {**ALERT, "id": str(uuid.uuid4()), "alert_id": str(uuid.uuid4())}


def sign(secret, body):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


# -------------------------------------------------------------------------------------------- MiniStack and its faults


def for_ministack(template):
    """The template without what MiniStack 1.5.33 cannot do. Nothing else here knows of its faults, apart from
    `MiniStackEndpoint`.

    docs/evidence.md lists them, and what proves each of these things instead ("What an emulator cannot show").
    """
    resources = {}
    for name, resource in template["Resources"].items():
        # It does not know these types, and refuses a template that has one.
        if resource["Type"] in ("AWS::Athena::NamedQuery", "AWS::CloudWatch::CompositeAlarm"):
            continue
        # It refuses an alarm over metric math. Such an alarm keeps its name, topic and threshold, and watches nothing.
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            del resource["Properties"]["Metrics"]
            resource["Properties"] |= {"Namespace": "None", "MetricName": "None", "Statistic": "Sum", "Period": 300}
        resources[name] = resource
    # `!Ref` of a secret is its ARN in AWS, and its name in MiniStack. Its attribute `Id` is the ARN in both.
    secrets = {name: f"{name}.Id" for name in ("SharedSecret", "ApiTokenSecret")}
    return with_references({**template, "Resources": resources}, secrets)


def with_references(node, names):
    """The template with other references: `names` has the new one by the old one. A new one with a dot is an attribute."""
    if isinstance(node, dict):
        if node.keys() == {"Ref"} and node["Ref"] in names:
            name = names[node["Ref"]]
            return {"Fn::GetAtt": name.split(".")} if "." in name else {"Ref": name}
        return {key: with_references(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [with_references(value, names) for value in node]
    if isinstance(node, str):
        for old, new in names.items():
            node = node.replace(f"${{{old}}}", f"${{{new}}}")
    return node


class Endpoint:
    """A way in: the address that the stack prints, reached through an emulator's one port."""

    def __init__(self, port, url):
        # A function URL's host is AWS's, an HTTP API's is the emulator's. Both lead to the one port.
        self.host = urllib.parse.urlsplit(url).hostname
        self.port = port

    def connection(self):
        return http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_SECONDS)

    def post(self, body, headers):
        """The response to one request: its status, and its body as JSON."""
        with contextlib.closing(self.connection()) as connection:
            connection.request("POST", "/", body, {**headers, "host": self.host})
            response = connection.getresponse()
            return response.status, json.loads(response.read())


class MiniStackEndpoint(Endpoint):
    def post(self, body, headers):
        # MiniStack decodes a body that is labelled as JSON as UTF-8, even if it is compressed.
        if "content-encoding" in headers:
            headers = {name: value for name, value in headers.items() if name != "content-type"}
        return super().post(body, headers)


@contextlib.contextmanager
def ministack(folder):
    port = free_port()
    url = f"http://{HOST}:{port}"
    settings = {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "MINISTACK_REGION": REGION,
        "LAMBDA_EXECUTOR": "local",
        "AWS_ENDPOINT_URL": url,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # Where it unpacks the functions, and keeps what it remembers.
        "TMPDIR": str(folder),
        "STATE_DIR": str(folder),
    }
    with emulator([pathlib.Path(sys.executable).parent / "ministack"], folder, port, settings):
        yield Cloud(url, port)


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def emulator(command, folder, port, settings):
    """Runs an emulator from the time that it listens on its port."""
    log = folder / "emulator.log"
    with log.open("w") as output:
        # A session of its own, so that the functions that it starts end with it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **NO_METADATA, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_ready():
        assert process.poll() is None, f"the emulator ended:\n{log.read_text()[-4000:]}"
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, port), timeout=1).close()
            return True

    try:
        wait_for(is_ready, "the emulator")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ------------------------------------------------------------------------------------------------------ Tracebit's API


class TracebitApi:
    """Tracebit's API on loopback, as far as docs/contract.md describes it: a list of alerts, each with one log."""

    TOKEN = "token-of-the-stack"

    def __init__(self, url):
        self.url, self.alerts = url, []

    def add(self):
        """Lists a new alert that began two hours ago. Returns its log as Tracebit would deliver it."""
        began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)
        self.alerts.append({**new_alert(), "timestamp": began.strftime("%Y-%m-%dT%H:%M:%SZ")})
        return self.alerts[-1]

    def answer(self, path):
        if path == "/api/v1/alerts?order=desc":
            shared = ("provider", "severity", "tracebit_portal_url")
            return {
                "alerts": [
                    {
                        "id": each["alert_id"],
                        "start_time": each["timestamp"],
                        "title": each["message"],
                        **{name: each[name] for name in shared},
                    }
                    for each in self.alerts
                ]
            }
        absent = ("discriminator", "provider", "message", "tracebit_portal_url")
        logs = [
            {name: value for name, value in each.items() if name not in absent}
            for each in self.alerts
            if path == f"/api/v1/alerts/{each['alert_id']}/logs"
        ]
        return {"logs": logs, "next_page": None} if logs else None


@contextlib.contextmanager
def tracebit_api():
    class Handler(Quiet):
        def do_GET(self):
            found = api.answer(self.path)
            is_known = self.headers["authorization"] == f"Bearer {api.TOKEN}"
            status = 401 if not is_known else 404 if found is None else 200
            self.answer(status, json.dumps(found).encode() if status == 200 else b"no")

    with serving(Handler) as url:
        api = TracebitApi(url)
        yield api


# ------------------------------------------------------------------------------------------------------------- stacks


def function_zips(folder):
    """The built binaries as Lambda takes them, by name. Without symbols, because those are half of a debug build.

    There are two versions of each, which hold the same program under another checksum.
    """
    zips = {}
    for binary in ["tracebit-lake", "tracebit-lake-drain", "tracebit-lake-notify", "tracebit-lake-watch"]:
        bootstrap = ROOT / "target" / "debug" / binary
        if shutil.which("strip"):
            subprocess.run(["strip", "-o", folder / binary, bootstrap], check=True)
            bootstrap = folder / binary
        for version in (1, 2):
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                entry = zipfile.ZipInfo("bootstrap")
                entry.external_attr = 0o755 << 16
                archive.writestr(entry, bootstrap.read_bytes())
                archive.comment = str(version).encode()
            zips[f"{binary}-{version}"] = packed.getvalue()
    return zips


class Cloud:
    """An account with one Region."""

    def __init__(self, url, port):
        self.url, self.port = url, port
        self.clients = {}
        self.stacks = 0

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = boto3.client(service, endpoint_url=self.url, region_name=REGION, **CREDENTIALS)
        return self.clients[service]

    def adapt(self, template):
        """The template without what this emulator cannot do."""
        return for_ministack(template)

    def endpoint(self, url):
        return MiniStackEndpoint(self.port, url)

    def create_bucket(self, name, notifies=True):
        """A bucket with EventBridge turned on in its properties."""
        s3 = self.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        if notifies:
            configuration = {"EventBridgeConfiguration": {}}
            s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)

    def upload(self, zips):
        """Puts the functions' zips where `packaged` points to, as `sam deploy` does."""
        self.create_bucket(PACKAGES, notifies=False)
        for name, packed in zips.items():
            self.client("s3").put_object(Bucket=PACKAGES, Key=f"{name}.zip", Body=packed)

    def deploy(self, after=None, **parameters):
        """A new stack of template.yaml, deployed to its end, whatever that is.

        `after` names resources that must be created after others, where AWS may take any order."""
        self.stacks += 1
        name = f"lake-{self.stacks}"
        # The database's name belongs to the account, so that two stacks cannot share it.
        parameters = {"DatabaseName": name.replace("-", "_"), **parameters}
        self.client("cloudformation").create_stack(StackName=name, **self.request(parameters, after=after))
        return Stack(self, name, parameters).settled()

    def request(self, parameters, version=1, after=None):
        """What a deployment sends to CloudFormation."""
        template = self.adapt(packaged(version))
        for resource, others in (after or {}).items():
            template["Resources"][resource]["DependsOn"] = others
        template = json.dumps(template)
        # A template this large comes from a bucket.
        key = f"{hashlib.sha256(template.encode()).hexdigest()}.json"
        self.client("s3").put_object(Bucket=PACKAGES, Key=key, Body=template)
        return {
            "TemplateURL": f"{self.url}/{PACKAGES}/{key}",
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }


def packaged(version):
    """template.yaml as after `sam package`: the code of each function is a zip in a bucket."""
    template = copy.deepcopy(source())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = f"s3://{PACKAGES}/{binary}-{version}.zip"
    return template


@dataclasses.dataclass
class Stack:
    cloud: Cloud
    name: str
    parameters: dict

    def describe(self):
        return self.cloud.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]

    def settled(self):
        """This stack, once CloudFormation has nothing more to do for it."""
        wait_for(lambda: not self.status.endswith("IN_PROGRESS"), f"the end of the deployment of {self.name}")
        return self

    @property
    def status(self):
        return self.describe()["StackStatus"]

    @property
    def outputs(self):
        return {output["OutputKey"]: output["OutputValue"] for output in self.describe()["Outputs"]}

    def events(self, status):
        """What CloudFormation says of each resource that went through a status."""
        pages = self.cloud.client("cloudformation").get_paginator("describe_stack_events")
        events = [event for page in pages.paginate(StackName=self.name) for event in page["StackEvents"]]
        return {
            event["LogicalResourceId"]: event.get("ResourceStatusReason", "")
            for event in events
            if event["ResourceStatus"] == status and event["LogicalResourceId"] != self.name
        }

    def physical_ids(self):
        pages = self.cloud.client("cloudformation").get_paginator("list_stack_resources")
        resources = [each for page in pages.paginate(StackName=self.name) for each in page["StackResourceSummaries"]]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}

    def update(self, version=1, **parameters):
        """Deploys another version of the functions, with these parameters changed."""
        self.parameters = {**self.parameters, **parameters}
        request = self.cloud.request(self.parameters, version)
        self.cloud.client("cloudformation").update_stack(StackName=self.name, **request)
        return self.settled()

    def delete(self):
        """Deletes the stack. A deleted stack is known by its id alone."""
        identity = self.describe()["StackId"]
        self.cloud.client("cloudformation").delete_stack(StackName=self.name)
        self.name = identity
        return self.settled()

    # What a user of the stack does.

    @property
    def secret_id(self):
        return re.search(r"--secret-id (\S+)", self.outputs["SecretCommand"])[1]

    def secret(self):
        return self.cloud.client("secretsmanager").get_secret_value(SecretId=self.secret_id)["SecretString"]

    def rotate(self, secret):
        self.cloud.client("secretsmanager").put_secret_value(SecretId=self.secret_id, SecretString=secret)

    def endpoint(self):
        return self.cloud.endpoint(self.outputs["WebhookUrl"])

    def deliver(self, log, secret=None, endpoint=None):
        """Posts one log as Tracebit does."""
        body = json.dumps(log).encode()
        headers = {"x-tracebit-signature-256": sign(secret or self.secret(), body)}
        return (endpoint or self.endpoint()).post(body, {**headers, "content-type": "application/json"})

    def post_event(self, name):
        """Sends the request that one of events/ is."""
        event = json.loads((ROOT / "events" / f"{name}.json").read_text())
        body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
        ours = ("content-type", "content-encoding", "x-tracebit-signature-256")
        return self.endpoint().post(body, {name: value for name, value in event["headers"].items() if name in ours})

    def bucket(self):
        return self.outputs["Bucket"]

    def records(self):
        """Every record of the lake, by key."""
        s3, pages = self.cloud.client("s3"), self.cloud.client("s3").get_paginator("list_objects_v2")
        keys = [each["Key"] for page in pages.paginate(Bucket=self.bucket()) for each in page.get("Contents", [])]
        body = lambda key: s3.get_object(Bucket=self.bucket(), Key=key)["Body"].read()
        return {key: body(key) for key in keys if "notified/" not in key}

    def compare_with(self, api):
        """Gives the watcher this API and its token. No parameter takes an address without TLS."""
        functions, name = self.cloud.client("lambda"), self.physical_ids()["WatchFunction"]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.cloud.client("secretsmanager").put_secret_value(
            SecretId=variables["TRACEBIT_API_TOKEN_ARN"], SecretString=f"{api.TOKEN}\n"
        )
        variables |= {"TRACEBIT_API_URL": api.url}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    def watch(self):
        """The answer of one round of the watcher."""
        functions, name = self.cloud.client("lambda"), self.physical_ids()["WatchFunction"]
        answer = functions.invoke(FunctionName=name)
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        return json.loads(payload)

    def queue(self, logical_id):
        return Queue(self.cloud.client("sqs"), self.physical_ids()[logical_id])

    def listen(self, topic):
        """A queue that gets every message of a topic."""
        queue = Queue.new(self.cloud.client("sqs"), f"{self.name}-people")
        self.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
        return queue

    def follow(self, alert_id, bus="default"):
        """A queue that gets every event about an alert on a bus."""
        queue, events = Queue.new(self.cloud.client("sqs"), f"{self.name}-machines"), self.cloud.client("events")
        pattern = {"source": ["tracebit-lake"], "detail": {"alert_id": [alert_id]}}
        rule = f"{self.name}-alert"
        events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn}])
        return queue


class Queue:
    def __init__(self, sqs, url):
        self.sqs, self.url = sqs, url

    @classmethod
    def new(cls, sqs, name):
        return cls(sqs, sqs.create_queue(QueueName=name)["QueueUrl"])

    def attributes(self):
        return self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]

    @property
    def arn(self):
        return self.attributes()["QueueArn"]

    def waiting(self):
        """How many messages the queue holds, those that somebody has just received included."""
        attributes = self.attributes()
        return sum(int(attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible"))

    def next(self):
        """The next message, as JSON. It is gone from the queue then."""
        receive = lambda: self.sqs.receive_message(QueueUrl=self.url).get("Messages")
        [message] = wait_for(receive, f"a message in {self.url}")
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(message["Body"])
