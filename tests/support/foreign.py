"""Repositories of other people: DVC and their own scripts, nothing of ours but `trackstack` as an installed package."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

from support.projects import ROOT, command_environment, merged, run_in


def foreign_environment(**more: str) -> dict[str, str]:
    """As `command_environment`, with `trackstack` importable, as if it were installed."""
    return command_environment() | {"PYTHONPATH": str(ROOT / "src")} | more


PREPARE = """
    import csv, json, random, sys

    params = json.load(open("params.json"))["data"]
    random.seed(params["seed"])
    for name in ("train", "test"):
        with open(f"data/{name}.csv", "w", newline="") as file:
            rows = ([random.gauss(label, 0.5), random.gauss(-label, 0.5), label] for label in (0, 1) * params["rows"])
            csv.writer(file).writerows(rows)
"""
TRAIN = """
    import csv, json, math, random, time
    from pathlib import Path

    import trackstack

    params = json.loads(Path("params.json").read_text())["train"]
    rows = [list(map(float, row)) for row in csv.reader(open("data/train.csv"))]
    with trackstack.Stop() as stop, trackstack.start_run("linear", params) as run:
        kept = run.folder / "checkpoints/epoch.json"
        state = json.loads(kept.read_text()) if kept.exists() else {"epoch": 0, "weights": [0, 0, 0]}
        print(f"{run.id}: going on from epoch {state['epoch']}", flush=True)
        a, b, c = state["weights"]
        for epoch in range(state["epoch"], params["epochs"]):
            if params["lr"] > 1:
                raise trackstack.UserError("the train_loss is nan")
            right = 0
            for x, y, label in random.Random(f"{params['seed']} {epoch}").sample(rows, len(rows)):
                guess = (math.tanh(a * x + b * y + c) + 1) / 2
                step = params["lr"] * (label - guess)
                a, b, c, right = a + step * x, b + step * y, c + step, right + (round(guess) == label)
            run.log({"train_accuracy": right / len(rows)}, step=epoch)
            state = {"epoch": epoch + 1, "weights": [a, b, c]}
            kept.parent.mkdir(exist_ok=True)
            kept.with_suffix(".new").write_text(json.dumps(state))
            kept.with_suffix(".new").rename(kept)
            if reason := stop.reason():
                raise trackstack.Interrupted(reason)
            time.sleep(params["pause"])
    Path("model.json").write_text(json.dumps(state))
"""
EVALUATE = """
    import csv, json

    a, b, c = json.load(open("model.json"))["weights"]
    rows = [list(map(float, row)) for row in csv.reader(open("data/test.csv"))]
    right = sum((a * x + b * y + c > 0) == bool(label) for x, y, label in rows)
    json.dump({"accuracy": right / len(rows)}, open("metrics.json", "w"))
"""
LINEAR = """
    stages:
      prepare:
        cmd: python prepare.py
        deps: [prepare.py]
        params: [{params.json: [data]}]
        outs: [data/train.csv, data/test.csv]
      train:
        cmd: python train.py
        deps: [train.py, data/train.csv]
        params: [{params.json: [train]}]
        outs: [model.json]
        meta:
          slurm: {gpu: true, cpus-per-task: 2}
      evaluate:
        cmd: python evaluate.py
        deps: [evaluate.py, data/test.csv, model.json]
        metrics: [{metrics.json: {cache: false}}]
"""


def build_linear(place: Path) -> None:
    """Three plain scripts, parameters in JSON, a training that can be interrupted and costs next to nothing; committed."""
    params = {"data": {"rows": 20, "seed": 0}, "train": {"lr": 0.1, "seed": 0, "epochs": 3, "pause": 0.0}}
    files = {"prepare.py": PREPARE, "train.py": TRAIN, "evaluate.py": EVALUATE, "dvc.yaml": LINEAR}
    files |= {"params.json": json.dumps(params, indent=4), "data/README": "Made by prepare.py"}
    commit_files(place, files)


def change(linear: Path, **sections: dict) -> None:
    """Set parameters of that repository: `change(linear, train={"epochs": 30})`."""
    params = json.loads((linear / "params.json").read_text())
    (linear / "params.json").write_text(json.dumps(merged(params, sections)))


DRAW = """
    #!/bin/bash
    # Some numbers, one a line.
    set -euo pipefail
    seq "$1" > "$2"
"""
MEASURE = """
    #!/bin/bash
    # Areas of a shape for the numbers on standard input.
    set -euo pipefail
    case $1 in square) factor=1 ;; circle) factor=3.14 ;; triangle) factor=0.5 ;; esac
    awk -v factor="$factor" -v scale="$2" '{ print $1 * $1 * factor * scale }'
"""
SUMMARY = """
    import pathlib, tomllib

    digits = tomllib.loads(pathlib.Path("settings.toml").read_text())["digits"]
    for file in sorted(pathlib.Path("../measured").glob("*.txt")):
        print(file.stem, round(sum(map(float, file.read_text().split())), digits))
"""
SHAPES = """
    vars: [conf/shapes.toml]
    stages:
      draw:
        wdir: raw
        cmd: bash ../scripts/draw.sh ${numbers.count} numbers.txt
        deps: [../scripts/draw.sh]
        outs: [numbers.txt]
      measure:
        matrix:
          shape: ${shapes}
        cmd: mkdir -p measured && bash scripts/measure.sh ${item.shape} ${numbers.scale} < raw/numbers.txt > measured/${item.shape}.txt
        deps: [scripts/measure.sh, raw/numbers.txt]
        outs: ["measured/${item.shape}.txt"]
"""
REPORT = """
    stages:
      summary:
        cmd: python summary.py > summary.txt
        deps: [summary.py, ../measured]
        params: [{settings.toml: [digits]}]
        outs: [{summary.txt: {cache: false}}]
"""
SHAPES_TOML = """
    shapes = ["square", "circle"] # measure has a stage for each

    [numbers]
    count = 3
    scale = 2
"""


SHAPES_FOLDER = "of us/shapes"


def build_shapes(place: Path) -> None:
    """In a folder of a larger git repository: a matrix over TOML parameters, a stage with `wdir`, scripts in bash, a second dvc.yaml; committed."""
    files = {"dvc.yaml": SHAPES, "report/dvc.yaml": REPORT, "conf/shapes.toml": SHAPES_TOML}
    files |= {"scripts/draw.sh": DRAW, "scripts/measure.sh": MEASURE, "raw/README": "Made by draw.sh"}
    files |= {"report/summary.py": SUMMARY, "report/settings.toml": "digits = 1\n"}
    run_in(place, "git init -q -b main")
    commit_files(place / SHAPES_FOLDER, files)


def commit_files(place: Path, files: dict[str, str]) -> None:
    """A repository whose pipeline has never run, with the slurm/ and the .gitignore that `trackstack init` writes."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(dedent(text).lstrip())
    run_in(place, "git rev-parse --git-dir || git init -q -b main")
    run_in(place, "dvc init -q --subdir")
    run_in(
        place,
        "dvc config core.analytics false && trackstack init && git add -A && git commit -qm 'Somebody else'",
        env=foreign_environment(),
    )
