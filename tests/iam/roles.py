"""The roles of the stack that the tests deploy, whose policies a test can take apart, and what the lake then has."""

import contextlib
import copy
import json
import urllib.parse
import uuid

from cloud import wait_for

PREFIX = "security/tracebit/"

# Role, its inline policy and its function, by what the tests call it.
ROLES = {
    "webhook": ("WebhookRole", "webhook", "WebhookFunction"),
    "drain": ("DrainRole", "drain", "DrainFunction"),
    "notify": ("NotifyRole", "notify", "NotifyFunction"),
    "watch": ("WatchRole", "watch", "WatchFunction"),
}


class Policy:
    """The inline policy of a role, and the function that has it."""

    def __init__(self, account, stack, role):
        ids, (logical_id, self.name, function) = stack.physical_ids(), ROLES[role]
        self.account, self.stack, self.role, self.function = account, stack, ids[logical_id], ids[function]
        self.mapping = ids.get({"drain": "DrainFunctionSpilled", "notify": "NotifyFunctionCreated"}.get(role))
        self.iam = account.client("iam")
        self.document = self.iam.get_role_policy(RoleName=self.role, PolicyName=self.name)["PolicyDocument"]

    @contextlib.contextmanager
    def without(self, sid, action=None):
        """The role has no such statement meanwhile, or lacks one action of it."""
        document = copy.deepcopy(self.document)
        [statement] = [each for each in document["Statement"] if each["Sid"] == sid]
        rest = [each for each in actions(statement) if action is not None and each != action]
        if rest:
            statement["Action"] = rest
        else:
            document["Statement"].remove(statement)
        self.put(document)
        try:
            yield
        finally:
            self.put(self.document)

    def put(self, document):
        self.iam.put_role_policy(RoleName=self.role, PolicyName=self.name, PolicyDocument=json.dumps(document))

    def start_anew(self):
        """Makes the next call start an instance, which remembers no secret and no alert."""
        functions = self.account.client("lambda")
        functions.update_function_configuration(FunctionName=self.function, Description=str(uuid.uuid4()))
        functions.get_waiter("function_updated_v2").wait(FunctionName=self.function)

    @contextlib.contextmanager
    def idle(self):
        """The queue does not invoke the function meanwhile."""
        self.map(enabled=False)
        try:
            yield
        finally:
            self.map(enabled=True)

    def map(self, enabled):
        functions, state = self.account.client("lambda"), "Enabled" if enabled else "Disabled"
        functions.update_event_source_mapping(UUID=self.mapping, Enabled=enabled)
        has_state = lambda: functions.get_event_source_mapping(UUID=self.mapping)["State"] == state
        wait_for(has_state, f"the queue's mapping to be {state}")

    def message_about(self, alert, text):
        """The message about an alert, which `text` finds, from the queue that does not invoke the function."""
        queue = self.stack.queue({"drain": "SpillQueue", "notify": "NotifyQueue"}[self.name])
        while alert["alert_id"].encode() not in text(message := queue.next()):
            pass
        return json.dumps(message)

    def takes(self, message):
        """Whether the function is done with a message of its queue."""
        event = {"Records": [{"messageId": "one", "eventSource": "aws:sqs", "body": message}]}
        answer = self.account.client("lambda").invoke(FunctionName=self.function, Payload=json.dumps(event))
        answer = json.loads(answer["Payload"].read())
        assert answer in ({"batchItemFailures": []}, {"batchItemFailures": [{"itemIdentifier": "one"}]}), answer
        return not answer["batchItemFailures"]


def actions(statement):
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


def record_of(stack, event):
    """The record that S3's event is about. LocalEmu encodes the key in it."""
    return stack.records()[urllib.parse.unquote(event["detail"]["object"]["key"])]


def has_record_of(stack, alert):
    """Whether the lake has this alert."""
    return any(alert["alert_id"].encode() in record for record in stack.records().values())


@contextlib.contextmanager
def refusing_bucket(account, stack):
    """The lake's bucket refuses every new object meanwhile."""
    s3, bucket = account.client("s3"), stack.bucket()
    own = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    refusal = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    document = {"Version": "2012-10-17", "Statement": [*json.loads(own)["Statement"], refusal]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=own)
