"""`trackstack check` finds what is wrong before anything runs, in one line, and touches nothing."""

from pathlib import Path

import pytest
import yaml
from support.projects import (
    ROOT,
    TINY_ENTRY,
    TINY_PARAMS,
    edit_yaml,
    merged,
    reference_params,
    run_in,
    write_reference,
    write_tiny_recordings,
)
from typer.testing import CliRunner

from pipeline.check.everything import check_params, main
from pipeline.modeling.base import MODELS
from trackstack import UserError
from trackstack.cli import app

REFERENCE_PARAMS = reference_params()
MODEL_NAMES = ", ".join(MODELS.names())


@pytest.fixture
def light_project(tmp_path, monkeypatch):
    """Parameters, catalog and raw files of the tiny project, with the code of this checkout; no DVC."""
    folder = tmp_path / "project"
    write_tiny_recordings(folder / "data/raw/tiny")
    for name in ("src", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    write_reference(folder)
    edit_yaml(folder / "data/catalog.yaml", {"datasets": {"tiny": TINY_ENTRY}})
    edit_yaml(folder / "params.yaml", TINY_PARAMS)
    monkeypatch.chdir(folder)
    return folder


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_in_order_is_listed(light_project):
    result = CliRunner().invoke(app, ["check"])
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            "params.yaml: dataset tiny, model cnn",
            "data/catalog.yaml: 3 dataset versions",
            "data/raw/tiny: 4 files, 480 rows",
            "data/raw/sensor_v1: not here, and not needed for dataset tiny",
            "data/raw/sensor_v2: not here, and not needed for dataset tiny",
        ],
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": {"lr": "fast"}}, "params.yaml: train.lr is 'fast'; expected a valid number, unable to parse string as a number"),
        ({"dataset": "sensor_v9"}, "params.yaml: dataset is 'sensor_v9'; data/catalog.yaml has sensor_v1, sensor_v2, tiny"),
        ({"dataset": "sensor_v1"}, "data/raw/sensor_v1: no such folder; type: dvc pull data/raw/sensor_v1.dvc"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_and_touches_nothing(light_project, change, expected):
    edit_yaml(light_project / "params.yaml", change)
    before = contents(light_project)
    result = CliRunner().invoke(app, ["check"])
    assert (result.exit_code, result.stderr.splitlines()) == (1, [expected])
    assert contents(light_project) == before


def test_the_shipped_params_are_valid(monkeypatch):
    monkeypatch.chdir(ROOT)
    check_params(yaml.safe_load(Path("params.yaml").read_text()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sed": 1}, "sed is unknown; allowed here: dataset, evaluate, parquet, tensor_cache, train, models, losses, metrics"),
        ({"parquet": {"level": 3}}, "parquet.level is unknown; allowed here: compression, max_rejected"),
        ({"parquet": None}, "parquet is None; expected a section with the keys compression, max_rejected"),
        ({"parquet": {"compression": "lzma"}}, "parquet.compression is 'lzma'; expected 'zstd', 'snappy' or 'none'"),
        ({"train": {"augment": {"spin": 1}}}, "train.augment.spin is unknown; allowed here: rotation, mirror, gain, stretch, shift, jitter"),
        ({"train": {"threads": 10**11}}, "train.threads is 100000000000; expected less than or equal to 1024"),
        ({"tensor_cache": {"window": 0}}, "tensor_cache.window is 0; expected greater than or equal to 1"),
        ({"tensor_cache": {"window": 2.5}}, "tensor_cache.window is 2.5; expected a valid integer"),
        ({"tensor_cache": {"fold": 7}}, "tensor_cache.fold is 7; expected 0 to 4, since tensor_cache.folds is 5"),
        ({"tensor_cache": {"validation": False}, "train": {"keep": "best"}}, "train.keep is 'best'; expected last, since tensor_cache.validation is false"),
        ({"tensor_cache": {"validation": False}, "train": {"patience": 3}}, "train.patience is 3; expected 0, since tensor_cache.validation is false"),
        ({"train": {"model": "rnn"}}, f"train.model is 'rnn'; expected one of {MODEL_NAMES} (each is a file in src/pipeline/models)"),
        ({"models": {"mlp": {"hidden": 0}}}, "models.mlp.hidden is 0; expected greater than or equal to 1"),
        ({"models": {"rnn": {}}}, f"models.rnn is unknown; allowed here: {MODEL_NAMES}"),
        ({"losses": 3}, "losses: expected a section per file of its folder"),
        ({"dataset": 3}, "dataset is 3; expected the name of an entry of data/catalog.yaml"),
        ({"dataset": ["x" * 500]}, f"dataset is ['{'x' * 78}; expected the name of an entry of data/catalog.yaml"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_with_file_field_value_and_what_is_allowed(tmp_path, monkeypatch, change, expected):
    write_reference(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check_params(merged(REFERENCE_PARAMS, change))
    assert str(caught.value) == f"params.yaml: {expected}"


def test_under_dvc_repro_the_same_line_precedes_dvcs(project, run):
    good = (project / "params.yaml").read_text()
    for change, targets, expected in (
        (
            {"dataset": "sensor_v9"},
            "--single-item check train",
            {"check": "params.yaml: dataset is 'sensor_v9'; data/catalog.yaml has sensor_v1, sensor_v2, tiny"},
        ),
        (
            {"train": {"lr": "fast"}},
            "--single-item train",
            {"train": "params.yaml: train.lr is 'fast'; expected a valid number, unable to parse string as a number"},
        ),
        (
            {"train": {"model": "rnn"}, "tensor_cache": {"window": 0}},
            "",
            {
                "check": f"params.yaml: train.model is 'rnn'; expected one of {MODEL_NAMES} "
                "(each is a file in src/pipeline/models)",
                "tensor_cache": "params.yaml: tensor_cache.window is 0; expected greater than or equal to 1",
            },
        ),
    ):
        edit_yaml(project / "params.yaml", change)
        lines = run(project, f"dvc repro --keep-going {targets}", expect=255).stderr.splitlines()
        for stage, line in expected.items():
            ours = lines.index(line)
            assert lines[ours + 1].startswith("WARNING: failed to run: ")
            assert f" stages/{stage}.py" in lines[ours + 1]
        assert not any("Traceback" in line for line in lines)
        (project / "params.yaml").write_text(good)


def test_a_missing_file_is_named_by_check_and_by_dvc_repro_and_the_advice_works(project, run, monkeypatch):
    removed = project / "data/raw/tiny/subject_2.csv"
    entry = {"files": {f"subject_{subject}.csv": 120 for subject in range(1, 5)}}
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": entry}})
    removed.unlink()
    advice = "git checkout -- data/raw/tiny.dvc && dvc pull data/raw/tiny.dvc"
    expected = f"data/raw/tiny/subject_2.csv: missing, expected a file of 120 rows; type: {advice}"
    monkeypatch.chdir(project)
    with pytest.raises(UserError) as caught:
        list(main())
    assert str(caught.value) == expected
    lines = run(project, "dvc repro", expect=255).stderr.splitlines()
    assert lines[lines.index(expected) + 1].startswith("ERROR: failed to reproduce 'ingest'")
    run_in(project, advice)
    assert removed.exists()
    assert list(main())
