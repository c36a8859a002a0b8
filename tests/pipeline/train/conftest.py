"""What the tests of the stage `train` share."""

import pytest
import torch

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
def settings_of_torch():
    """Torch's settings are put back after the test."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
