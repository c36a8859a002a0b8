"""Real trainings that a test starts, stops and kills, and what they left."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from support.projects import command_environment

SECONDS = 900
COMMAND = "exec env PYTHONPATH=src python -P stages/train.py data/cache results/model results/live"


def begin(project: Path, command: str | list[str] = COMMAND, **variables: str) -> subprocess.Popen:
    """Start the stage `train`, or another command; see `end`."""
    return subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=project,
        env=command_environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(process: subprocess.Popen, epoch: int | None = None) -> None:
    """Read what it prints until that epoch's line; until the first one by default."""
    limit = threading.Timer(SECONDS, _kill_with_children, [process])
    limit.start()
    try:
        for line in process.stdout:
            if line.startswith("epoch " if epoch is None else f"epoch {epoch:3d} "):
                return
    finally:
        limit.cancel()
    pytest.fail(f"it ended, or was ended after {SECONDS} s, before its epoch {epoch}: {process.stderr.read()}")


def _kill_with_children(process: subprocess.Popen) -> None:
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def end(process: subprocess.Popen, expect: int) -> str:
    """Wait for its end, and return what it printed since then."""
    output, error = process.communicate(timeout=SECONDS)
    assert process.returncode == expect, output + error
    return output + error


def outputs(project: Path) -> dict[str, bytes]:
    """The bytes of everything that training wrote, by path."""
    folders = (project / "results/model", project / "results/live")
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(project)): file.read_bytes() for file in files}
