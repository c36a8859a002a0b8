"""The loop: the same result for the same inputs, which epoch is kept, and what can go wrong."""

import json
import math
from dataclasses import replace

import pytest
import torch

from pipeline.modeling.saved_model import predict_outputs, save_model
from pipeline.train.loop import Runtime, Trainer, class_counts, out_of_patience, split_metrics
from pipeline.train.stage import describe
from pipeline.windows.dataset import WindowDataset
from trackstack import UserError


def fit(cache, config):
    history = []
    model, kept = Trainer(cache, config, Runtime()).fit(lambda epoch, figures: history.append(figures))
    return model, kept, history


def val_metrics(model, cache):
    return split_metrics(*predict_outputs(model, WindowDataset(cache, "val"), torch.device("cpu"), "float32"), "val")


@pytest.fixture(scope="module")
def plain(cache, choose):
    """The weights and figures of the configuration as it is."""
    model, kept, _ = fit(cache, choose())
    return model.state_dict(), kept


def test_the_same_inputs_give_the_same_weights_and_another_seed_others(cache, choose, plain):
    weights, _ = plain
    again, other = (fit(cache, choose(seed=seed))[0].state_dict() for seed in (0, 1))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not all(torch.equal(weights[name], other[name]) for name in weights)


def test_training_on_two_threads_is_repeatable(cache, choose, settings_of_torch):
    torch.set_num_threads(2)
    first, second = (fit(cache, choose())[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_model_of_the_wanted_epoch_is_kept(cache, choose, keep):
    model, kept, history = fit(cache, choose(epochs=6, keep=keep))
    epoch = 5 if keep == "last" else min(range(6), key=lambda epoch: history[epoch]["val_loss"])
    assert kept == {"epoch": epoch, **history[epoch]}
    assert val_metrics(model, cache)["val_loss"] == kept["val_loss"]


def test_it_learns(cache, choose):
    # Strengths of its own: the shipped ones are chosen for people who move, not for the tiny data.
    mild = choose().train.augment.model_dump() | {"gain": 0.1, "stretch": 0.1, "jitter": 0.1}
    _, kept, history = fit(cache, choose(epochs=20, augment=mild))
    assert kept["val_loss"] < 0.7 * history[0]["val_loss"] or kept["val_accuracy"] == 1.0


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"loss": "focal"}, {"clip_norm": 0.1}, {"metric": "f_beta"}]
)
def test_each_choice_trains_and_changes_the_result(cache, choose, plain, changes):
    _, kept, _ = fit(cache, choose(**changes))
    assert kept != plain[1]
    assert math.isfinite(kept["val_loss"])


def test_every_training_window_is_counted_in_its_class(cache):
    assert class_counts(cache).sum() == len(cache.starts["train"])


def test_training_ends_early_when_patience_runs_out(cache, choose):
    _, kept, history = fit(cache, choose(epochs=40, lr=0.05, patience=2, keep="best"))
    assert len(history) < 40
    assert kept["epoch"] == len(history) - 3
    losses = [{"val_loss": loss} for loss in (3, 2, 2, 2)]
    assert [out_of_patience(losses[:count], 2) for count in range(5)] == [False, False, False, False, True]
    assert not out_of_patience(losses, 0)


def test_training_can_start_from_the_weights_of_another_model(cache, choose, tmp_path):
    config = choose(epochs=6)
    model, kept, _ = fit(cache, config)
    save_model(tmp_path / "model", model, describe(cache, config, "r0", kept))
    digest = json.loads((tmp_path / "model/model.json").read_text())["digest"]
    folder = str(tmp_path / "model")

    def start(folder, digest):
        return Trainer(cache, choose(init_from={"folder": folder, "digest": digest}), Runtime())

    weights = start(folder, digest).model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    with pytest.raises(UserError, match=f"train.init_from.digest is 'x', but .* has '{digest}'"):
        start(folder, "x")
    with pytest.raises(UserError, match=r"train\.init_from\.folder: nowhere/model\.safetensors: no such file"):
        start("nowhere", "x")


def test_a_loss_that_is_not_finite_is_one_line(cache, choose):
    config = choose(warmup=0.0, epochs=5)
    config = replace(config, train=config.train.model_copy(update={"lr": 1e30}))
    expected = r"params\.yaml: the loss of step \d+ is not finite, at a .*; lower train\.lr"
    with pytest.raises(UserError, match=expected):
        fit(cache, config)
