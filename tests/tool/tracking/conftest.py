"""What the tests of several sinks share."""

from collections.abc import Iterator

import pytest
from support.servers import running_mlflow_server


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server; its address."""
    with running_mlflow_server(tmp_path_factory.mktemp("mlflow server")) as address:
        yield address
