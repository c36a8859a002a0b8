"""Lightning's own end of fit hides no signal, and its hyperparameters name the run."""

import signal

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from trackstack.frameworks.lightning import RunCallback, RunLogger, last_checkpoint
from trackstack.records.query import list_runs
from trackstack.tracking.run import start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's


class Constant(lightning.LightningModule):
    def __init__(self, lr=0.1, act=torch.nn.ReLU):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


class Send(lightning.Callback):
    """Sends this process a signal at a step."""

    def __init__(self, number, step=3):
        self.number, self.step = number, step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.step = -1
            signal.raise_signal(self.number)


def fit(run, *callbacks, checkpoint=None, logger=False):
    options = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 2}
    trainer = lightning.Trainer(
        **options, callbacks=list(callbacks), logger=logger, enable_checkpointing=False, log_every_n_steps=1
    )
    trainer.fit(Constant(), DataLoader(torch.ones(8, 1), batch_size=2), ckpt_path=checkpoint)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_lightning_alone_takes_for_a_good_end_is_an_interruption(home, number):
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit), start_run("mine") as run:
        fit(run, Send(number))
    assert [row["status"] for row in list_runs(home)] == ["interrupted"]
    assert signal.getsignal(signal.SIGTERM) is handlers[0]
    signal.signal(signal.SIGINT, handlers[1])  # Lightning leaves it ignored


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 1), (signal.SIGINT, 3)])
def test_a_signal_ends_fit_with_a_checkpoint_and_each_step_is_there_once(home, points, number, step):
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as left, start_run("mine", {"lr": 0.1}) as run:
        fit(run, Send(number, step), RunCallback(run), logger=RunLogger(run))
    assert left.value.code == 75
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    with start_run("mine", {"lr": 0.1}) as run:
        assert last_checkpoint(run) is not None
        fit(run, RunCallback(run), logger=RunLogger(run), checkpoint=last_checkpoint(run))
    assert [row["status"] for row in list_runs(home)] == ["finished"]
    assert sorted(step for name, step, _ in points(home) if name == "loss_step") == list(range(8))
    assert [step for name, step, _ in points(home) if name == "loss_epoch"] == [3, 7]


def test_hyperparameters_that_do_not_name_the_run_are_said(home, capsys):
    with start_run("mine", {"model": 1, "lr": 0.25}) as run:
        RunLogger(run).log_hyperparams({"lr": torch.tensor(0.25), "hidden": 8, "act": torch.nn.ReLU})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: run {run.id}: not in start_run's params, ")
    assert line.endswith(": hidden, act; type: start_run(name, {**params, **model.hparams})")
