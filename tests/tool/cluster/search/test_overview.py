"""One look at sweeps and searches: a name of either in both commands, with the same keys."""

import json
import os

import pytest
from support.projects import run_in
from support.searches import ended, failed, search_in, spent, suggested
from typer.testing import CliRunner

from trackstack.cli import app
from trackstack.cluster.search.log import DecisionLog
from trackstack.cluster.sweep import SHARED, Sweep, Trial, TrialStatus

SHOWN = {"trial", "parameters", "state", "reason", "attempts", "job", "run", "seconds"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """With a search `s` and a newer sweep `w`, in both of which one trial has finished and one has failed."""
    run_in(tmp_path, "git init -q && git commit -q --allow-empty -m First")
    commit = run_in(tmp_path, "git rev-parse HEAD").stdout.strip()
    search = search_in(tmp_path, prune="none")
    DecisionLog(search.log).append(
        suggested(0), spent(0, 0.5), ended(0, 0.25), suggested(1), spent(1, 0.5), failed(1)
    )
    search.sweep.write("s-0000", TrialStatus("finished", run="r1", job="7_0", seconds=1800.0))
    search.sweep.write(SHARED, TrialStatus("finished", attempts=1, job="6"))
    trials = [Trial("w-1", ["lr=0.1"]), Trial("w-2", ["lr=0.2"])]
    sweep = Sweep(tmp_path / "runs/.sweeps/w", tmp_path, commit, trials, 3, {}, ["prepare"], tmp_path / "cache")
    sweep.save()
    run_in(tmp_path, f"git update-ref refs/exps/{commit[:2]}/{commit[2:]}/w-1 HEAD")
    sweep.write("w-1", TrialStatus("finished", attempts=1, job="7_0", run="r1", seconds=1800.0))
    sweep.write("w-2", TrialStatus("failed", "the train_loss is nan", attempts=1))
    sweep.write(SHARED, TrialStatus("finished", attempts=1, job="6"))
    os.utime(search.sweep.folder / "sweep.json", (0, 0))
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def said(*arguments):
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("command", ["sweep", "search"])
def test_a_name_of_either_kind_is_shown_by_either_command(home, command, path_without_slurm, monkeypatch):
    monkeypatch.setenv("PATH", path_without_slurm)  # Slurm is asked of what is not settled alone
    of_sweep = said(command, "status", "w").splitlines()
    assert [line.split() for line in of_sweep] == [
        ["trial", "parameters", "state", "attempts", "job", "s", "reason"],
        ["shared", "prepare", "finished", "1", "6", "0.0"],
        ["w-1", "lr=0.1", "finished", "1", "7_0", "1800.0"],
        ["w-2", "lr=0.2", "failed", "1", "0.0", "the", "train_loss", "is", "nan"],
        ["1", "finished,", "1", "failed", "(1", "not", "finite)"],
    ]
    of_search = said(command, "status", "s").splitlines()
    assert [line.split() for line in of_search] == [
        ["trial", "parameters", "state", "steps", "val_loss", "attempts", "job", "s", "reason"],
        ["shared", "finished", "1", "6", "0.0"],
        ["0", "lr=0.01", "seed=0", "finished", "0.25", "1", "7_0", "1800.0"],
        ["1", "lr=0.01", "seed=0", "failed", "1", "0.0", "the", "train_loss", "is", "nan"],
        ["2", "of", "10", "trials:", "1", "finished,", "1", "failed", "(1", "not", "finite)"],
    ]
    assert said(command, "status").splitlines() == of_sweep, "the newest"


def test_what_means_the_same_has_the_same_key(home):
    of_sweep, of_search = (json.loads(said("sweep", "status", name, "--json")) for name in ("w", "s"))
    assert (of_sweep["sweep"], of_search["search"]) == ("w", "s")
    assert set(of_sweep["shared"]) == set(of_search["shared"]) == SHOWN
    first, of_sampler = of_sweep["trials"][0], of_search["trials"][0]
    assert set(first) == SHOWN
    assert set(of_sampler) == SHOWN | {"values", "steps", "metrics", "hours"}
    assert of_sampler["metrics"] == {"val_loss": 0.25}
    same = SHOWN - {"trial", "parameters"}
    assert {key: first[key] for key in same} == {key: of_sampler[key] for key in same}
