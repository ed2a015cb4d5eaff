"""Runs LocalEmu, whose settings are in the environment, with what it lacks for template.yaml.

Nothing here decides whether a call is allowed. That is LocalEmu's own evaluation of the stack's policies. It learns
only what it cannot know otherwise:

- It runs functions in Docker alone. Here the binary of a function runs as a process, behind a Lambda Runtime API.
- It does not know the condition keys `s3:if-none-match`, `s3:prefix`, `aws:ResourceAccount`, `aws:SourceArn` and
  `aws:PrincipalIsAWSService`, nor the ARNs of log streams, of the bus in an entry, of Athena and of Glue. Its
  `aws:PrincipalArn` of a session is not the role's. AWS's Service Authorization Reference defines them.
- It looks for the policy of an event bus where it does not keep it.
- Of several values of a negated condition it wants one that differs. AWS wants all to differ.
- It has no callers that are services. Here the access key of one is its name, as in events.amazonaws.com.
- It lets a poller of a queue do everything. Here the poller needs the rights of the function's role, whose credentials
  it has.
"""

import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import time

from localemu import config, constants
from localemu.runtime.main import main
from localemu.services.events.models import events_stores
from localemu.services.iam_enforcement import arn_builder, enforcer, evaluator, identity
from localemu.services.lambda_.invocation import plugins
from localemu.services.lambda_.invocation.lambda_models import InvocationResult
from localemu.services.lambda_.invocation.runtime_executor import RuntimeExecutor
from localemu.services.s3 import provider

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "template"))

from loopback import HOST, runtime_api, serving

SERVICE = "AWSService"


class Processes(RuntimeExecutor):
    """Runs one instance of a function as a process of its own."""

    def start(self, env_vars):
        self.invocations, self.results = queue.Queue(), queue.Queue()
        self.end = contextlib.ExitStack()
        url = self.end.enter_context(serving(runtime_api(self.next_invocation, self.take_answer)))
        environment = {name: str(value) for name, value in env_vars.items()}
        environment |= {
            "AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://"),
            "AWS_ENDPOINT_URL": os.environ["FUNCTIONS_ENDPOINT_URL"],
            "SSL_CERT_FILE": os.environ["CUSTOM_SSL_CERT_PATH"],
        }
        bootstrap = self.function_version.config.code.get_unzipped_code_location() / "bootstrap"
        self.process = subprocess.Popen([bootstrap], env=environment)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.end.close()

    def invoke(self, payload, function_timeout=None):
        self.invocations.put(payload)
        try:
            succeeded, body = self.results.get(timeout=function_timeout)
        except queue.Empty:
            succeeded, body = False, json.dumps({"errorMessage": "the function timed out"}).encode()
        return InvocationResult(payload["invoke-id"], body, is_error=not succeeded, logs="")

    def next_invocation(self):
        invocation = self.invocations.get()
        return invocation["payload"].encode(), {
            "Aws-Request-Id": invocation["invoke-id"],
            "Invoked-Function-Arn": invocation["invoked-function-arn"],
            "Trace-Id": invocation["trace-id"],
            "Deadline-Ms": int((time.time() + self.function_version.config.timeout) * 1000),
        }

    def take_answer(self, succeeded, body):
        self.results.put((succeeded, body))

    def get_address(self):
        return HOST

    def get_endpoint_from_executor(self):
        return HOST

    def get_runtime_endpoint(self):
        return ""

    def get_logs(self):
        return ""

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass


# ------------------------------------------------------------------------------------- condition keys, ARNs and callers


