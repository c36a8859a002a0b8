"""A regression through all stages: figures in own units, tables, report, and the same numbers from predict."""

import json
import math
import os

import numpy as np
import polars as pl
import pytest
from support.amounts import PRICE, TAX, choose, through_all_stages

from pipeline.evaluate.figures import Classification, measure
from pipeline.evaluate.params import Params
from pipeline.modeling.saved_model import load_model
from pipeline.predict.classifier import Classifier
from pipeline.predict.tables import predict
from pipeline.train.loop import Runtime, Trainer
from pipeline.train.stage import train
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack import UserError
from trackstack.system.stopping import Interrupted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, outside of git and DVC, as a notebook's."""
    folder = tmp_path_factory.mktemp("houses")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("TRACKSTACK_", "DVC_", "SLURM_", "TORCHELASTIC_")):
                patch.delenv(name)
        patch.setenv("TRACKSTACK_SINKS", "")
        yield folder


@pytest.fixture(scope="module")
def one(folder):
    return through_all_stages(folder / "one")


@pytest.fixture(scope="module")
def two(folder):
    return through_all_stages(folder / "two", (PRICE, TAX), loss="huber")


def metrics(houses):
    return json.loads((houses.evaluation / "metrics.json").read_text())


def test_it_learns_and_its_figures_are_in_the_targets_units(one):
    found, rows = metrics(one), pl.read_csv(one.evaluation / "predictions.csv")
    error = (rows["predicted"] - rows["actual"]).to_numpy()
    assert found["test_r2"] > 0.9
    assert found["test_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert found["test_rmse"] == pytest.approx(math.sqrt(np.square(error).mean()), rel=1e-4)
    assert found["test_windows"] == rows.height == 18
    (group, mae, count) = pl.read_csv(one.evaluation / "per_group.csv").row(0)
    assert (group, count) == (4, 18)
    assert mae == pytest.approx(found["test_mae"])
    kept = json.loads((one.model / "model.json").read_text())["kept"]
    assert {"train_loss", "val_loss", "val_mae", "val_rmse", "val_r2"} <= kept.keys()
    assert "val_top_k" not in kept, "a metric of classes"


def test_several_targets_have_columns_and_figures_each(two):
    rows = pl.read_csv(two.evaluation / "predictions.csv")
    assert rows.columns == ["row", "actual_price", "predicted_price", "actual_tax", "predicted_tax"]
    table = pl.read_csv(two.evaluation / "per_target.csv")
    assert table["target"].to_list() == ["price", "tax"]
    assert (table["r2"] > 0.9).all()
    assert metrics(two)["test_r2"] == pytest.approx(table["r2"].mean())


@pytest.mark.parametrize("name", ["one", "two"])
def test_predict_gives_the_numbers_of_evaluate(name, request, tmp_path):
    houses = request.getfixturevalue(name)
    out = tmp_path / "found.csv"
    predict(houses.raw / "a.csv", str(houses.model), out)
    found = pl.read_csv(out)
    evaluated = pl.read_csv(houses.evaluation / "predictions.csv")
    columns = [column for column in evaluated.columns if column.startswith("predicted")]
    assert found.columns == ["row", *columns]
    both = found.join(evaluated, on="row")
    assert both.height == evaluated.height
    for column in columns:
        np.testing.assert_allclose(both[column], both[f"{column}_right"], rtol=1e-6)
    assert Classifier(houses.model).probability_columns() == []


def test_the_report_shows_amounts_and_nothing_of_classes(one, two):
    for houses in (one, two):
        text = (houses.evaluation / "report.html").read_text()
        for part in ("Predicted against actual", "Residuals", "mean absolute error", "By town", "The hardest rows"):
            assert part in text
        assert "Confusion" not in text
        assert "Calibration" not in text
    assert "EUR" in (one.evaluation / "report.html").read_text()


def test_the_tables_of_plots_are_there_for_both_tasks_and_empty_for_the_other(one, tiny_project):
    lines = {
        houses: {path.stem: len(path.read_text().splitlines()) for path in sorted(folder.glob("*.csv"))}
        for houses, folder in (
            ("amounts", one.evaluation / "plots"),
            ("classes", tiny_project / "results/evaluation/plots"),
        )
    }
    assert lines["amounts"] == {"amounts": 19, "calibration": 1, "confusion": 1, "f1": 1}
    assert {name: count > 1 for name, count in lines["classes"].items()} == {
        "amounts": False,
        "calibration": True,
        "confusion": True,
        "f1": True,
    }
    curves = one.live / "plots/metrics"
    assert len((curves / "val_r2.tsv").read_text().splitlines()) == 31
    assert (curves / "val_accuracy.tsv").read_text() == "step\tval_accuracy\n"


def test_the_same_inputs_give_the_same_bytes_after_an_interruption_as_well(one, folder):
    """The trainer stops after some steps, and another goes on from what it left."""
    cache, config = open_cache(one.cache), choose()
    whole, _ = Trainer(cache, config, Runtime()).fit()
    first = Trainer(cache, config, Runtime())

    def stop(step, _):
        if step == 25:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        first.fit(on_step=stop)
    second = Trainer(cache, config, Runtime())
    second.restore(first.step, first.state())
    resumed, _ = second.fit()
    weights = load_model(one.model)[0].state_dict()
    for name, values in resumed.state_dict().items():
        assert (values == whole.state_dict()[name]).all()
        assert (values == weights[name]).all()


@pytest.mark.parametrize("task", ["classes", "amounts"])
def test_a_loss_of_the_other_task_is_refused(task, one, folder, tiny_project):
    cache, loss = (one.cache, "focal") if task == "amounts" else (tiny_project / "data/cache", "huber")
    with pytest.raises(UserError) as caught:
        train(cache, folder / "model", folder / "live", choose(loss=loss))
    own, others = (
        ("regression", "huber or likelihood") if task == "amounts" else ("classification", "focal or likelihood")
    )
    of = "classification" if task == "amounts" else "regression"
    assert str(caught.value) == (
        f"params.yaml: train.loss is {loss!r}, which is for {of}; the task of tiny is {own}: expected {others}; "
        "type: dvc exp run -S train.loss=likelihood"
    )
    assert not (folder / "model").exists()


def test_a_test_in_which_no_row_is_right_has_figures(tiny_project):
    windows = WindowDataset(open_cache(tiny_project / "data/cache"), "test")
    wrong_WK = 1 - np.eye(2)[windows.labels().numpy()]
    params = Params(calibration_bins=10, baselines=True, threads=1)
    evaluation = measure(windows, wrong_WK, params, split="test", model={}, live=None, profile={}, beside=[])
    assert isinstance(evaluation, Classification)
    assert evaluation.metrics["accuracy"] == 0
    assert all(isinstance(row[-1], int) for row in evaluation.per_class)
