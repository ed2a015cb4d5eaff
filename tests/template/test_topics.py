"""The topics and the channels: who may publish, who is notified, and that the stack says so if nobody is."""

import json
import re

import pytest
from shared import KEY, OPERATORS, SLACK, TEAM, TEAMS, TLS_ONLY, without
from stack import ROOT, of_type, properties, refusals, stack


def test_messages_about_alerts_are_encrypted_and_sent_over_tls_alone():
    assert properties("AlertTopic")["KmsMasterKeyId"] == "alias/aws/sns"
    assert properties("AlertTopic", KmsKeyArn=KEY)["KmsMasterKeyId"] == "alias/aws/sns"
    assert "KmsMasterKeyId" not in properties("AlarmTopic"), "alarms cannot publish with SNS's own key"
    for policy in ("AlertTopicPolicy", "AlarmTopicPolicy", "ActNowTopicPolicy"):
        denied, *_ = properties(policy)["PolicyDocument"]["Statement"]
        assert (denied["Effect"], denied["Action"], denied["Condition"]) == ("Deny", "sns:Publish", TLS_ONLY)


@pytest.mark.parametrize(
    ("topic", "condition"),
    [
        ("AlertTopic", {"ArnNotLikeIfExists": {"aws:PrincipalArn": "<NotifyRole.Arn>"}}),
        ("AlarmTopic", {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}),
        ("ActNowTopic", {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}),
    ],
)
def test_the_notifier_alone_publishes_alerts_and_services_alone_publish_alarms(topic, condition):
    _, others, *_ = properties(f"{topic}Policy", OperatorArn=OPERATORS)["PolicyDocument"]["Statement"]
    assert without("Sid", others) == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": f"<{topic}>",
        "Condition": condition,
    }


@pytest.mark.parametrize(
    ("name", "parameters", "members"),
    [
        ("SlackChannel", SLACK, SLACK),
        ("TeamsChannel", TEAMS, {"TeamsTenantId": TEAM, "TeamId": TEAM, "TeamsChannelId": TEAMS["TeamsChannelId"]}),
    ],
)
def test_a_channel_gets_both_topics_and_its_members_may_do_nothing(name, parameters, members):
    assert not {"SlackChannel", "TeamsChannel", "ChatRole"} & stack()["Resources"].keys()
    made = stack(**parameters)
    channel = made["Resources"][name]["Properties"]
    assert members.items() <= channel.items()
    assert channel["SnsTopicArns"] == ["<AlertTopic>", "<AlarmTopic>"]
    assert channel["GuardrailPolicies"] == ["arn:aws:iam::aws:policy/AWSDenyAll"]
    role = made["Resources"]["ChatRole"]["Properties"]
    assert channel["IamRoleArn"] == "<ChatRole.Arn>" and not {"Policies", "ManagedPolicyArns"} & role.keys()
    notified = made["Outputs"]["WhoIsTold"]["Value"]
    assert list(parameters.values())[-1] in notified and "NOBODY" not in notified


@pytest.mark.parametrize("parameters", [SLACK, TEAMS])
def test_half_a_channel_is_refused(parameters):
    assert refusals(**parameters) == []
    for name in parameters:
        (refusal,) = refusals(**without(name, parameters))
        assert name in refusal


def test_alarms_and_the_rule_of_deletions_may_publish_to_the_topic_of_alarms():
    _, _, allowed = properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": ["cloudwatch.amazonaws.com", "events.amazonaws.com"]},
        "Action": "sns:Publish",
        "Resource": "<AlarmTopic>",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }
    (target,) = properties("RecordDeletedRule")["Targets"]
    assert target["Arn"] == "<AlarmTopic>"
    shown = target["InputTransformer"]
    assert set(re.findall(r"<(\w+)>", shown["InputTemplate"])) == set(shown["InputPathsMap"])
    section = re.search(r"Bring back a deleted record", shown["InputTemplate"])[0]
    assert f"## {section}\n" in (ROOT / "docs/operate.md").read_text()


def test_alarms_alone_may_publish_to_the_topic_for_pagers():
    _, _, allowed = properties("ActNowTopicPolicy")["PolicyDocument"]["Statement"]
    assert without("Sid", allowed) == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "<ActNowTopic>",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
    }


def test_a_deployment_fails_if_the_bus_does_not_exist():
    check = properties("EventBusCheck", EventBusName="security")
    assert (check["EventBusName"], check["State"]) == ("security", "DISABLED") and "Targets" not in check


def test_the_topics_mail_only_whom_they_were_given():
    assert of_type("AWS::SNS::Subscription") == {}
    subscriptions = of_type("AWS::SNS::Subscription", AlarmEmail="a@example.com")
    mail = {"Protocol": "email", "Endpoint": "a@example.com"}
    assert subscriptions == {
        "AlarmSubscription": {"TopicArn": "<AlarmTopic>", **mail},
        "AlertSubscription": {
            "TopicArn": "<AlertTopic>",
            **mail,
            "FilterPolicyScope": "MessageAttributes",
            # The first message of an alert and day has no attributes. Those for chat alone have form=chat.
            "FilterPolicy": {"form": [{"exists": False}]},
        },
    }


def test_a_stack_that_tells_nobody_says_so():
    silent, notified = stack(), stack(AlarmEmail="a@example.com")
    assert silent["Outputs"]["WhoIsTold"]["Value"].startswith("NOBODY. Set AlarmEmail")
    assert notified["Outputs"]["WhoIsTold"]["Value"].startswith("a@example.com")
    title = lambda resources: [
        widget["properties"]["markdown"]
        for widget in json.loads(resources["Resources"]["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
        if widget["properties"].get("markdown", "").startswith("## Was anybody notified?")
    ]
    assert "subscribes nobody" in title(silent)[0]
    assert title(notified) == ["## Was anybody notified?"]
