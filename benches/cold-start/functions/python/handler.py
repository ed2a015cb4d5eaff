"""The same job in Python: the signature, the log's id and time, a conditional PutObject, by boto3 with its defaults.

No schema, no indicators, no metrics. The loop is what Lambda's Python runtime does around a handler, at its shortest.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import traceback

import boto3

BUCKET = os.environ["LAKE_BUCKET"]
SECRET = os.environ["TRACEBIT_SECRET"].encode()
s3 = boto3.client("s3")


def handler(event):
    body = event["body"].encode()
    if event["isBase64Encoded"]:
        body = base64.b64decode(body)
    signature = event["headers"].get("x-tracebit-signature-256", "")
    if not hmac.compare_digest(hmac.new(SECRET, body, hashlib.sha256).hexdigest(), signature):
        return {"statusCode": 401}
    log = json.loads(body)
    key = f"tracebit_alert/{log['timestamp']}-{log['id']}.json"
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(log) + "\n", IfNoneMatch="*")
    return {"statusCode": 200, "body": '{"stored":1}'}


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", "/2018-06-01/runtime/invocation/next")
        answer = runtime.getresponse()
        request_id, event = answer.headers["lambda-runtime-aws-request-id"], json.load(answer)
        try:
            kind, result = "response", handler(event)
        except Exception:
            kind, result = "error", {"errorMessage": traceback.format_exc()}
        runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/{kind}", json.dumps(result))
        runtime.getresponse().read()


main()
