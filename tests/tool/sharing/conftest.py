"""Homes that share their runs."""

import pytest
from support.shared import built_once
from support.sharing import Group, build_origin


@pytest.fixture
def group(tmp_path_factory, tmp_path):
    """A hub and a first home, to do with as the test likes; see `Group`."""
    return Group(tmp_path, built_once(tmp_path_factory, "origin of a group", build_origin))
