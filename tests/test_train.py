"""Training: the same result for the same inputs, a run's name, the schedule, and what can go wrong."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, edit_yaml, run_in

from trackstack import UserError
from trackstack.loop import (
    Recipe,
    Surroundings,
    Trainer,
    batches,
    class_counts,
    out_of_patience,
    split_metrics,
    warmup_cosine,
)
from trackstack.losses import LOSSES
from trackstack.params import InitFrom, load_params
from trackstack.saved_model import load_model, predict_logits, save_model
from trackstack.train import describe, run_id
from trackstack.windows import TensorCache, WindowDataset, open_cache

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tiny_project):
    return open_cache(tiny_project / "data/cache")


@pytest.fixture
def params(tiny_project):
    return load_params(tiny_project / "params.yaml")


def recipe_of(params, **changes):
    sections = (params.models, params.losses, params.metrics)
    return Recipe.choose(params.train.model_copy(update=changes), *sections)


def fit_quietly(cache, params, **changes):
    history = []
    trainer = Trainer(cache, recipe_of(params, **changes), Surroundings())
    model, kept = trainer.fit(lambda epoch, figures: history.append(figures))
    return model, kept, history


def val_metrics(model, cache):
    return split_metrics(*predict_logits(model, WindowDataset(cache, "val"), CPU, "float32"), "val")


def test_the_same_inputs_give_the_same_weights_and_another_seed_others(cache, params):
    one, two, other = (fit_quietly(cache, params, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_model_of_the_best_epoch_is_kept_when_asked_for(cache, params):
    model, kept, history = fit_quietly(cache, params, epochs=6, keep="best")
    assert kept["val_loss"] == min(metrics["val_loss"] for metrics in history)
    assert val_metrics(model, cache)["val_loss"] == kept["val_loss"]


def test_the_model_of_the_last_epoch_is_kept_otherwise(cache, params):
    model, kept, history = fit_quietly(cache, params, epochs=6, keep="last")
    assert kept == {"epoch": 5, **history[-1]}
    assert val_metrics(model, cache)["val_loss"] == kept["val_loss"]


def test_it_learns(cache, params):
    # Strengths of its own: the shipped ones are chosen for people who move, not for the tiny data.
    mild = params.train.augment.model_copy(update={"gain": 0.1, "stretch": 0.1, "jitter": 0.1})
    _, kept, history = fit_quietly(cache, params, epochs=20, augment=mild)
    assert kept["val_loss"] < 0.7 * history[0]["val_loss"] or kept["val_accuracy"] == 1.0


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"loss": "focal"}, {"clip_norm": 0.1}, {"metric": "top_k"}]
)
def test_each_choice_trains_and_changes_the_result(cache, params, changes):
    _, plain, _ = fit_quietly(cache, params)
    _, other, _ = fit_quietly(cache, params, **changes)
    assert other != plain
    assert math.isfinite(other["val_loss"])


def test_balanced_class_weights_count_rare_classes_more(cache, params):
    counts = class_counts(cache)
    assert counts.sum() == len(cache.starts["train"])
    loss = LOSSES.module("cross_entropy")
    section = loss.Params(label_smoothing=0, class_weights="balanced")
    weights = loss.Loss(section, torch.tensor([30, 10])).weights_K
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0]))


def test_focal_loss_without_gamma_is_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    loss = LOSSES.module("focal")
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss.Loss(loss.Params(gamma=0), torch.ones(3))(logits, labels), expected)


def test_training_ends_early_when_patience_runs_out(cache, params):
    _, kept, history = fit_quietly(cache, params, epochs=40, lr=0.05, patience=2, keep="best")
    assert len(history) < 40
    assert kept["epoch"] == len(history) - 3
    losses = [{"val_loss": loss} for loss in (3, 2, 2, 2)]
    assert [out_of_patience(losses[:count], 2) for count in range(5)] == [False, False, False, False, True]
    assert not out_of_patience(losses, 0)


def test_training_can_start_from_the_weights_of_another_model(cache, params, tmp_path):
    model, kept, _ = fit_quietly(cache, params, epochs=6)
    recipe = recipe_of(params, epochs=6)
    save_model(tmp_path / "model", model, describe(cache, recipe, "r0", kept))
    digest = json.loads((tmp_path / "model/model.json").read_text())["digest"]
    start = InitFrom(folder=str(tmp_path / "model"), digest=digest)
    warm = Trainer(cache, recipe_of(params, init_from=start), Surroundings())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in warm.model.state_dict().items())
    with pytest.raises(UserError, match=f"train.init_from.digest is 'x', but .* has '{digest}'"):
        Trainer(cache, recipe_of(params, init_from=InitFrom(folder=start.folder, digest="x")), Surroundings())
    with pytest.raises(UserError, match=r"train\.init_from\.folder: nowhere/model\.safetensors cannot be read"):
        Trainer(cache, recipe_of(params, init_from=InitFrom(folder="nowhere", digest="x")), Surroundings())


def test_a_run_is_named_by_data_parameters_and_code(cache, params, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe = recipe_of(params)
    name = run_id(cache, recipe)
    assert name == run_id(cache, recipe)
    assert name[0] == "r"
    assert len(name) == 13
    assert run_id(cache, recipe_of(params, lr=0.5)) != name
    assert run_id(cache, recipe_of(params, loss="focal")) != name
    assert run_id(cache, replace(recipe, model=recipe.model.model_copy(update={"dropout": 0.9}))) != name
    other = TensorCache(**vars(cache) | {"metadata": cache.metadata | {"digest": "other"}})
    assert run_id(other, recipe) != name


def test_the_run_stands_in_model_json_and_follows_the_code(project, run):
    before = json.loads((project / "results/model/model.json").read_text())["run"]
    with (project / "src/trackstack/augment.py").open("a") as file:
        file.write("# edited\n")
    run(project, "dvc repro")
    assert json.loads((project / "results/model/model.json").read_text())["run"] != before


def test_the_learning_rate_rises_then_falls_to_zero(params):
    train = params.train.model_copy(update={"epochs": 10, "warmup": 0.2})
    factor = warmup_cosine(train, steps_per_epoch=10)
    values = [factor(step) for step in range(101)]
    assert values[0] == 1 / 20
    assert values[19] == values[20] == 1
    assert values[:20] == sorted(values[:20])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert values[100] == pytest.approx(0)


def test_without_warmup_the_rate_starts_at_its_peak(params):
    assert warmup_cosine(params.train.model_copy(update={"warmup": 0.0}), 10)(0) == 1


def test_a_loss_that_is_not_finite_is_one_line(cache, params):
    with pytest.raises(
        UserError, match=r"params\.yaml: the loss of step \d+ is not finite, at a .*; lower train\.lr"
    ):
        fit_quietly(cache, params, lr=1e30, warmup=0.0, epochs=5)


def test_a_saved_model_predicts_what_the_trained_one_did(tiny_project, cache):
    model, description = load_model(tiny_project / "results/model")
    metrics = val_metrics(model, cache)
    # This process neither pins the instruction set nor the threads: the last bits may differ.
    assert metrics == pytest.approx({name: description["kept"][name] for name in metrics}, rel=1e-5)


def test_a_missing_or_damaged_model_is_one_line(project):
    (project / "results/model/model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file; type: dvc repro train"):
        load_model(project / "results/model")
    (project / "results/model/model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(UserError, match=r"not a whole model \(.*\); type: dvc repro --force train"):
        load_model(project / "results/model")


def test_evaluate_refuses_a_model_of_another_cache(project, run):
    edit_yaml(project / "params.yaml", {"tensor_cache": {"fold": 1}})
    run(project, "dvc repro tensor_cache")
    arguments = "data/cache results/model results/live data/processed/profile.json out"
    command = f"env PYTHONPATH=src python -P stages/evaluate.py {arguments}"
    error = run(project, command, expect=1).stderr
    assert error.splitlines() == [
        "results/model: was trained on another tensor cache than data/cache; type: dvc repro"
    ]


def test_without_validation_people_the_pipeline_has_no_such_figures_and_works(project, run):
    printed = run(project, "dvc exp run -S tensor_cache.validation=false").stdout
    assert " train, " in printed
    assert " val" not in printed.split(" windows")[0]
    figures = json.loads((project / "results/live/metrics.json").read_text())
    assert "train_loss" in figures
    assert not [name for name in figures if name.startswith("val_")]
    description = json.loads((project / "results/model/model.json").read_text())
    assert description["kept"].keys() == {"epoch", "train_loss", "lr"}
    assert "validation" not in (project / "results/evaluation/report.html").read_text().split("Confusion matrix")[0]
    run(project, "dvc plots show -o plots")
    page = (project / "plots/index.html").read_text()
    for drawn in ("train_loss", "Confusion matrix", "Calibration"):
        assert drawn in page
    run(project, "dvc plots diff -o plots HEAD")


def test_dvclive_holds_every_epoch(tiny_project):
    lines = (tiny_project / "results/live/plots/metrics/val_accuracy.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "0", "1"]
    assert all(math.isfinite(float(line.split("\t")[1])) for line in lines[1:])


def test_training_on_two_threads_is_repeatable(tiny_project):
    script = (
        "import sys; sys.path.insert(0, 'src'); from pathlib import Path; import hashlib;"
        "from trackstack.loop import Recipe, Surroundings, Trainer; from trackstack.params import load_params;"
        "from trackstack.device import make_deterministic; from trackstack.windows import open_cache;"
        "from safetensors.torch import save; p = load_params(); make_deterministic(2);"
        "r = Recipe.choose(p.train, p.models, p.losses, p.metrics);"
        "m, _ = Trainer(open_cache(Path('data/cache')), r, Surroundings()).fit();"
        "print(hashlib.sha256(save(m.state_dict())).hexdigest())"
    )
    digests = {run_in(tiny_project, ["python", "-c", script]).stdout for _ in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize(("windows", "sizes"), [(10, [4, 4, 2]), (9, [4, 5]), (4, [4]), (1, [1]), (5, [5])])
def test_a_rest_of_one_window_joins_the_batch_before(windows, sizes):
    parts = batches(torch.arange(windows), 4)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(windows))
