"""A home to keep tidy."""

import shutil

import pytest
from support.shared import built_once
from support.sharing import build_origin, inside


@pytest.fixture
def root(tmp_path_factory, tmp_path):
    """A reproduced DVC repository to do with as the test likes, and the working folder."""
    origin = built_once(tmp_path_factory, "origin of a group", build_origin)
    folder = tmp_path / "a home"
    shutil.copytree(origin, folder, symlinks=True)
    with inside(folder):
        yield folder
