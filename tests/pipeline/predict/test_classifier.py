"""Rows to labels: where a recording ends, and what a row must be."""

import json
import shutil

import numpy as np
import pytest

from pipeline.predict.classifier import Classifier
from trackstack import UserError


def test_without_groups_the_series_alone_ends_a_recording(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    assert Classifier(tmp_path / "model").key_columns() == ["subject", "recording"]
    file = tmp_path / "model/model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"group": None}))
    assert Classifier(tmp_path / "model").key_columns() == ["recording"]


def test_a_row_is_a_sample_where_there_is_no_series(tabular):
    found = tabular.classify({"age": np.array([np.nan, 40.0, 3.0]), "size": np.array([1, 1, 5])})
    assert found["row"].tolist() == [0, 1, 2]
    assert found["p_1"][0] == found["p_1"][1], "what may be missing is the mean of the training rows"
    with pytest.raises(UserError, match=r"^row 1: size is 6; expected a number from 0 to 5$"):
        tabular.classify({"age": np.array([1.0, 1.0]), "size": np.array([1, 6])})
