import pathlib
import tempfile

import cloud as clouds
import pytest


@pytest.fixture(scope="session")
def cloud():
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        folder = pathlib.Path(folder)
        with clouds.ministack(folder) as cloud:
            cloud.upload(clouds.function_zips(folder))
            yield cloud
