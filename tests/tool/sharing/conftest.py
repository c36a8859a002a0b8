"""Homes that share their runs."""

import pytest
from support.shared import built_once
from support.sharing import Group, build_origin


@pytest.fixture(scope="session")
def origin_of_group(tmp_path_factory):
    """A reproduced DVC repository; shared, so only to be read."""
    return built_once(tmp_path_factory, "origin of a group", build_origin)


@pytest.fixture
def group(origin_of_group, tmp_path):
    """A hub and a first home, to do with as the test likes; see `Group`."""
    return Group(tmp_path, origin_of_group)


@pytest.fixture(scope="module")
def module_group(origin_of_group, tmp_path_factory):
    """A group that all tests of a module use."""
    return Group(tmp_path_factory.mktemp("group"), origin_of_group)
