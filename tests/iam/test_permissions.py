"""Each role and user may make its own calls and no other (calls.py). No role has an action that none of them needs."""

import pytest
from account import is_refused
from calls import CALLS
from roles import ROLES, Policy, actions


@pytest.mark.parametrize("caller", [*ROLES, "schedule", "analyst", "siem"])
@pytest.mark.parametrize("call", CALLS)
def test_nobody_may_do_more_or_less_than_this(callers, targets, caller, call):
    make, allowed = CALLS[call]
    assert is_refused(make, callers[caller].client, targets) == (caller not in allowed)


@pytest.mark.parametrize(
    ("caller", "call"),
    [
        ("webhook", "add an alert"),
        ("webhook", "send to the spill queue"),
        ("drain", "receive from the spill queue"),
        ("notify", "receive from the notifier's queue"),
        ("notify", "publish an alert"),
        ("watch", "add an alert"),
        ("watch", "read an alert"),
        ("watch", "send to the notifier's queue"),
        ("analyst", "read an alert"),
        ("analyst", "read a result"),
        ("siem", "read an alert"),
        ("siem", "receive from the SIEM's queue"),
    ],
)
def test_nobody_may_do_it_without_tls(callers, targets, caller, call):
    make, _ = CALLS[call]
    assert is_refused(make, lambda service: callers[caller].client(service, scheme="http"), targets)


@pytest.mark.parametrize("caller", ROLES)
def test_no_role_has_an_action_that_no_call_needs(account, stack, callers, targets, caller):
    policy = Policy(account, stack, caller)
    calls = [make for make, allowed in CALLS.values() if caller in allowed]
    needless = []
    for statement in policy.document["Statement"]:
        for action in actions(statement):
            with policy.without(statement["Sid"], action):
                if not any(is_refused(make, callers[caller].client, targets) for make in calls):
                    needless.append((statement["Sid"], action))
    assert not needless
