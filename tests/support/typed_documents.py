"""Which commands of the documents a test types, and the repository in which it does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from sklearn.datasets import load_diabetes

from support.documents import Command, commands
from support.projects import (
    NOT_NEEDED,
    ROOT,
    TINY_ENTRY,
    TINY_PARAMS,
    copy_checkout,
    edit_yaml,
    run_in,
    stages_from,
    stages_run,
    write_tiny_recordings,
)
from support.tables import table, write_workbook

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a test cannot type, and why. An entry that no document needs any more fails.
NOT_RUN = {
    r".*pre-commit install": "needs a repository of the person",
    r"^make (test|lint)": "that is where this runs",
    r"^mlflow ui": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^tensorboard": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^trackstack ui": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^python benchmarks/": "benchmarks take minutes; their short versions are tests",
    r"^(timeout \d+ )?python examples/loops/": "has a test of its own: tests/tool/frameworks/test_examples.py",
    r"^dvc (exp run --queue|queue )": "on a training that costs less: tests/repository/test_pipeline.py",
    r"^trackstack runs (promote|demote|card)": "takes seconds each: tests/tool/records/, test_recorded_runs.py",
    r"^trackstack predict .*exercise-classifier": "needs a promoted model: tests/pipeline/test_recorded_runs.py",
    r"^dvc artifacts get": "needs a promoted model: tests/tool/records/promotion/test_promote.py",
    r"^(git remote add origin ADDRESS|dvc remote add -d store PLACE)": "addresses are a person's own",
    r"^trackstack (push|pull)": "needs two homes: tests/tool/sharing/test_push.py",
    r"^trackstack (gc|storage)": "tests/tool/storage",
    r"^trackstack runs (list --|tag|note)": "on runs of their own: tests/tool/cli/test_listing.py, test_runs.py",
    r"^(trackstack runs export-table|python -c \"import duckdb)": "tests/tool/records/test_frames.py",
    r"^pip install ipykernel": "changes the person's Jupyter: tests/repository/test_notebook.py runs the notebook",
    r"^ssh ": "needs OSC",
    r"^tail -f": "ends with Ctrl-C",
}
# The experiment of several documents: typed once, in the repository that they all begin with.
EXPERIMENT = "dvc exp run -n lower-lr -S train.lr=0.001"
# Commands that take long and stand several times: by document, how they begin and where such a one is typed.
TYPED_ELSEWHERE = {
    "README.md": {
        "sbatch": "osc.md",
        "trackstack doctor": "osc.md",
        "trackstack predict": "results.md",
        "trackstack submit": "osc.md",
        "trackstack sweep": "osc.md",
        "dvc exp run -S train.lr": "tutorial.md",
        "dvc exp run -S dataset=": "own-data.md",
    },
    # Folds, and a training without validation, are typed above it; this is both at once.
    "experiments.md": {"trackstack sweep -S 'tensor_cache.fold=range(5)'": "experiments.md"},
    "tutorial.md": {
        "git clone": "README.md",
        "make repro": "README.md",
        "trackstack sweep": "experiments.md",
    },
}
# Typed by tests of their own.
OTHERS = {"cli.md", "your-project.md"}


def name_of(path: Path) -> str:
    """A document's path in the repository."""
    return str(path.relative_to(ROOT))


# Everything of it is typed: that is what it promises.
WHOLE = {"life-of-a-run.md"}


def not_run(command: Command) -> str | None:
    """The pattern of `NOT_RUN` that a command is of."""
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command.line)), None)


def typed_commands(document: Path) -> list[Command]:
    """The commands of a document that are typed for it."""
    elsewhere = tuple(TYPED_ELSEWHERE.get(document.name, ()))
    return [
        command
        for command in commands(document)
        if (document.name in WHOLE or not not_run(command))
        and command.line != EXPERIMENT
        and not command.line.startswith(elsewhere)
    ]


