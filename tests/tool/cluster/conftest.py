"""Repositories of other people, see `support.foreign`."""

import shutil

import pytest
from support.foreign import build_linear, build_shapes
from support.shared import built_once


@pytest.fixture
def linear(tmp_path_factory, tmp_path):
    """A copy of a scikit-learn pipeline with parameters in JSON, to do with as the test likes; nothing has run."""
    shutil.copytree(built_once(tmp_path_factory, "linear", build_linear), tmp_path / "linear")
    return tmp_path / "linear"


@pytest.fixture
def shapes(tmp_path_factory, tmp_path):
    """A copy of a pipeline with `matrix`, `wdir`, TOML, bash and two dvc.yaml; nothing has run."""
    shutil.copytree(built_once(tmp_path_factory, "shapes", build_shapes), tmp_path / "shapes")
    return tmp_path / "shapes"
