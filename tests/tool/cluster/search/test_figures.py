"""What a search reads of a trial: its metrics at the end, and at the rungs that it passed."""

import pytest
from support.searches import search_in, settings

from trackstack import UserError
from trackstack.cluster.search import Metric
from trackstack.cluster.search.figures import Figures, is_recorded, read_figures
from trackstack.tracking.run import start_run


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A search whose first trial is recorded by this process."""
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    monkeypatch.setenv("DVC_EXP_NAME", "s-0000")
    return search_in(tmp_path)


def test_the_last_value_counts_and_at_a_rung_the_first_one_there_or_behind(search):
    with start_run("net", {"lr": 0.1}) as run:
        for step, value in enumerate((0.9, 0.8, float("nan"), 0.6)):
            run.log({"val_loss": value}, step)
    assert read_figures(search, "s-0000", None) == Figures([0.6], [0.9, None])
    assert read_figures(search, "another name", run.id) == Figures([0.6], [0.9, None]), "by its id, too"


def test_a_metric_that_was_never_logged_is_a_line_with_those_that_were(search):
    with start_run("net", {"lr": 0.1}) as run:
        run.log({"val_los": 0.5, "train_loss": 0.1, "test_accuracy": 0.9}, 0)
    with pytest.raises(UserError) as caught:
        read_figures(search, "s-0000", run.id)
    assert str(caught.value) == "val_loss: never logged; the run's metrics: train_loss, val_los"
    assert not is_recorded(search, "s-0000")


def test_of_two_metrics_each_has_its_last_value(search, tmp_path):
    metrics = [Metric("val_loss", lower_is_better=True), Metric("seconds", lower_is_better=True)]
    two = search_in(tmp_path, metrics=metrics, prune="none")
    assert settings(metrics=metrics).metrics == two.settings.metrics
    with start_run("net", {"lr": 0.1}) as run:
        run.log({"val_loss": 0.5, "seconds": 3.0}, 0)
        run.log({"val_loss": 0.4}, 1)
    assert read_figures(two, "s-0000", run.id) == Figures([0.4, 3.0], [])
