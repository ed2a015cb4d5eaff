"""The stack that all tests share, and whoever calls it.

The files run in the order of their names. The functions do their work first, while no queue has a message that another
test sent.
"""

import pathlib
import tempfile

import account as accounts
import pytest
from account import pager_duty
from calls import Targets
from cloud import function_zips
from roles import PREFIX, ROLES
from shared import ROUTING_KEY

OPERATORS = "arn:aws:iam::000000000000:user/operator*"


@pytest.fixture(scope="session")
def account():
    with tempfile.TemporaryDirectory(prefix="iam-") as folder:
        folder = pathlib.Path(folder)
        with accounts.localemu(folder) as account:
            account.upload(function_zips(folder))
            yield account


@pytest.fixture(scope="session")
def siem(account):
    """Whoever reads for the SIEM: a user with no policy of their own."""
    return account.user("siem")


@pytest.fixture(scope="session")
def pager(account):
    """What PagerDuty is sent."""
    with pager_duty() as (account.pager, calls):
        yield calls


@pytest.fixture(scope="session")
def stack(account, siem, pager):
    # The watcher has all its rights if it compares the lake with Tracebit's list. Nobody has this address.
    reader = siem.client("sts").get_caller_identity()["Arn"]
    more = {"SiemReaderArn": reader, "PagerDutyRoutingKey": ROUTING_KEY, "OperatorArn": OPERATORS}
    stack = account.deploy(LakePrefix=PREFIX, TracebitApiUrl="https://tracebit.invalid", **more)
    assert stack.status == "CREATE_COMPLETE", stack.events("CREATE_FAILED")
    return stack


@pytest.fixture(scope="session")
def targets(account, stack):
    return Targets(account, stack)


@pytest.fixture(scope="session")
def callers(account, stack, siem):
    ids = stack.physical_ids()
    roles = {name: account.role(ids[role]) for name, (role, *_) in ROLES.items()}
    schedule, analyst = account.role(ids["WatchScheduleRole"]), account.user("analyst", ids["AnalystPolicy"])
    return {**roles, "schedule": schedule, "analyst": analyst, "siem": siem}
