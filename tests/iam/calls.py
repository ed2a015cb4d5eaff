"""The table of the calls that are tried on the stack, and who may make each."""

import uuid

from cloud import Queue
from roles import PREFIX, ROLES


class Targets:
    """What a call can be aimed at: what the stack creates, and its neighbours in the account."""

    def __init__(self, account, stack):
        self.ids, self.lake, self.secret = stack.physical_ids(), stack.bucket(), stack.secret_id
        self.token = self.ids["ApiTokenSecret"]
        self.name, self.database = stack.name, stack.parameters["DatabaseName"]
        self.results = self.ids["ResultsBucket"]
        s3, sqs = account.client("s3"), account.client("sqs")
        self.alert = f"{PREFIX}tracebit_alert/day=2026-11-20/hour=02/one.json"
        self.health_check = f"{PREFIX}tracebit_healthcheck/day=2026-11-20/hour=02/one.json"
        self.failure = f"{PREFIX}classification_failures/day=2026-11-20/hour=02/one.json"
        self.marker = f"{PREFIX}notified/one"
        self.outside = "security/other/one.json"
        for key in [self.alert, self.health_check, self.failure, self.marker, self.outside]:
            s3.put_object(Bucket=self.lake, Key=key, Body=b"{}")
        s3.put_object(Bucket=self.results, Key="one.csv", Body=b"")
        self.other_bucket, self.other_bus = "another-bucket", "another-bus"
        account.create_bucket(self.other_bucket, notifies=False)
        s3.put_object(Bucket=self.other_bucket, Key=self.alert, Body=b"{}")
        self.other_secret = account.client("secretsmanager").create_secret(Name="other", SecretString="other")["ARN"]
        self.other_queue = Queue.new(sqs, "other").url
        self.other_topic = account.client("sns").create_topic(Name="other")["TopicArn"]
        account.client("events").create_event_bus(Name=self.other_bus)
        # What LocalEmu's CloudFormation does not create.
        glue, athena = account.client("glue"), account.client("athena")
        for database, workgroup in [(self.database, self.name), ("other", "other")]:
            glue.create_database(DatabaseInput={"Name": database})
            glue.create_table(DatabaseName=database, TableInput={"Name": "tracebit_alert"})
            athena.create_work_group(Name=workgroup)

    def log_group(self, role):
        return self.ids[{"webhook": "WebhookLogs", "drain": "DrainLogs", "notify": "NotifyLogs", "watch": "WatchLogs"}[role]]


def put(bucket, key):
    """Adds an object, as the functions do."""
    return lambda use, to: use("s3").put_object(
        Bucket=bucket(to), Key=f"{key(to)}-{uuid.uuid4()}", Body=b"{}", IfNoneMatch="*"
    )


def get(bucket, key):
    return lambda use, to: use("s3").get_object(Bucket=bucket(to), Key=key(to))


def list_keys(bucket, prefix):
    return lambda use, to: use("s3").list_objects_v2(Bucket=bucket(to), Prefix=prefix)


def send(queue):
    return lambda use, to: use("sqs").send_message(QueueUrl=queue(to), MessageBody="{}")


def receive(queue):
    return lambda use, to: use("sqs").receive_message(QueueUrl=queue(to), VisibilityTimeout=0)


def delete(queue):
    return lambda use, to: use("sqs").delete_message(QueueUrl=queue(to), ReceiptHandle="none")


def attributes(queue):
    return lambda use, to: use("sqs").get_queue_attributes(QueueUrl=queue(to), AttributeNames=["All"])


def purge(queue):
    return lambda use, to: use("sqs").purge_queue(QueueUrl=queue(to))


def keep(queue):
    return lambda use, to: use("sqs").change_message_visibility(
        QueueUrl=queue(to), ReceiptHandle="none", VisibilityTimeout=600
    )


def publish(topic):
    return lambda use, to: use("sns").publish(TopicArn=topic(to), Message="test")


def count(topic):
    return lambda use, to: use("sns").get_topic_attributes(TopicArn=topic(to))


def put_event(bus):
    entry = {"Source": "test", "DetailType": "test", "Detail": "{}"}
    return lambda use, to: use("events").put_events(Entries=[{**entry, "EventBusName": bus(to)}])


def make_stream(role):
    return lambda use, to: use("logs").create_log_stream(
        logGroupName=to.log_group(role), logStreamName=str(uuid.uuid4())
    )


