"""A checkout for tests of `trackstack catalog`, and its commands in this process."""

import json
import shutil
from pathlib import Path

import pytest
from support.projects import REFERENCE, ROOT, write_reference
from typer.testing import CliRunner

from trackstack.cli import app


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A catalog, parameters, and nothing else."""
    folder = tmp_path / "a checkout"
    (folder / "data/raw").mkdir(parents=True)
    write_reference(folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    monkeypatch.chdir(folder)
    return folder


def add(*arguments):
    """`trackstack catalog add`, in this process."""
    return CliRunner().invoke(app, ["catalog", "add", *map(str, arguments)])


@pytest.fixture
def planned(checkout):
    """What `catalog add --dry-run --json` says."""

    def plan(path, *options):
        result = add(path, "--name", "mine", "--dry-run", "--json", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return plan


@pytest.fixture
def refused(checkout):
    """The lines with which `catalog add` refuses; nothing is written."""

    def lines(path, *options, name="mine", yes=("--yes",)):
        result = add(path, "--name", name, *yes, *options)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert not Path("data/raw/mine").exists()
        assert Path("data/catalog.yaml").read_bytes() == (REFERENCE / "catalog.yaml").read_bytes()
        return result.stderr.splitlines()

    return lines
