"""Rows to labels: where a recording ends, and what a row must be."""

import shutil

import numpy as np
import pytest

from pipeline.predict.classifier import Classifier
from trackstack import UserError
from trackstack.core.files import read_json, sealed, write_json


def test_without_groups_the_series_alone_ends_a_recording(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    assert Classifier(tmp_path / "model").key_columns() == ["subject", "recording"]
    file = tmp_path / "model/model.json"
    write_json(file, sealed(read_json(file, "") | {"group": None}))
    assert Classifier(tmp_path / "model").key_columns() == ["recording"]


def test_a_row_is_a_sample_where_there_is_no_series(tabular):
    found = tabular.classify({"age": np.array([np.nan, 40.0, 3.0]), "size": np.array([1, 1, 5])})
    assert found["row"].tolist() == [0, 1, 2]
    assert found["p_1"][0] == found["p_1"][1], "what may be missing is the mean of the training rows"
    with pytest.raises(UserError, match=r"^row 1: size is 6; expected a number from 0 to 5$"):
        tabular.classify({"age": np.array([1.0, 1.0]), "size": np.array([1, 6])})


def test_a_time_is_a_datetime_or_its_seconds_and_an_unknown_category_is_missing(colorful):
    when = np.array(["2022-01-09T18:00:00.5", "NaT", "2022-01-09T18:00:00.5"], "datetime64[ms]")
    columns = {
        "color": np.array(["red", None, "green"], object),
        "when": when,
        "site": np.array(["1", "1", "1"], object),
    }
    found = colorful.classify(columns)
    assert colorful.unknown_notes(columns) == ["1 value of color is unknown (green): taken for missing"]
    seconds = columns | {"when": np.array([1641751200.5, np.nan, 1641751200.5])}
    seconds["color"] = np.array(["red", np.nan, None], object)
    assert colorful.classify(seconds)["p_1"].tolist() == found["p_1"].tolist()
    assert colorful.unknown_notes(seconds) == []
    for site, shown in (("3", "3"), (None, "missing")):
        with pytest.raises(UserError, match=rf"^row 1: site is {shown}; expected one of 1, 2$"):
            colorful.classify(columns | {"site": np.array(["1", site, "1"], object)})
