"""A training with Lightning."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset


class Line(lightning.LightningModule):
    """Adds four numbers."""

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        """The loss of a batch."""
        (inputs,) = batch
        loss = (self.layer(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


lightning.seed_everything(0)
params = {"lr": 0.1, "epochs": 4}
data = DataLoader(TensorDataset(torch.randn(512, 4)), batch_size=32, shuffle=True)
options = {"accelerator": "cpu", "log_every_n_steps": 4, "enable_progress_bar": False}

trainer = lightning.Trainer(max_epochs=params["epochs"], **options)
trainer.fit(Line(params["lr"]), data)