def build_origin(place: Path) -> None:
    """This repository with a tiny dataset under each of the sample's names, committed, reproduced; and an experiment."""
    folder = copy_checkout(place / "origin", NOT_NEEDED)
    entries = {}
    for name in ("sensor_v1", "sensor_v2"):
        write_recordings(folder / "data/raw" / name)
        entries[name] = TINY_ENTRY | {"path": f"data/raw/{name}"}
    (folder / "data/catalog.yaml").write_text(yaml.safe_dump({"datasets": entries}, sort_keys=False))
    cheap = {"dataset": "sensor_v2", "train": TINY_PARAMS["train"] | {"epochs": 1}}
    edit_yaml(folder / "params.yaml", TINY_PARAMS | cheap)
    run_in(folder, "dvc add -q data/raw/sensor_v1 data/raw/sensor_v2 && dvc remote add -f bundled data/bundled")
    for name in entries:
        pointer = folder / f"data/raw/{name}.dvc"
        content = yaml.safe_load(pointer.read_text())
        content["outs"][0]["remote"] = "bundled"
        pointer.write_text(yaml.safe_dump(content, sort_keys=False))
    run_in(folder, "dvc push -q -r bundled && TRACKSTACK_SINKS=sqlite dvc repro")
    run_in(folder, "git add -A && git commit -qm 'Tiny data'")
    said = run_in(folder, f"TRACKSTACK_SINKS=sqlite {EXPERIMENT}").stdout
    assert set(stages_run(said)) == stages_from(folder, "train")
    run_in(folder, "git checkout . && dvc checkout")


def write_recordings(folder: Path) -> None:
    """Named as the sample's files are."""
    write_tiny_recordings(folder)
    for file in folder.iterdir():
        file.rename(file.with_name(file.name.replace("_", "_0")))


def write_own_files(folder: Path) -> None:
    """What docs/own-data.md begins with: the files, and as many epochs as each dataset's entry says."""
    edit_yaml(folder / "params.yaml", {"train": {"epochs": None, "batch_size": None}})
    path, _ = table("european_wine", folder)
    text = path.read_bytes().replace(b"Raum;", b"Verkostung;", 1)
    (folder / "december").mkdir()
    for file in (folder / "weine.csv", folder / "december/weine.csv"):
        file.write_bytes(text)
    diabetes = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    diabetes.to_csv(folder / "diabetes.csv", index=False)
    lines = ["file,activity,person"]
    for person in ("p01", "p02", "p03", "p04"):
        (folder / "recordings" / person).mkdir(parents=True)
        for number, activity in enumerate(("run", "walk")):
            rows = [f"{(-1) ** (row * (2 - number) // 2)}.5,{row % 7}.25,{number}.125" for row in range(40)]
            (folder / f"recordings/{person}/{activity}_1.csv").write_text("\n".join(["x,y,z", *rows]) + "\n")
            lines.append(f"{person}/{activity}_1.csv,{activity},{person}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    visits = [
        f"{1 + row % 28:02}.{1 + row % 12:02}.2025,{('north', 'south', '')[row % 3]},{('new', 'old')[row // 2 % 2]},"
        f"{20 + row * 7 % 50},note {row},{('paid', 'open')[row % 3 > 1 or row % 7 == 0]}"
        for row in range(240)
    ]
    (folder / "visits.csv").write_text("\n".join(["day,region,client,age,remark,bill", *visits]) + "\n")
    pump = [
        f"2025-03-01T{row // 3600:02}:{row // 60 % 60:02}:{row % 60:02}Z,{(row * 37 % 100 - 50) * (1 + row // 500 % 2)},"
        f"{('calm', 'rough')[row // 500 % 2]}"
        for row in range(20_000)
    ]
    fruit = [[("ripe", "green")[row % 2], 40 + row % 7 + 30 * (row % 2), 1.5 + row % 5] for row in range(120)]
    head = [["state", "length", "mass"], ["", "mm", "g"]]
    write_workbook(folder / "fruit.xlsx", Data=head + fruit, Notes=[["weighed in May"]])
    (folder / "pump.csv").write_text("\n".join(["stamp,pressure,state", *pump]) + "\n")
