"""Split the flowers of iris into a part to learn from and a part to test on."""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

params = json.loads(Path("params.json").read_text())["prepare"]
x, y = load_iris(return_X_y=True)
split = train_test_split(x, y, test_size=params["test_size"], random_state=params["seed"], stratify=y)
np.savez("data.npz", **dict(zip(("x_train", "x_test", "y_train", "y_test"), split, strict=True)))
