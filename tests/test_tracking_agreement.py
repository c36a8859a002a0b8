"""One run of the real pipeline, read back from everything that records it."""

import csv

import pytest
from tracking_runs import EVERYTHING, in_back_ends, in_journals, wait_until_nobody_delivers


def in_dvclive(project, key):
    """The curves that the stage `train` wrote: the others get `evaluate`'s figures as well."""
    for file in (project / "results/live/plots/metrics").rglob("*.tsv"):
        with file.open(newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                yield key, file.stem, int(row["step"]), float(row[file.stem])


def test_every_back_end_and_dvclive_tell_the_same_series(project, run):
    pytest.importorskip("wandb")
    run(project, f"TRACKSTACK_SINKS={','.join(EVERYTHING)} dvc repro --force --no-run-cache")
    wait_until_nobody_delivers(project)
    run(project, "trackstack sync")
    expected = sorted(in_journals(project))
    key = expected[0][0]
    for name, found in in_back_ends(project, EVERYTHING).items():
        assert found == expected, name
    curves = [point for point in expected if not point[1].startswith("test_")]
    assert sorted(in_dvclive(project, key)) == curves
    assert {name for _, name, _, _ in curves} >= {"train_loss", "val_loss", "val_accuracy", "lr"}
    assert {step for _, _, step, _ in curves} == {0, 1}
