"""What the tests of the stage `train` share."""

import os

import pytest

from pipeline.train.config import TrainingConfig
from pipeline.windows.dataset import open_cache
from trackstack.core.params import Parameters


@pytest.fixture(scope="session")
def cache(tiny_project):
    return open_cache(tiny_project / "data/cache")


@pytest.fixture(scope="session")
def choose(tiny_project):
    """The tiny project's configuration, with changes to `train`: `choose(epochs=6)`."""
    values = Parameters.load(tiny_project / "params.yaml").values

    def choose(**changes):
        return TrainingConfig.choose(Parameters(values | {"train": values["train"] | changes}))

    return choose


@pytest.fixture
def in_a_notebook(tmp_path, monkeypatch, settings_of_torch):
    """An empty folder, outside of git and DVC, in which a test calls `train`."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("TRACKSTACK_", "DVC_", "SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    return tmp_path
