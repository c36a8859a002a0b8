"""The sample data, and what this repository says of it. Remove this file together with the sample: docs/your-project.md."""

import hashlib
import json
import platform
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from support.conversion import NONE_REJECTED
from support.projects import ROOT, copy_checkout, run_in

from pipeline.contract.catalog import load_catalog, load_dataset
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.stage import convert
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack.core.params import Parameters


@pytest.fixture(scope="module")
def fresh_start(tmp_path_factory):
    """`make repro` in a new clone, in a path with spaces; only the environment is the tests' own."""
    origin = copy_checkout(tmp_path_factory.mktemp("origin") / "a checkout")
    clone = tmp_path_factory.mktemp("fresh") / "a fresh clone"
    run_in(origin.parent, ["git", "clone", "-q", str(origin), str(clone)])
    (clone / ".venv").symlink_to(sys.prefix)
    return clone, run_in(clone, "make --old-file=.venv/.installed repro").stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the recorded bytes are those of x86-64")
def test_a_fresh_clone_reproduces_the_recorded_bytes(fresh_start, run):
    clone, output = fresh_start
    # ingest is skipped: its output is in git, and what it reads has not changed.
    stages = re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)
    assert stages == ["parquet", "tensor_cache", "train", "evaluate"]
    assert run(clone, "dvc status").stdout.strip() == "Data and pipelines are up to date."
    assert run(clone, "git status --porcelain").stdout == ""


def test_the_default_run_is_accurate_on_people_it_never_saw(fresh_start):
    clone, _ = fresh_start
    metrics = json.loads((clone / "results/evaluation/metrics.json").read_text())
    assert metrics["test_accuracy"] == pytest.approx(0.91375, abs=0.02)
    assert f"test_accuracy              {metrics['test_accuracy']:.4f}" in (ROOT / "README.md").read_text()
    assert metrics["test_windows"] == 800


def test_the_sample_in_the_embedded_remote_is_whole():
    """Every object has the hash that its name says."""
    objects = [file for file in (ROOT / "data/bundled/files/md5").rglob("*") if file.is_file()]
    assert len(objects) == 12
    for file in objects:
        name = (file.parent.name + file.name).removesuffix(".dir")
        assert hashlib.md5(file.read_bytes()).hexdigest() == name


def test_the_lock_was_made_with_the_params_in_the_tree():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in lock["stages"].items():
        for parameter, value in stage.get("params", {}).get("params.yaml", {}).items():
            now = params
            for key in parameter.split("."):
                now = now[key]
            assert now == value, f"{name}: {parameter}"


def test_the_second_version_of_the_sample_extends_the_first():
    catalog = load_catalog(ROOT / "data/catalog.yaml")
    assert list(catalog) == ["sensor_v1", "sensor_v2"]
    assert catalog["sensor_v1"].contract() == catalog["sensor_v2"].contract()
    assert catalog["sensor_v1"].files.items() < catalog["sensor_v2"].files.items()


def write_sample(folder):
    """The raw folder of `sensor_v2`, put together from the embedded remote."""
    folder.mkdir()
    objects = ROOT / "data/bundled/files/md5"
    pointer = yaml.safe_load((ROOT / "data/raw/sensor_v2.dvc").read_text())["outs"][0]["md5"]
    for item in yaml.safe_load((objects / pointer[:2] / pointer[2:]).read_text()):
        shutil.copy(objects / item["md5"][:2] / item["md5"][2:], folder / item["relpath"])


def test_the_sample_has_no_leak_when_recomputed_from_the_raw_files(tmp_path):
    """Splits, windows and normalisation of the shipped settings, by other code and from the CSV files."""
    sample = tmp_path / "sensor_v2"
    write_sample(sample)
    params = Parameters.load(ROOT / "params.yaml")
    params.fill_nulls(ROOT / "data/catalog.yaml", "datasets.sensor_v2.settings")
    dataset = load_dataset("sensor_v2", ROOT / "data/catalog.yaml")
    convert(build_manifest("sensor_v2", dataset, sample), sample, tmp_path / "processed", NONE_REJECTED)
    build(tmp_path / "processed", tmp_path / "cache", params.section("tensor_cache", Params))
    cache = open_cache(tmp_path / "cache")
    raw = pd.concat([pd.read_csv(file) for file in sorted(sample.iterdir())], ignore_index=True)

    subjects = {}
    for split, starts in cache.starts.items():
        rows = starts.numpy()[:, None] + np.arange(200)
        assert (raw["recording"].to_numpy()[rows] == raw["recording"].to_numpy()[starts][:, None]).all()
        assert (raw["subject"].to_numpy()[rows] == raw["subject"].to_numpy()[starts][:, None]).all()
        subjects[split] = set(raw["subject"].to_numpy()[starts].tolist())
        assert subjects[split] == set(cache.metadata["split"][split])
    assert set.union(*subjects.values()) == set(range(1, 11))
    assert sum(map(len, subjects.values())) == 10

    features = raw[["ax", "ay", "az", "wx", "wy", "wz"]].astype("float32").astype("float64")
    training = features[raw["subject"].isin(subjects["train"])]
    np.testing.assert_allclose(cache.mean, training.mean(), rtol=1e-6)
    np.testing.assert_allclose(cache.std, training.std(ddof=0), rtol=1e-6)
    np.testing.assert_array_equal(cache.signal.to("cpu"), features.astype("float32"))
    normalised = ((features - training.mean()) / training.std(ddof=0)).to_numpy()
    for split, starts in cache.starts.items():
        windows, _ = WindowDataset(cache, split).batch(torch.arange(len(starts)))
        rows = starts.numpy()[:, None] + np.arange(200)
        np.testing.assert_allclose(windows, normalised[rows], rtol=1e-4, atol=1e-5)
    names = np.array(cache.metadata["classes"])[cache.label.to("cpu").numpy()]
    assert (names == raw["label"].to_numpy()).all()
