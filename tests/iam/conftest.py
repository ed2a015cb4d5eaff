import pathlib
import tempfile

import account as accounts
import pytest
from cloud import function_zips


@pytest.fixture(scope="session")
def account():
    with tempfile.TemporaryDirectory(prefix="iam-") as folder:
        folder = pathlib.Path(folder)
        with accounts.localemu(folder) as account:
            account.upload(function_zips(folder))
            yield account
