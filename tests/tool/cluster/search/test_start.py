"""What keeps a search from starting: each is one line that says what to type, and nothing is written."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import yaml
from support.processes import started, until
from support.projects import command_environment
from support.searches import search_in
from typer.testing import CliRunner

from trackstack.cli import app
from trackstack.cluster.search import sampler
from trackstack.cluster.search.start import prepare, search_locally
from trackstack.cluster.search.units import workers
from trackstack.system.lease import take_lease

PARAMS = {"lr": 0.1, "epochs": 3, "optimizer": {"momentum": 0.9}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a search is typed; it is no repository yet, which is looked at last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKSTACK_HOME", raising=False)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    return tmp_path


def refusal(space, *options, metric="val_loss"):
    """What is said when a search over a space is typed, in this process."""
    Path("s.yaml").write_text(space if isinstance(space, str) else json.dumps(space))
    given = ["search", "s.yaml", "--trials", "3", "--metric", metric, *options]
    done = CliRunner().invoke(app, [*given, "--local"])
    assert done.exit_code, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removesuffix("\n")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("lrr: {range: [0.1, 1.0]}", "s.yaml: lrr: params.yaml has no such parameter"),
        ("optimizer.beta: {range: [0.1, 1.0]}", "s.yaml: optimizer.beta: params.yaml has no such parameter"),
        ("conf.json:lr: {range: [0.1, 1.0]}", "s.yaml: conf.json:lr: conf.json: no such file"),
        ("lr: {range: [1.0, 0.1]}", "s.yaml: lr: [1.0, 0.1] is empty; expected the lower end first"),
        ("lr: {log: [0.0, 1.0]}", "s.yaml: lr: 0.0 has no logarithm; expected ends above 0, or range"),
        (
            "epochs: {range: [1, 8], step: 2}",
            "s.yaml: epochs: step 2 does not lead from 1 to 8; expected an end like",
        ),
        ("lr: {range: [0, 1]}", "s.yaml: lr: whole numbers from 0 to 1, or all between them? It is 0.1 now; write"),
        ("", "s.yaml: expected a line for each parameter, such as  train.lr: {log: [1e-4, 1e-1]}"),
        ("lr: {range: [0.1", "s.yaml: line 1"),
    ],
)
def test_a_space_that_the_project_does_not_take_is_refused(folder, space, said):
    assert refusal(space).startswith(said)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rungs", "3,1"), "--rungs 3,1: expected numbers that rise, such as 2,6,18"),
        (("--rungs", "a"), "--rungs a: expected numbers that rise, such as 2,6,18"),
        (("--sampler", "cmaes"), "--sampler cmaes: expected one of tpe, random, quasi-random, grid"),
        (("--prune", "hyperband"), "--prune hyperband: expected one of none, asha, median"),
        (("--sampler", "grid"), "s.yaml: lr: a grid needs a choice, whole numbers, or a step"),
        (
            ("--metric", "val_accuracy", "--prune", "asha"),
            "--prune asha: compares one metric, and two are given; type:",
        ),
        (("--slice", "1:00:00"), "--local: runs -j trials at a time; --max-parallel and --slice are for SLURM"),
        (("--over", "seed=range("), "-S seed=range(: "),
    ],
)
def test_an_option_that_does_not_fit_is_refused(folder, options, said):
    assert refusal("lr: {range: [0.1, 1.0]}", *options).startswith(said)
    assert not (folder / "runs").exists()


def test_a_metric_of_the_test_split_or_without_a_direction_is_refused(folder):
    space = "lr: {range: [0.1, 1.0]}"
    said = refusal(space, metric="test_accuracy")
    assert said == "--metric test_accuracy: of the test split; choose on validation, as by val_loss"
    said = refusal(space, metric="score_of_ours")
    assert said == "--metric score_of_ours: which end is better? Add --minimize or --maximize"
    assert not (folder / "runs").exists()


def test_a_sampler_whose_package_is_absent_is_refused_with_the_extra_that_has_it(folder, monkeypatch):
    monkeypatch.setitem(sampler.PACKAGES, "tpe", ("a_package_that_nobody_has",))
    said = refusal("lr: {range: [0.1, 1.0]}")
    assert said == (
        "--sampler tpe: a_package_that_nobody_has is not installed; type: pip install 'trackstack[search]'"
    )
    assert not (folder / "runs").exists()


def test_a_search_that_has_begun_is_not_changed_by_what_is_typed(folder):
    search = search_in(folder)
    log = search.log.read_bytes()
    options = ("--sampler", "random", "--prune", "asha")
    space = search.settings.space
    again = "put it back, or begin another search: --name s-2"
    wider = space | {"lr": {"log": [1e-5, 1e-1]}}
    assert refusal(wider, *options) == f"s.yaml: lr: not as it was when search s began; {again}"
    more = space | {"epochs": {"range": [1, 3]}}
    assert refusal(more, *options) == f"s.yaml: epochs: not as it was when search s began; {again}"
    fewer = {"lr": space["lr"]}
    assert refusal(fewer, *options) == f"s.yaml: seed: not as it was when search s began; {again}"
    turned = dataclasses.replace(search.settings, space=dict(reversed(space.items())))
    assert list(prepare(turned, Path("s.yaml"), None).settings.space) == list(space), "its own order is kept"
    said = refusal(space, *options, metric="val_accuracy")
    assert said == ("search s: began with another metrics (val_loss); type that, or begin another search: --name s-2")
    said = refusal(space, "--sampler", "random")
    assert said == "search s: began with another prune (asha); type that, or begin another search: --name s-2"
    assert search.log.read_bytes() == log


def test_a_command_that_finds_the_worker_of_one_that_was_killed_waits_for_its_end(tmp_path):
    """Else two would be at work where one was asked for, and trials would end in another order."""
    search = search_in(tmp_path)
    code = "import sys; from pathlib import Path; from trackstack.system.lease import take_lease\n"
    code += "take_lease(Path(sys.argv[1])); print('at work', flush=True); sys.stdin.read()"
    command = ["python", "-P", "-c", code, str(workers(search) / "worker-0")]
    said = []
    read, write = os.pipe()
    with started(command, env=command_environment(), stdin=read) as worker:
        os.close(read)
        assert worker.stdout.readline() == "at work\n"

        def report(line):
            said.append(line)
            os.close(write)  # it ends
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search_locally(search, 1, report)
    (line,) = said
    assert line.startswith("waiting for worker-0 of a command that was killed; its log: ")
    until(lambda: worker.poll() is not None, "its end")
    take_lease(workers(search) / "worker-0")
