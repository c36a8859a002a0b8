"""What several tests of reproductions begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.foreign import build_linear, foreign_environment
from support.projects import run_in
from support.shared import built_once


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one finished run; only to be read."""

    def build(place: Path) -> None:
        build_linear(place)
        run_in(place, "dvc repro", env=foreign_environment())

    return built_once(tmp_path_factory, "recorded linear", build)