def put_log(role):
    event = {"timestamp": 0, "message": "test"}
    return lambda use, to: use("logs").put_log_events(
        logGroupName=to.log_group(role), logStreamName="none", logEvents=[event]
    )


lake, results, another_bucket = lambda to: to.lake, lambda to: to.results, lambda to: to.other_bucket
spill, spill_dead = lambda to: to.ids["SpillQueue"], lambda to: to.ids["SpillDeadLetters"]
notify, notify_dead = lambda to: to.ids["NotifyQueue"], lambda to: to.ids["NotifyDeadLetters"]
other_queue = lambda to: to.other_queue
siem_queue, siem_dead = lambda to: to.ids["SiemQueue"], lambda to: to.ids["SiemDeadLetters"]
notify_topic, alarm_topic = lambda to: to.ids["AlertTopic"], lambda to: to.ids["AlarmTopic"]
WRITERS, ANALYST, SIEM = {"webhook", "drain"}, {"analyst"}, {"siem"}
READERS = {"notify", "watch", "analyst", "siem"}
NOBODY = set()

# Every call that is tried, and who may make it.
CALLS = {
    # The lake.
    "add an alert": (put(lake, lambda to: to.alert), WRITERS | {"watch"}),
    "add a failure": (put(lake, lambda to: to.failure), WRITERS | {"watch"}),
    "add a health check": (put(lake, lambda to: to.health_check), WRITERS),
    "add a marker": (put(lake, lambda to: to.marker), {"notify"}),
    "add an object outside the prefix": (put(lake, lambda to: to.outside), NOBODY),
    "add an object to another bucket": (put(another_bucket, lambda to: to.alert), NOBODY),
    "overwrite a record": (lambda use, to: use("s3").put_object(Bucket=to.lake, Key=to.alert, Body=b"{}"), NOBODY),
    "overwrite a marker": (lambda use, to: use("s3").put_object(Bucket=to.lake, Key=to.marker, Body=b"{}"), NOBODY),
    "delete a record": (lambda use, to: use("s3").delete_object(Bucket=to.lake, Key=to.alert), NOBODY),
    "delete a marker": (lambda use, to: use("s3").delete_object(Bucket=to.lake, Key=to.marker), NOBODY),
    "read an alert": (get(lake, lambda to: to.alert), READERS),
    "read a failure": (get(lake, lambda to: to.failure), READERS),
    "read a marker": (get(lake, lambda to: to.marker), NOBODY),
    "read a health check": (get(lake, lambda to: to.health_check), ANALYST | SIEM),
    "read an object outside the prefix": (get(lake, lambda to: to.outside), NOBODY),
    "read another bucket": (get(another_bucket, lambda to: to.alert), NOBODY),
    "list the lake": (list_keys(lake, PREFIX), NOBODY),
    "list the markers": (list_keys(lake, f"{PREFIX}notified/"), {"notify", "watch"}),
    "list the alerts": (list_keys(lake, f"{PREFIX}tracebit_alert/"), {"watch", "analyst"}),
    "list the failures": (list_keys(lake, f"{PREFIX}classification_failures/"), {"watch", "analyst"}),
    "list the health checks": (list_keys(lake, f"{PREFIX}tracebit_healthcheck/"), ANALYST),
    "list outside the prefix": (list_keys(lake, "security/other/"), NOBODY),
    "list the whole bucket": (lambda use, to: use("s3").list_objects_v2(Bucket=to.lake), NOBODY),
    "list the versions": (lambda use, to: use("s3").list_object_versions(Bucket=to.lake, Prefix=PREFIX), NOBODY),
    "locate the lake": (lambda use, to: use("s3").get_bucket_location(Bucket=to.lake), ANALYST),
    "read the lake's policy": (lambda use, to: use("s3").get_bucket_policy(Bucket=to.lake), NOBODY),
    "drop the lake's policy": (lambda use, to: use("s3").delete_bucket_policy(Bucket=to.lake), NOBODY),
    "delete the lake": (lambda use, to: use("s3").delete_bucket(Bucket=to.lake), NOBODY),
    "list the buckets": (lambda use, to: use("s3").list_buckets(), NOBODY),
    # The results of queries.
    "write a result": (put(results, lambda to: "result.csv"), ANALYST),
    "read a result": (get(results, lambda to: "one.csv"), ANALYST),
    "list the results": (list_keys(results, ""), ANALYST),
    "list the uploads of results": (lambda use, to: use("s3").list_multipart_uploads(Bucket=to.results), ANALYST),
    "list the parts of a result": (
        lambda use, to: use("s3").list_parts(Bucket=to.results, Key="one.csv", UploadId="none"),
        ANALYST,
    ),
    "abort the upload of a result": (
        lambda use, to: use("s3").abort_multipart_upload(Bucket=to.results, Key="one.csv", UploadId="none"),
        ANALYST,
    ),
    "locate the results": (lambda use, to: use("s3").get_bucket_location(Bucket=to.results), ANALYST),
    "delete a result": (lambda use, to: use("s3").delete_object(Bucket=to.results, Key="one.csv"), NOBODY),
    # The secrets.
    "read the API's token": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.token), {"watch"}),
    "change the API's token": (
        lambda use, to: use("secretsmanager").put_secret_value(SecretId=to.token, SecretString="x"),
        NOBODY,
    ),
    "read the secret": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.secret), WRITERS),
    "read another secret": (lambda use, to: use("secretsmanager").get_secret_value(SecretId=to.other_secret), NOBODY),
    "change the secret": (
        lambda use, to: use("secretsmanager").put_secret_value(SecretId=to.secret, SecretString="x"),
        NOBODY,
    ),
    "describe the secret": (lambda use, to: use("secretsmanager").describe_secret(SecretId=to.secret), NOBODY),
    "list the secrets": (lambda use, to: use("secretsmanager").list_secrets(), NOBODY),
    # The queues.
    "send to the spill queue": (send(spill), {"webhook"}),
    "receive from the spill queue": (receive(spill), {"drain"}),
    "delete from the spill queue": (delete(spill), {"drain"}),
    "look at the spill queue": (attributes(spill), {"drain"}),
    "purge the spill queue": (purge(spill), NOBODY),
    "send to the drain's dead letters": (send(spill_dead), NOBODY),
    "receive from the drain's dead letters": (receive(spill_dead), NOBODY),
    "send to the notifier's queue": (send(notify), {"watch"}),
    "receive from the notifier's queue": (receive(notify), {"notify"}),
    "delete from the notifier's queue": (delete(notify), {"notify"}),
    "look at the notifier's queue": (attributes(notify), {"notify"}),
    "send to the notifier's dead letters": (send(notify_dead), NOBODY),
    "receive from the notifier's dead letters": (receive(notify_dead), NOBODY),
    "send to the SIEM's queue": (send(siem_queue), NOBODY),
    "receive from the SIEM's queue": (receive(siem_queue), SIEM),
    "delete from the SIEM's queue": (delete(siem_queue), SIEM),
    "keep a message of the SIEM's queue": (keep(siem_queue), SIEM),
    "look at the SIEM's queue": (attributes(siem_queue), SIEM),
    "find the SIEM's queue": (
        lambda use, to: use("sqs").get_queue_url(QueueName=siem_queue(to).split("/")[-1]),
        SIEM,
    ),
    "change the SIEM's queue": (
        lambda use, to: use("sqs").set_queue_attributes(QueueUrl=siem_queue(to), Attributes={"DelaySeconds": "0"}),
        NOBODY,
    ),
    "purge the SIEM's queue": (purge(siem_queue), NOBODY),
    "send to the SIEM's dead letters": (send(siem_dead), NOBODY),
    "receive from the SIEM's dead letters": (receive(siem_dead), NOBODY),
    "send to another queue": (send(other_queue), NOBODY),
    "receive from another queue": (receive(other_queue), NOBODY),
    "list the queues": (lambda use, to: use("sqs").list_queues(), NOBODY),
    # The topics and the buses.
    "publish an alert": (publish(notify_topic), {"notify"}),
    "publish an alarm": (publish(alarm_topic), NOBODY),
    "count who gets alerts": (count(notify_topic), {"watch"}),
    "count who gets alarms": (count(alarm_topic), {"watch"}),
    "count who gets another topic": (count(lambda to: to.other_topic), NOBODY),
    "list who gets alerts": (
        lambda use, to: use("sns").list_subscriptions_by_topic(TopicArn=to.ids["AlertTopic"]),
        NOBODY,
    ),
    "publish to another topic": (publish(lambda to: to.other_topic), NOBODY),
    "subscribe to the alerts": (
        lambda use, to: use("sns").subscribe(
            TopicArn=to.ids["AlertTopic"], Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:000000000000:other"
        ),
        NOBODY,
    ),
    "put an event on the bus": (put_event(lambda to: "default"), {"notify"}),
    "put an event on another bus": (put_event(lambda to: to.other_bus), NOBODY),
    "remove the rule's target": (
        lambda use, to: use("events").remove_targets(Rule=to.ids["ObjectCreatedRule"], Ids=["notifier"]),
        NOBODY,
    ),
    # Logs and traces.
    **{f"make a log stream of the {role}": (make_stream(role), {role}) for role in ROLES},
    **{f"write to a log of the {role}": (put_log(role), {role}) for role in ROLES},
    "make a log group": (lambda use, to: use("logs").create_log_group(logGroupName=str(uuid.uuid4())), NOBODY),
    "read a log": (
        lambda use, to: use("logs").get_log_events(logGroupName=to.log_group("webhook"), logStreamName="none"),
        NOBODY,
    ),
    "send a trace": (lambda use, to: use("xray").put_trace_segments(TraceSegmentDocuments=["{}"]), set(ROLES)),
    "send telemetry": (
        lambda use, to: use("xray").put_telemetry_records(TelemetryRecords=[{"Timestamp": 0}]),
        set(ROLES),
    ),
    # Athena and Glue.
    "list the workgroups": (lambda use, to: use("athena").list_work_groups(), ANALYST),
    "list the catalogs": (lambda use, to: use("athena").list_data_catalogs(), ANALYST),
    "list the saved queries": (lambda use, to: use("athena").list_named_queries(WorkGroup=to.name), ANALYST),
    "list the queries of another workgroup": (
        lambda use, to: use("athena").list_named_queries(WorkGroup="other"),
        NOBODY,
    ),
    "list the history": (lambda use, to: use("athena").list_query_executions(WorkGroup=to.name), ANALYST),
    "look at the workgroup": (lambda use, to: use("athena").get_work_group(WorkGroup=to.name), ANALYST),
    "change the workgroup": (lambda use, to: use("athena").update_work_group(WorkGroup=to.name), NOBODY),
    "run a query": (
        lambda use, to: use("athena").start_query_execution(QueryString="SELECT 1", WorkGroup=to.name),
        ANALYST,
    ),
    "run a query in another workgroup": (
        lambda use, to: use("athena").start_query_execution(QueryString="SELECT 1", WorkGroup="other"),
        NOBODY,
    ),
    "save a query": (
        lambda use, to: use("athena").create_named_query(
            Name="one", Database=to.database, QueryString="SELECT 1", WorkGroup=to.name
        ),
        ANALYST,
    ),
    "read a table's columns": (
        lambda use, to: use("glue").get_table(DatabaseName=to.database, Name="tracebit_alert"),
        ANALYST,
    ),
    "read another database's table": (
        lambda use, to: use("glue").get_table(DatabaseName="other", Name="tracebit_alert"),
        NOBODY,
    ),
    "list the tables": (lambda use, to: use("glue").get_tables(DatabaseName=to.database), ANALYST),
    "look at the database": (lambda use, to: use("glue").get_database(Name=to.database), ANALYST),
    "list the databases": (lambda use, to: use("glue").get_databases(), ANALYST),
    "drop a table": (
        lambda use, to: use("glue").delete_table(DatabaseName=to.database, Name="tracebit_alert"),
        NOBODY,
    ),
    # The functions and the roles themselves.
    "invoke the drain": (lambda use, to: use("lambda").invoke(FunctionName=to.ids["DrainFunction"]), NOBODY),
    "invoke the watcher": (
        lambda use, to: use("lambda").invoke(FunctionName=to.ids["WatchFunction"], InvocationType="Event"),
        {"schedule"},
    ),
    "stop the schedule": (lambda use, to: use("scheduler").delete_schedule(Name=to.ids["WatchSchedule"]), NOBODY),
    "change the function": (
        lambda use, to: use("lambda").update_function_configuration(FunctionName=to.ids["WebhookFunction"], Timeout=1),
        NOBODY,
    ),
    "read a policy": (
        lambda use, to: use("iam").get_role_policy(RoleName=to.ids["WebhookRole"], PolicyName="webhook"),
        NOBODY,
    ),
    "change a policy": (
        lambda use, to: use("iam").delete_role_policy(RoleName=to.ids["WebhookRole"], PolicyName="webhook"),
        NOBODY,
    ),
}
