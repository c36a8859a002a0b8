"""Models and tables for the tests of `predict`."""

import polars as pl
import pytest
from support.classifiers import save_random_model

from pipeline.predict.classifier import Classifier
from pipeline.windows.dataset import open_cache


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
    return Classifier(save_random_model(folder, features, mean=mean, std=std, group="site"))
