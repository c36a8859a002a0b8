"""Models and tables for the tests of `predict`."""

import polars as pl
import pytest
import torch

from pipeline.modeling.base import MODELS, Shape, build_model
from pipeline.modeling.saved_model import save_model
from pipeline.predict.classifier import Classifier
from pipeline.windows.dataset import open_cache
from trackstack.core.params import Parameters


@pytest.fixture(scope="module")
def model(tiny_project):
    return str(tiny_project / "results/model")


@pytest.fixture(scope="module")
def table(tiny_project):
    """The raw file of the subject that evaluate measured."""
    (subject,) = open_cache(tiny_project / "data/cache").metadata["split"]["test"]
    return tiny_project / f"data/raw/tiny/subject_{subject}.csv"


@pytest.fixture(scope="module")
def evaluated(tiny_project):
    return pl.read_csv(tiny_project / "results/evaluation/predictions.csv")


@pytest.fixture
def tabular(tmp_path):
    """A model of rows, with random weights: one column may be missing, and one has a range."""
    features = [
        {"name": "size", "unit": "", "range": [0, 5], "missing": "reject"},
        {"name": "age", "unit": "", "range": None, "missing": "mean"},
    ]
    about = {"model": "mlp", "model_params": {"hidden": 4, "dropout": 0}, "features": features, "classes": ["1", "2"]}
    about |= {"window": 1, "stride": 1, "group": "site", "series": None, "mean": [1.0, 40.0], "std": [2.0, 9.0]}
    torch.manual_seed(0)
    model = build_model(
        "mlp", MODELS.params("mlp", Parameters({"models": {"mlp": about["model_params"]}})), Shape(2, 1, 2)
    )
    save_model(tmp_path / "model", model, about | {"run": "r1", "train": {"precision": "float32", "threads": 1}})
    return Classifier(tmp_path / "model")
