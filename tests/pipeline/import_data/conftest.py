"""A checkout for tests of `trackstack catalog`, and its commands in this process."""

import json
import shutil
from pathlib import Path

import pytest
from support.projects import REFERENCE, ROOT, write_reference
from typer.testing import CliRunner

from pipeline.import_data.apply import validate_files, write_entry, write_files
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.commands import plan_dataset
from pipeline.import_data.reading.dialect import read_sample
from pipeline.import_data.reading.files import find_files
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


@pytest.fixture
def added(checkout):
    """A dataset version as `catalog add` leaves it, but for DVC's pointer; returns what was written."""

    def make(path, label="y", name="mine", **options):
        chosen = ImportOptions(label, **options)
        samples = [read_sample(file, below, chosen.dialect) for file, below in find_files(str(path))]
        plan = plan_dataset(name, "", chosen, samples)
        raw = checkout / plan.entry["path"]
        raw.mkdir()
        write_files(plan, raw)
        written = validate_files(plan, raw)
        write_entry(name, written.entry)
        return written

    return make


@pytest.fixture
def updated(checkout):
    """`catalog update mine`, which is not carried out: the exit code, and what it says."""

    def update(path, *options):
        done = CliRunner().invoke(app, ["catalog", "update", "mine", str(path), "--dry-run", *map(str, options)])
        assert done.exit_code in (0, 1)
        assert "Traceback" not in done.output
        return done.exit_code, done.output

    return update


@pytest.fixture
def checked(checkout):
    """The lines of `catalog check mine`."""
    return lambda: CliRunner().invoke(app, ["catalog", "check", "mine"]).output.splitlines()
