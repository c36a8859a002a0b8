"""A training loop of your own with the record and the resuming of the pipeline: python docs/own_loop.py"""

import torch

import trackstack
from trackstack.system.stopping import Interrupted, Stop
from trackstack.training.checkpoint import Checkpoints, random_states, set_random_states

torch.manual_seed(0)
params = {"lr": 0.1, "steps": 10000}
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=params["lr"])

with Stop() as stop, trackstack.start_run("own-loop", params) as run:
    checkpoints = Checkpoints(run.folder / "checkpoints", run.id)
    begin = 0
    if checkpoint := checkpoints.load():
        begin, state = checkpoint
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        set_random_states(state["random"])
    for step in range(begin, params["steps"]):
        reason = stop.reason()
        if reason or checkpoints.due():
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": random_states()}
            checkpoints.save(step, state)
        if reason:
            raise Interrupted(reason)
        inputs = torch.randn(32, 4)
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 500 == 0:
            run.log({"train_loss": loss.item()}, step)
    checkpoints.remove()
print(f"weights {sum(p.double().sum().item() for p in model.parameters()):.12f}")
