"""Each dataset has settings that fit it, whatever the one before it had; what a person edits stays."""

import pytest
import yaml
from support.projects import edit_yaml
from support.tables import write, write_recordings

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.settings import _batches

FEW = "site,y,x\n" + "n,a,1.5\ns,b,7.5\nw,a,2.5\nw,b,3.5\n,a,9.5\n" * 2
PLAIN = "y,x\n" + "a,1.5\nb,7.5\n" * 6
NAMES = ("--sequence", "--label-from", "/([a-z]+)_")


def settings_of(plan):
    assert plan["next"][1] == "dvc exp run -S dataset=mine", "and nothing that stays on for the next dataset"
    return plan["entry"]["settings"]


def test_settings_come_from_the_dataset_alone(planned, tmp_path):
    write_recordings(tmp_path / "own", rows=40)
    write_recordings(tmp_path / "long", rows=400)
    few, plain = write(tmp_path / "few.csv", FEW), write(tmp_path / "plain.csv", PLAIN)
    for _ in range(2):
        settings = settings_of(planned(few, "--group", "site"))
        assert settings["parquet"] == {"max_rejected": 2}
        assert settings["tensor_cache"] == {"folds": 3, "window": 1, "stride": 1}
        settings = settings_of(planned(plain))
        assert settings["parquet"] == {"max_rejected": 0}
        assert settings["tensor_cache"] == {"folds": 5, "window": 1, "stride": 1}
    assert settings_of(planned(tmp_path / "own", *NAMES))["tensor_cache"] == {"folds": 5, "window": 40, "stride": 10}
    assert settings_of(planned(tmp_path / "long", *NAMES))["tensor_cache"] == {
        "folds": 5,
        "window": 200,
        "stride": 50,
    }


@pytest.mark.parametrize(
    ("windows", "batch", "epochs"), [(7, 16, 200), (90, 16, 178), (600, 32, 53), (2000, 64, 32), (10**6, 64, 20)]
)
def test_a_small_table_gets_as_many_steps_as_it_needs(windows, batch, epochs):
    assert _batches(windows) == {"batch_size": batch, "epochs": epochs}


def test_rows_that_only_the_pipeline_refuses_are_allowed_for_as_well(added, tmp_path):
    path = write(tmp_path / "own.csv", PLAIN + "a,1e39\n")
    assert added(path).rejected == 1
    assert load_dataset("mine").settings.parquet.max_rejected == 1


def test_an_update_renews_what_may_be_set_aside_and_keeps_the_rest(added, checkout, updated, tmp_path):
    path = write(tmp_path / "own.csv", PLAIN)
    added(path)
    written = (checkout / "data/catalog.yaml").read_text()
    assert "    settings:\n      parquet: {max_rejected: 0}\n" in written
    assert "would fit" not in updated(path)[1]
    edit_yaml(checkout / "data/catalog.yaml", {"datasets": {"mine": {"settings": {"train": {"epochs": 7}}}}})
    write(path, PLAIN + ",9.5\n")
    code, said = updated(path)
    assert code == 0
    assert "settings        5 folds; 7 epochs in batches of 16; 1 row may be set aside" in said
    assert "settings that stay: train.epochs 7 (200 would fit); they are in data/catalog.yaml" in said
    assert yaml.safe_load((checkout / "data/catalog.yaml").read_text())["datasets"]["mine"]["settings"]["train"]
