"""`trackstack check` finds what is wrong before anything runs, in one line, and touches nothing."""

import pytest
from conftest import edit_yaml, run_in


def tree(folder):
    files = [
        file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts and ".dvc" not in file.parts
    ]
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files if "__pycache__" not in file.parts}


def test_what_is_in_order_is_listed(tiny_project):
    lines = run_in(tiny_project, "trackstack check").stdout.splitlines()
    assert lines == [
        "params.yaml: dataset tiny, model cnn",
        "data/catalog.yaml: 3 dataset versions",
        "data/raw/tiny: 4 files, 480 rows",
        "data/raw/sensor_v1: not here, and not needed for dataset tiny",
        "data/raw/sensor_v2: not here, and not needed for dataset tiny",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"sed": 1},
            "params.yaml: sed is unknown; allowed here: dataset, parquet, tensor_cache, train, models, losses, metrics, evaluate",
        ),
        (
            {"train": {"lr": "fast"}},
            "params.yaml: train.lr is 'fast'; expected a valid number, unable to parse string as a number",
        ),
        (
            {"tensor_cache": {"window": 0}},
            "params.yaml: tensor_cache.window is 0; expected greater than or equal to 1",
        ),
        (
            {"tensor_cache": {"fold": 7}},
            "params.yaml: tensor_cache.fold is 7; expected 0 to 3, since tensor_cache.folds is 4",
        ),
        (
            {"dataset": "sensor_v9"},
            "params.yaml: dataset is 'sensor_v9'; data/catalog.yaml has sensor_v1, sensor_v2, tiny",
        ),
        (
            {"train": {"model": "rnn"}},
            "params.yaml: train.model is 'rnn'; expected one of cnn, mlp (each is a file in src/trackstack/models)",
        ),
        (
            {"models": {"mlp": {"hidden": 0}}},
            "params.yaml: models.mlp.hidden is 0; expected greater than or equal to 1",
        ),
        ({"models": {"rnn": {}}}, "params.yaml: models.rnn is unknown; allowed here: cnn, mlp"),
        (
            {"dataset": "sensor_v1"},
            "data/raw/sensor_v1: no such folder; type: dvc pull data/raw/sensor_v1.dvc",
        ),
    ],
)
def test_a_bad_parameter_is_one_line_and_touches_nothing(project, run, change, expected):
    edit_yaml(project / "params.yaml", change)
    before = tree(project)
    done = run(project, "trackstack check", expect=1)
    assert done.stderr.splitlines() == [expected]
    assert tree(project) == before


@pytest.mark.parametrize(
    ("change", "stage", "expected"),
    [
        ({"tensor_cache": {"window": 0}}, "tensor_cache", "tensor_cache.window is 0; expected greater than or equal to 1"),
        ({"tensor_cache": {"fold": 7}}, "tensor_cache", "tensor_cache.fold is 7; expected 0 to 3, since tensor_cache.folds is 4"),
        ({"train": {"lr": "fast"}}, "train", "train.lr is 'fast'; expected a valid number, unable to parse string as a number"),
        ({"dataset": "sensor_v9"}, "check", "dataset is 'sensor_v9'; data/catalog.yaml has sensor_v1, sensor_v2, tiny"),
        ({"train": {"model": "rnn"}}, "check", "train.model is 'rnn'; expected one of cnn, mlp (each is a file in src/trackstack/models)"),
        ({"train": {"loss": "mse"}}, "check", "train.loss is 'mse'; expected one of cross_entropy, focal (each is a file in src/trackstack/losses)"),
        ({"train": {"metric": "auc"}}, "check", "train.metric is 'auc'; expected one of f_beta, top_k (each is a file in src/trackstack/metrics)"),
    ],
)  # fmt: skip
def test_under_dvc_repro_the_same_line_precedes_dvcs(project, run, change, stage, expected):
    edit_yaml(project / "params.yaml", change)
    lines = run(project, "dvc repro", expect=255).stderr.splitlines()
    ours = lines.index(f"params.yaml: {expected}")
    assert lines[ours + 1].startswith(f"ERROR: failed to reproduce '{stage}'")
    assert not any("Traceback" in line for line in lines)


def test_a_missing_file_is_named_by_check_and_by_dvc_repro_and_the_advice_works(project, run):
    removed = project / "data/raw/tiny/subject_2.csv"
    entry = {"files": {f"subject_{subject}.csv": 120 for subject in range(1, 5)}}
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": entry}})
    removed.unlink()
    advice = "git checkout -- data/raw/tiny.dvc && dvc pull data/raw/tiny.dvc"
    expected = f"data/raw/tiny/subject_2.csv: missing, expected a file of 120 rows; type: {advice}"
    assert run(project, "trackstack check", expect=1).stderr.splitlines() == [expected]
    assert expected in run(project, "dvc repro", expect=255).stderr.splitlines()
    run(project, advice)
    assert removed.exists()
    run(project, "trackstack check")


def test_the_version_is_told(run, tiny_project):
    assert run(tiny_project, "trackstack --version").stdout.startswith("trackstack 0.")
