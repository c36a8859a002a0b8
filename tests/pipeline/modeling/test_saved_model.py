"""The model folder: whole, with the weights that it says, or refused in one line."""

import json
import shutil

import pytest
import torch

from pipeline.evaluate.params import Params
from pipeline.evaluate.stage import evaluate
from pipeline.modeling.saved_model import load_model, predict_outputs
from pipeline.predict.tables import predict
from pipeline.train.loop import split_metrics
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack import UserError


@pytest.fixture
def folder(tiny_project, tmp_path):
    """A copy of a model folder."""
    shutil.copytree(tiny_project / "results/model", tmp_path / "model", copy_function=shutil.copyfile)
    return tmp_path / "model"


def test_a_saved_model_predicts_what_the_trained_one_did(tiny_project):
    model, description = load_model(tiny_project / "results/model")
    windows = WindowDataset(open_cache(tiny_project / "data/cache"), "val")
    metrics = split_metrics(*predict_outputs(model, windows, torch.device("cpu"), "float32"), "val")
    # This process neither pins the instruction set nor the threads: the last bits may differ.
    assert metrics == pytest.approx({name: description["kept"][name] for name in metrics}, rel=1e-5)


def test_a_missing_or_damaged_model_is_one_line(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(
        UserError, match=r"model\.safetensors: damaged \(.*\); type: trackstack repair .* && dvc repro$"
    ):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file; type: trackstack repair"):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(whole)
    description = json.loads((folder / "model.json").read_text())
    del description["digest"], description["checksum"]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"not a whole model \('digest'\)"):
        load_model(folder)


def test_weights_with_one_flipped_bit_are_refused_by_everybody_who_loads_them(folder, tiny_project, tmp_path):
    content = bytearray((folder / "model.safetensors").read_bytes())
    digest = json.loads((folder / "model.json").read_text())["digest"]
    content[-1000] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    expected = (
        rf"^{folder}/model\.safetensors: damaged or replaced: the digest of its weights is [0-9a-f]{{12}}, but "
        rf"model\.json says {digest}; type: trackstack repair {folder} && dvc repro$"
    )
    with pytest.raises(UserError, match=expected):
        load_model(folder)
    with pytest.raises(UserError, match=expected):
        predict(tiny_project / "data/raw/tiny/subject_1.csv", str(folder))
    profile, live = tiny_project / "data/processed/profile.json", tiny_project / "results/live"
    with pytest.raises(UserError, match=expected):
        evaluate(
            tiny_project / "data/cache",
            folder,
            live,
            profile,
            tmp_path / "out",
            Params(calibration_bins=10, baselines=False, threads=1),
        )
    assert not (tmp_path / "out").exists()


def test_a_flipped_bit_anywhere_in_the_file_is_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    for place in [*range(0, 400, 7), *range(400, len(whole), len(whole) // 50), len(whole) - 1]:
        content = bytearray(whole)
        content[place] ^= 1
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="type: trackstack repair"):
            load_model(folder)
    (folder / "model.safetensors").write_bytes(whole)
    load_model(folder)
