"""What a sweep has left in a checkout."""

from __future__ import annotations

import json
from pathlib import Path

from support.projects import run_in


def at_work(project: Path) -> list[str | None]:
    """The jobs of the trials that say that they run; cheaper to ask often than `trackstack sweep status`."""
    files = [file for file in project.glob("runs/.sweeps/*/trials/[!.]*.json") if file.stem != "shared"]
    return [trial["job"] for trial in map(json.loads, map(Path.read_text, files)) if trial["state"] == "running"]


def experiments(project: Path) -> list[str]:
    """The names of the experiments that a checkout has."""
    refs = run_in(project, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    return sorted(ref.rsplit("/", 1)[1] for ref in refs if ref.count("/") == 4)
