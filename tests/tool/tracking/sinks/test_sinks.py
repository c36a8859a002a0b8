"""What holds for every sink: nothing is imported before it is needed, and an absent package costs one line."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.projects import ROOT
from support.recording import (
    EVERYTHING,
    in_back_ends,
    in_journals,
    in_sqlite,
    record,
    trackstack,
    wait_until_nobody_delivers,
)

from trackstack import UserError
from trackstack.tracking.sinks import open_sink

OPEN_ALL = """
import json, sys
from pathlib import Path
from trackstack.tracking.sinks import Series, open_sink

database = {"uri": f"sqlite:///{sys.argv[1]}/no.db", "artifacts": "a", "experiment": "e"}
for name, destination in {"mlflow": database, "tensorboard": {}, "wandb": {"mode": "offline"}}.items():
    sink = open_sink(name, destination)
    sink.lock_file()
    assert not sink.has(Series("r0", 1, Path(sys.argv[1]), {}))
print(json.dumps(sorted({"mlflow", "torch", "numpy", "tensorboard", "matplotlib", "wandb"} & set(sys.modules))))
"""


def test_opening_a_sink_imports_no_back_end_and_makes_nothing(tmp_path):
    pytest.importorskip("wandb")
    command = [sys.executable, "-c", OPEN_ALL, str(tmp_path)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    assert json.loads(done.stdout) == []
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_sink_is_one_line_with_those_there_are():
    with pytest.raises(UserError) as caught:
        open_sink("excel", {})
    expected = "TRACKSTACK_SINKS: 'excel' is no sink; expected some of sqlite, mlflow, tensorboard, wandb"
    assert str(caught.value) == expected


# Packages that a foreign repository may do without.
ABSENT = ("mlflow", "tensorboard", "wandb", "torch", "polars", "pandas")


@pytest.fixture(scope="module")
def bare_interpreter(tmp_path_factory):
    """A real virtual environment with everything but the back ends and what is heavy."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], timeout=900, check=True)
    (target,) = folder.glob("lib/python*/site-packages")
    for item in Path(sysconfig.get_path("purelib")).iterdir():
        if not item.name.startswith(ABSENT) and item.suffix != ".pth":
            (target / item.name).symlink_to(item)
    return str(folder / "bin/python")


def test_back_ends_that_are_not_installed_are_left_out_unless_they_are_named(bare_interpreter, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    default, named = tmp_path / "default", tmp_path / "named"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", bare_interpreter)
        assert record(default, None, "mine", "5") == ""
        output = record(named, "sqlite,mlflow,tensorboard,wandb", "mine", "5")
    wait_until_nobody_delivers(default)
    assert sorted(in_sqlite(default)) == sorted(in_journals(default))
    assert sorted(line for line in output.splitlines()) == [
        f'warning: {name}: {name} is not installed; type: pip install "trackstack[{name}]"; '
        "nothing is lost: trackstack sync delivers it"
        for name in ("mlflow", "tensorboard", "wandb")
    ]
    wait_until_nobody_delivers(named)
    for _ in range(2):
        trackstack(named, "sync")
        expected = sorted(in_journals(named))
        assert in_back_ends(named, EVERYTHING) == dict.fromkeys(EVERYTHING, expected)
