"""Lightning's own end of fit hides no signal, and its hyperparameters name the run."""

import importlib
import signal

import pytest
import torch

from trackstack.records.query import list_runs
from trackstack.tracking.run import start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's


@pytest.fixture
def loop():
    return importlib.import_module("support.lightning_loop")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_lightning_alone_takes_for_a_good_end_is_an_interruption(loop, home, number):
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit), start_run("mine") as run:
        loop.fit(run, loop.Send(number))
    assert [row["status"] for row in list_runs(home)] == ["interrupted"]
    assert signal.getsignal(signal.SIGTERM) is handlers[0]
    signal.signal(signal.SIGINT, handlers[1])  # Lightning leaves it ignored


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 1), (signal.SIGINT, 3)])
def test_a_signal_ends_fit_with_a_checkpoint_and_each_step_is_there_once(loop, home, points, number, step):
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as left, start_run("mine", {"lr": 0.1}) as run:
        loop.fit(run, loop.Send(number, step), loop.RunCallback(run), logger=loop.RunLogger(run))
    assert left.value.code == 75
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    with start_run("mine", {"lr": 0.1}) as run:
        assert loop.last_checkpoint(run) is not None
        loop.fit(run, loop.RunCallback(run), logger=loop.RunLogger(run), checkpoint=loop.last_checkpoint(run))
    assert [row["status"] for row in list_runs(home)] == ["finished"]
    assert sorted(step for name, step, _ in points(home) if name == "loss_step") == list(range(8))
    assert [step for name, step, _ in points(home) if name == "loss_epoch"] == [3, 7]


def test_hyperparameters_that_do_not_name_the_run_are_said(loop, home, capsys):
    with start_run("mine", {"model": 1, "lr": 0.25}) as run:
        loop.RunLogger(run).log_hyperparams({"lr": torch.tensor(0.25), "hidden": 8, "act": torch.nn.ReLU})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: run {run.id}: not in start_run's params, ")
    assert line.endswith(": hidden, act; type: start_run(name, {**params, **model.hparams})")