def with_more_keys(build_conditions):
    def conditions(context, caller):
        found = build_conditions(context, caller)
        found["aws:SourceArn"] = context.request.headers.get("x-amz-source-arn")
        is_service = caller.principal_type == SERVICE
        found["aws:PrincipalIsAWSService"] = "true" if is_service else "false"
        if is_service:
            found["aws:PrincipalArn"] = None
        elif caller.role_name:
            found["aws:PrincipalArn"] = f"arn:aws:iam::{caller.account_id}:role/{caller.role_name}"
        if context.service.service_name == "s3":
            found["s3:if-none-match"] = context.request.headers.get("if-none-match")
            found["s3:prefix"] = (context.service_request or {}).get("Prefix")
            # Every bucket of the tests belongs to the one account.
            found["aws:ResourceAccount"] = context.account_id
        # A key without a value counts as missing.
        return found

    return conditions


def with_services(resolve_caller):
    def caller(access_key, account, region):
        if access_key.endswith(".amazonaws.com"):
            return identity.CallerIdentity(SERVICE, account, access_key, acting_services=[access_key])
        return resolve_caller(access_key, account, region)

    return caller


def with_every_value(matches_conditions):
    """Each value of a negated condition on its own. All of them must hold."""

    def matches(statement, context):
        for operator, block in statement.get("Condition", {}).items():
            for key, values in block.items():
                alternatives = [values]
                if "Not" in operator and isinstance(values, list):
                    alternatives = values
                one = lambda value: {"Condition": {operator: {key: value}}}
                if not all(matches_conditions(one(each), context) for each in alternatives):
                    return False
        return True

    return matches


def with_bus_policies(get_resource_policy):
    """LocalEmu looks for the policy of a bus where it does not keep it."""

    def policy(service, arn, account, region):
        if service == "events" and ":event-bus/" in arn:
            bus = events_stores[account][region].event_buses.get(arn.split(":event-bus/")[1])
            return bus and bus.policy
        return get_resource_policy(service, arn, account, region)

    return policy


def log_arn(request, region, account):
    stream = request.get("logStreamName", "")
    return f"arn:aws:logs:{region}:{account}:log-group:{request.get('logGroupName', '*')}:log-stream:{stream}"


def events_arn(request, region, account):
    """PutEvents names the bus in each entry. The tests send one entry at a time."""
    return known["events"]({**request, **request.get("Entries", [{}])[0]}, region, account)


def athena_arn(request, region, account):
    if "CatalogName" in request:
        return f"arn:aws:athena:{region}:{account}:datacatalog/{request['CatalogName']}"
    return f"arn:aws:athena:{region}:{account}:workgroup/{request.get('WorkGroup', 'primary')}"


def glue_arn(request, region, account):
    """The innermost resource of the call. AWS also asks for the database and the catalog around it."""
    database, name = request.get("DatabaseName"), request.get("Name")
    if database:
        kind = f"table/{database}/{name or '*'}"
    else:
        kind = f"database/{name}" if name else "catalog"
    return f"arn:aws:glue:{region}:{account}:{kind}"


@staticmethod
def is_by_localemu(_, access_key):
    """Whether LocalEmu itself makes a call, and not for a role whose credentials it has."""
    return access_key in (constants.INTERNAL_AWS_ACCESS_KEY_ID, config.INTERNAL_RESOURCE_ACCOUNT)


known = dict(arn_builder._SERVICE_ARN_BUILDERS)
arn_builder._SERVICE_ARN_BUILDERS |= {"logs": log_arn, "events": events_arn, "athena": athena_arn, "glue": glue_arn}
enforcer._build_conditions = with_more_keys(enforcer._build_conditions)
enforcer._get_resource_policy = with_bus_policies(enforcer._get_resource_policy)
enforcer.resolve_caller = with_services(enforcer.resolve_caller)
evaluator.matches_conditions = with_every_value(evaluator.matches_conditions)
enforcer.IAMEnforcementHandler._is_internal_call = is_by_localemu
# It would keep the objects in a folder whose name is always the same, and leave them there.
provider.DEFAULT_S3_TMP_DIR = tempfile.mkdtemp()
plugins.DockerRuntimeExecutorPlugin.load = lambda _: Processes
main()
