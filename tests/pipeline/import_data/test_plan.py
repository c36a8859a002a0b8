"""The plan for own tables leads to a model that beats the majority class, with the settings of its entry."""

from pathlib import Path

import pytest
from support.projects import edit_yaml
from support.tables import table

from pipeline.contract.catalog import Dataset
from pipeline.import_data.apply import write_entry, write_files
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.plan import make_plan
from pipeline.import_data.reading.dialect import DialectOptions, read_sample
from pipeline.import_data.survey import survey_files
from pipeline.ingest.manifest import build_manifest
from pipeline.modeling.saved_model import predict_outputs
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert
from pipeline.tensor_cache.params import Params as TensorCacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.config import TrainingConfig
from pipeline.train.loop import Runtime, Trainer
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack.core.params import Parameters

OF_THE_DATASET = {
    "tensor_cache": {"window": None, "stride": None, "folds": None},
    "train": {"epochs": None, "batch_size": None},
}


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "european_wine"])
def test_a_model_beats_the_majority_class_on_a_table_that_nobody_tuned_for(name, planned, tmp_path):
    """Accuracies seen: 0.97 and more."""
    path, arguments = table(name, tmp_path)
    plan = planned(path, *arguments)
    assert plan["next"][1] == "dvc exp run -S dataset=mine"
    entry = Dataset.model_validate(plan["entry"])
    samples = [read_sample(path, path.name, DialectOptions())]
    options = ImportOptions(entry.label, extra=entry.extra, missing=entry.recipe.missing if entry.recipe else ())
    edit_yaml(Path("params.yaml"), OF_THE_DATASET)
    params = Parameters.load(Path("params.yaml"))
    raw = tmp_path / "raw"
    raw.mkdir()
    surveys = survey_files(samples, {entry.label}, options.missing_words())
    write_files(make_plan("mine", "", options, surveys, [{}]), raw)
    write_entry("mine", plan["entry"])
    params.fill_nulls(Path("data/catalog.yaml"), "datasets.mine.settings")
    none_rejected = ParquetParams(compression="zstd", max_rejected=0)
    convert(build_manifest("mine", entry, raw), raw, tmp_path / "processed", none_rejected)
    build(tmp_path / "processed", tmp_path / "cache", params.section("tensor_cache", TensorCacheParams))
    cache = open_cache(tmp_path / "cache")
    model, _ = Trainer(cache, TrainingConfig.choose(params), Runtime()).fit()
    test = WindowDataset(cache, "test")
    logits, labels = predict_outputs(model, test, test.starts.device, "float32")
    majority = labels.bincount().max().item() / len(labels)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy >= 0.85 > majority + 0.15
