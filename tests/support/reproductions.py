"""A repository of somebody else whose results depend on all that a reproduction can find changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.foreign import commit_files, foreign_environment
from support.projects import run_in

CLEAN = """
    #!/bin/bash
    # The rows that have a value.
    set -euo pipefail
    grep -v 'NA$' "$1" > "$2"
"""
FIT = """
    import json, math, os, random, tomllib
    from pathlib import Path

    import scales
    import trackstack

    params = tomllib.loads(Path("params.toml").read_text())["fit"]
    rows = [list(map(float, line.split(","))) for line in Path("clean.csv").read_text().splitlines()]
    random.seed(params["seed"])
    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    with trackstack.start_run("fit", params) as run:
        a, b = 0.0, 0.0
        for epoch in range(50):
            for x, y, label in random.sample(rows, len(rows)):
                wrong = label - (math.tanh(a * scales.scaled(x) + b * y) + 1) / 2
                a, b = a + params["c"] * wrong * scales.scaled(x), b + params["c"] * wrong * y
        weights = [a, b, threads]
        for step, weight in enumerate(weights):
            run.log({"weight": weight}, step=step)
        Path("weights.json").write_text(json.dumps(weights))
"""
DVC_YAML = """
    stages:
      clean:
        cmd: bash clean.sh measured/rows.csv clean.csv
        deps: [clean.sh, measured]
        outs: [clean.csv]
      fit:
        cmd: python fit.py
        deps: [fit.py, clean.csv]
        params: [{params.toml: [fit]}]
        outs: [weights.json]
"""
SCALES = {"1.0": "def scaled(x): return x\n", "2.0": "def scaled(x): return 2 * x\n"}


def install_scales(folder: Path, version: str) -> str:
    """A package of two versions that scale differently, as pip would lay it down; for PYTHONPATH."""
    (folder / f"scales-{version}.dist-info").mkdir(parents=True)
    (folder / f"scales-{version}.dist-info/METADATA").write_text(
        f"Metadata-Version: 2.1\nName: scales\nVersion: {version}\n"
    )
    (folder / "scales.py").write_text(SCALES[version])
    return str(folder)


def build_scaled(place: Path) -> str:
    """Data that DVC tracks, a stage in bash, a fit of two weights; run with edits that were never committed, and pushed.

    Of the checkout that made it nothing is left; a colleague's clone lies in another folder. Returns the run.
    """
    first, packages = place / "first", install_scales(place / "packages", "1.0")
    environment = environment_with(packages)
    rows = [f"{x},{x * x % 7},{int(x > 5)}" for x in range(12)] + ["3,4,NA"]
    files = {"clean.sh": CLEAN, "fit.py": FIT, "dvc.yaml": DVC_YAML, "params.toml": "[fit]\nc = 1.0\nseed = 0\n"}
    commit_files(first, files)
    (first / "measured").mkdir()
    (first / "measured/rows.csv").write_text("\n".join(rows) + "\n")
    run_in(place, "git init -q --bare -b main hub.git && mkdir store")
    run_in(first, f"dvc remote add -q -d store '{place}/store' && git remote add origin ../hub.git")
    run_in(first, "dvc add -q measured && git add -A && git commit -qm Data && git push -q origin main")
    (first / "params.toml").write_text("[fit]\nc = 0.5\nseed = 0\n")  # never committed
    run_in(first, "dvc repro && trackstack push", env=environment)
    run = next(path.name for path in (first / "runs").glob("r*"))
    shutil.rmtree(first)
    run_in(place, 'git clone -q hub.git "a colleague\'s clone"')
    return run


def environment_with(packages: str, **more: str) -> dict[str, str]:
    """Of a shell in which this folder of packages is used."""
    environment = foreign_environment(**more)
    return environment | {"PYTHONPATH": f"{environment['PYTHONPATH']}:{packages}"}
