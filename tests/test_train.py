"""Training: the same result for the same inputs, a run's name, the schedule, and what can go wrong."""

import json
import math

import pytest
import torch
from conftest import ROOT, edit_yaml, run_in

from trackstack import UserError
from trackstack.models import model_params
from trackstack.params import load_params
from trackstack.saved_model import load_model
from trackstack.train import batches, fit, run_id, split_metrics, warmup_cosine
from trackstack.windows import TensorCache, WindowDataset, open_cache


@pytest.fixture(scope="module")
def cache(tiny_project):
    return open_cache(tiny_project / "data/cache")


@pytest.fixture
def params(tiny_project):
    return load_params(tiny_project / "params.yaml")


def fit_quietly(cache, params, **changes):
    own = model_params(params.train.model, params.models)
    history = []
    model, kept = fit(cache, params.train.model_copy(update=changes), own, lambda epoch, m: history.append(m))
    return model, kept, history


def test_the_same_inputs_give_the_same_weights_and_another_seed_others(cache, params):
    one, two, other = (fit_quietly(cache, params, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_model_of_the_best_epoch_is_kept_when_asked_for(cache, params):
    model, kept, history = fit_quietly(cache, params, epochs=6, keep="best")
    assert kept["val_loss"] == min(metrics["val_loss"] for metrics in history)
    assert split_metrics(model, WindowDataset(cache, "val"), "val")["val_loss"] == kept["val_loss"]


def test_the_model_of_the_last_epoch_is_kept_otherwise(cache, params):
    model, kept, history = fit_quietly(cache, params, epochs=6, keep="last")
    assert kept == {"epoch": 5, **history[-1]}
    assert split_metrics(model, WindowDataset(cache, "val"), "val")["val_loss"] == kept["val_loss"]


def test_it_learns(cache, params):
    _, kept, history = fit_quietly(cache, params, epochs=20)
    assert kept["val_loss"] < 0.7 * history[0]["val_loss"] or kept["val_accuracy"] == 1.0


def test_a_run_is_named_by_data_parameters_and_code(cache, params, monkeypatch):
    monkeypatch.chdir(ROOT)
    own = model_params("cnn", params.models)
    name = run_id(cache, params.train, own)
    assert name == run_id(cache, params.train, own)
    assert name[0] == "r"
    assert len(name) == 13
    assert run_id(cache, params.train.model_copy(update={"lr": 0.5}), own) != name
    assert run_id(cache, params.train, own.model_copy(update={"dropout": 0.9})) != name
    other = TensorCache(**vars(cache) | {"metadata": cache.metadata | {"digest": "other"}})
    assert run_id(other, params.train, own) != name


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
        UserError, match=r"params\.yaml: the train_loss of epoch \d+ is (nan|inf), .*; lower train\.lr"
    ):
        fit_quietly(cache, params, lr=1e30, warmup=0.0, epochs=5)


def test_a_saved_model_predicts_what_the_trained_one_did(tiny_project, cache):
    model, description = load_model(tiny_project / "results/model")
    metrics = split_metrics(model, WindowDataset(cache, "val"), "val")
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
    command = "env PYTHONPATH=src python -P stages/evaluate.py data/cache results/model out"
    error = run(project, command, expect=1).stderr
    assert error.splitlines() == [
        "results/model: was trained on another tensor cache than data/cache; type: dvc repro"
    ]


def test_dvclive_holds_every_epoch(tiny_project):
    lines = (tiny_project / "results/live/plots/metrics/val_accuracy.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "0", "1"]
    assert all(math.isfinite(float(line.split("\t")[1])) for line in lines[1:])


def test_training_on_one_thread_or_two_is_repeatable(tiny_project):
    script = (
        "import sys; sys.path.insert(0, 'src'); from pathlib import Path; import hashlib;"
        "from trackstack.train import fit; from trackstack.params import load_params;"
        "from trackstack.models import model_params; from trackstack.windows import open_cache;"
        "from safetensors.torch import save; p = load_params();"
        "m, _ = fit(open_cache(Path('data/cache')), p.train.model_copy(update={'threads': 2}),"
        " model_params('cnn', p.models), lambda *a: None);"
        "print(hashlib.sha256(save(m.state_dict())).hexdigest())"
    )
    digests = {run_in(tiny_project, ["python", "-c", script]).stdout for _ in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize(("windows", "sizes"), [(10, [4, 4, 2]), (9, [4, 5]), (4, [4]), (1, [1]), (5, [5])])
def test_a_rest_of_one_window_joins_the_batch_before(windows, sizes):
    parts = batches(torch.arange(windows), 4)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(windows))
