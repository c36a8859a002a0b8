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
    return save_classifier(tmp_path / "model", features, [1.0, 40.0], [2.0, 9.0])


@pytest.fixture
def colorful(tmp_path):
    """Another one, of a category and a time that may be missing, and a category that may not."""
    features = [
        {"name": "color", "kind": "category", "categories": ["red", "blue"], "missing": "mean"},
        {"name": "when", "kind": "time", "parts": ["hour", "days"], "missing": "mean"},
        {"name": "site", "kind": "category", "categories": ["1", "2"], "missing": "reject"},
    ]
    features = [{"unit": "", "range": None} | feature for feature in features]
    return save_classifier(tmp_path / "model", features, [0.5, 0.5, 12.0, 19000.0, 0.5, 0.5], [1, 1, 9, 50, 1, 1])


def save_classifier(folder, features, mean, std):
    about = {"model": "mlp", "model_params": {"hidden": 4, "dropout": 0}, "features": features, "classes": ["1", "2"]}
    about |= {"window": 1, "stride": 1, "group": "site", "series": None, "mean": mean, "std": std}
    torch.manual_seed(0)
    params = MODELS.params("mlp", Parameters({"models": {"mlp": about["model_params"]}}))
    model = build_model("mlp", params, Shape(len(mean), 1, 2))
    save_model(folder, model, about | {"run": "r1", "train": {"precision": "float32", "threads": 1}})
    return Classifier(folder)
