"""A loop in plain PyTorch."""

import torch

torch.manual_seed(0)
params = {"lr": 0.1, "steps": 2000}
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=params["lr"])

for step in range(params["steps"]):
    inputs = torch.randn(32, 4)
    loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(step, loss.item())
print(f"weights {sum(p.double().sum().item() for p in model.parameters()):.12f}")
