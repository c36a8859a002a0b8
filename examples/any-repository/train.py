"""Fit a linear classifier, epoch by epoch."""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier

params = json.loads(Path("params.json").read_text())["train"]
data = np.load("data.npz")
x, y = data["x_train"], data["y_train"]
model = SGDClassifier(loss="log_loss", alpha=params["alpha"], random_state=params["seed"])
for epoch in range(params["epochs"]):
    model.partial_fit(x, y, classes=[0, 1, 2])
    print(epoch, model.score(x, y))
np.savez("model.npz", coef=model.coef_, intercept=model.intercept_)
