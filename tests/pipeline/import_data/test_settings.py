"""Each dataset has settings that fit it, whatever the one before it had; what a person edits stays."""

from pathlib import Path

import pytest
import yaml
from safetensors.torch import save
from support.conversion import contents
from support.projects import edit_yaml
from support.tables import write, write_recordings

from pipeline.contract.catalog import fill_from_dataset, load_dataset
from pipeline.import_data.settings import _batches
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert
from pipeline.tensor_cache.params import Params as TensorCacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.config import TrainingConfig
from pipeline.train.loop import Runtime, Trainer
from pipeline.windows.dataset import open_cache
from trackstack.core.params import Parameters

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
    ("windows", "steps", "batch", "epochs"),
    [
        (7, 400, 16, 200),
        (90, 400, 16, 71),
        (90, 1000, 16, 178),
        (600, 1000, 32, 53),
        (2000, 400, 64, 20),
        (10**6, 1000, 64, 20),
    ],
)
def test_little_data_gets_as_many_steps_as_it_needs(windows, steps, batch, epochs):
    assert _batches(windows, steps) == {"batch_size": batch, "epochs": epochs}


def test_rows_that_only_the_pipeline_refuses_are_allowed_for_as_well(added, tmp_path):
    rows = "".join(f"{'ab'[at % 2]},{at // 4},{at % 4},{at}.5\n" for at in range(12))
    path = write(tmp_path / "own.csv", f"y,recording,t,x\n{rows}a,2,1,7.5\n")
    assert added(path, series="recording", time="t").rejected == 1, "its time does not rise"
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


def outputs(name, out):
    """The bytes of cache and weights when `dataset` is the only parameter that changes."""
    edit_yaml(Path("params.yaml"), {"dataset": name})
    params = Parameters.load()
    fill_from_dataset(params)
    raw = Path("data/raw") / name
    convert(
        build_manifest(name, load_dataset(name), raw), raw, out / "rows", params.section("parquet", ParquetParams)
    )
    build(out / "rows", out / "cache", params.section("tensor_cache", TensorCacheParams))
    model, _ = Trainer(open_cache(out / "cache"), TrainingConfig.choose(params), Runtime()).fit()
    return tuple(contents(out / "cache").items()), save(model.state_dict())


def test_datasets_in_turn_and_back_leave_nothing_behind(added, checkout, tmp_path, settings_of_torch):
    """A table with few groups and a row to set aside, recordings, a larger table, and the first one again."""
    write_recordings(tmp_path / "own", rows=40)
    added(write(tmp_path / "few.csv", FEW), name="few", group="site")
    added(tmp_path / "own", None, name="own", sequence=True, label_from="/([a-z]+)_")
    added(write(tmp_path / "more.csv", "y,x,z\n" + "a,1.5,2\nb,7.5,3\n" * 40), name="more")
    nulls = {"parquet": {"max_rejected": None}, "tensor_cache": dict.fromkeys(("folds", "window", "stride"))}
    edit_yaml(checkout / "params.yaml", nulls | {"train": {"epochs": 2, "batch_size": None}})
    before = (checkout / "data/catalog.yaml").read_bytes()
    results = [outputs(name, tmp_path / f"run {at}") for at, name in enumerate(("few", "own", "more", "few"))]
    assert results[0] == results[3]
    assert len(set(results)) == 3
    assert (checkout / "data/catalog.yaml").read_bytes() == before
