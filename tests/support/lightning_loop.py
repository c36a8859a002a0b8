"""A training with Lightning, whose import takes five seconds: only where it is tested."""

from __future__ import annotations

import signal

import lightning
import torch
from torch.utils.data import DataLoader

from trackstack.frameworks.lightning import RunCallback, RunLogger, last_checkpoint

__all__ = ["RunCallback", "RunLogger", "Send", "fit", "last_checkpoint"]


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
