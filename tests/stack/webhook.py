"""docs/examples/webhook-destination.yaml beside a stack, and the webhook that it calls, on loopback."""

import contextlib
import json
import queue

from cloud import Stack
from loopback import Quiet, serving
from stack import example, example_source

EXAMPLE = "webhook-destination"
KEY = "GenieKey 0d9c4a1e-0000-4000-8000-000000000000"


@contextlib.contextmanager
def webhook(problems=lambda body: []):
    """A webhook that takes what has the key and no problems. Yields its address, and a queue of (status, body)."""
    calls = queue.Queue()

    class Handler(Quiet):
        def do_POST(self):
            status, body = self.judged(self.body().decode())
            calls.put((status, body))
            self.answer(status)

        def judged(self, text):
            if self.headers["authorization"] != KEY:
                return 401, text
            try:
                body = json.loads(text)
            except ValueError as error:
                return 422, f"{error}: {text}"
            found = problems(body)
            return (422, found) if found else (202, body)

    with serving(Handler) as url:
        yield f"{url}/v2/alerts", calls


def deploy(lake, url, **parameters):
    """A stack of the example beside the lake's. No parameter takes an address without TLS, so `url` takes its place.

    MiniStack's CloudFormation knows no connection and no API destination, so both are made by its EventBridge."""
    parameters = {"LakeStack": lake.name, "HeaderValue": KEY, **parameters}
    template, resolved = example_source(EXAMPLE), example(EXAMPLE, **parameters)
    for name in ("Connection", "Destination"):
        del template["Resources"][name]
    name, events = f"{lake.name}-webhook", lake.cloud.client("events")
    connection = events.create_connection(Name=name, **resolved["Connection"]["Properties"])
    made = {"ConnectionArn": connection["ConnectionArn"], "InvocationEndpoint": url}
    destination = events.create_api_destination(Name=name, **resolved["Destination"]["Properties"] | made)
    arn = json.dumps({"Fn::GetAtt": ["Destination", "Arn"]})
    lake.cloud.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template).replace(arn, json.dumps(destination["ApiDestinationArn"])),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    stack = Stack(lake.cloud, name, parameters).settled()
    assert stack.status == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    return stack
