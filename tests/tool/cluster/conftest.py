"""Repositories of other people, see `support.foreign`."""

import shutil

import pytest
from support.foreign import SHAPES_FOLDER, build_linear, build_shapes
from support.shared import built_once


@pytest.fixture
def linear(tmp_path_factory, tmp_path):
    """A copy of a pipeline with parameters in JSON, to do with as the test likes; nothing has run.

    Its folder is called as few people call one, but somebody does.
    """
    folder = tmp_path / "my #1; 50% of é, o'clock"
    shutil.copytree(built_once(tmp_path_factory, "linear", build_linear), folder)
    return folder


@pytest.fixture
def shapes(tmp_path_factory, tmp_path):
    """A copy of a pipeline with `matrix`, `wdir`, TOML, bash and two dvc.yaml; nothing has run.

    It is a folder of a larger git repository.
    """
    shutil.copytree(built_once(tmp_path_factory, "shapes", build_shapes), tmp_path / "all")
    return tmp_path / "all" / SHAPES_FOLDER
