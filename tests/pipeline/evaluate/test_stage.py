"""The stage `evaluate` refuses what does not belong together."""

import shutil

import pytest

from pipeline.evaluate.params import Params
from pipeline.evaluate.stage import evaluate
from trackstack import UserError
from trackstack.core.files import read_json, sealed, write_json


def test_a_model_of_another_cache_is_refused(tiny_project, tmp_path):
    shutil.copytree(tiny_project / "results/model", tmp_path / "model", copy_function=shutil.copyfile)
    file = tmp_path / "model/model.json"
    write_json(file, sealed(read_json(file, "") | {"reads": "another"}))
    cache, live = tiny_project / "data/cache", tiny_project / "results/live"
    profile = tiny_project / "data/processed/profile.json"
    with pytest.raises(UserError) as caught:
        evaluate(
            cache,
            tmp_path / "model",
            live,
            profile,
            tmp_path / "out",
            Params(calibration_bins=10, baselines=False, threads=1),
        )
    assert str(caught.value) == (
        f"{tmp_path}/model: was trained on another tensor cache than {cache}; type: dvc repro"
    )
    assert not (tmp_path / "out").exists()
