"""The stage `check` refuses a dataset, model, loss or metric that does not exist; other faults are other stages' own."""

import pytest
from support.projects import write_reference

from pipeline.check.stage import check_choices
from pipeline.modeling.base import LOSSES, METRICS, MODELS
from trackstack import UserError
from trackstack.core.params import Parameters

GOOD = {"dataset": "sensor_v2", "train": {"model": "cnn", "loss": "focal", "metric": "top_k", "lr": "fast"}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "rnn"}, f"train.model is 'rnn'; expected one of {', '.join(MODELS.names())} (each is a file in src/pipeline/models)"),
        ({"loss": "mse"}, f"train.loss is 'mse'; expected one of {', '.join(LOSSES.names())} (each is a file in src/pipeline/losses)"),
        ({"metric": "auc"}, f"train.metric is 'auc'; expected one of {', '.join(METRICS.names())} (each is a file in src/pipeline/metrics)"),
    ],
)  # fmt: skip
def test_a_choice_that_does_not_exist_is_answered_with_those_there_are(tmp_path, monkeypatch, change, expected):
    write_reference(tmp_path)
    monkeypatch.chdir(tmp_path)
    params = Parameters({**GOOD, "train": GOOD["train"] | change})
    with pytest.raises(UserError) as caught:
        check_choices(params)
    assert str(caught.value) == f"params.yaml: {expected}"


def test_what_it_looks_at_is_what_dvc_yaml_lists(tmp_path, monkeypatch):
    write_reference(tmp_path)
    monkeypatch.chdir(tmp_path)
    params = Parameters(GOOD)
    check_choices(params)
    assert params.used == {"dataset", "train.model", "train.loss", "train.metric"}


def test_a_loss_for_another_task_than_the_datasets_is_refused(tmp_path, monkeypatch):
    write_reference(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check_choices(Parameters({**GOOD, "train": GOOD["train"] | {"loss": "huber"}}))
    assert str(caught.value) == (
        "params.yaml: train.loss is 'huber', which is for regression; the task of sensor_v2 is classification: expected "
        "focal or likelihood; type: dvc exp run -S train.loss=likelihood"
    )
