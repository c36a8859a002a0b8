"""A loop in plain PyTorch."""

import torch

from trackstack.frameworks.pytorch import resumable, start_run

torch.manual_seed(0)
params = {"lr": 0.1, "steps": 2000}
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=params["lr"])

with start_run("own-loop", params) as run:
    for step in resumable(range(params["steps"]), run, model=model, optimizer=optimizer):
        inputs = torch.randn(32, 4)
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            run.log({"train_loss": loss}, step)
print(f"weights {sum(p.double().sum().item() for p in model.parameters()):.12f}")
