"""params.yaml is read into frozen values, and every fault in it is one line."""

import pytest
import yaml
from conftest import ROOT, edit_yaml
from pydantic import ValidationError

from trackstack import UserError
from trackstack.params import load_params


@pytest.fixture
def params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    return path


def test_the_shipped_params_are_valid():
    assert load_params(ROOT / "params.yaml").dataset == "sensor_v2"


def test_params_are_frozen():
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        params.train.lr = 1.0


def test_scientific_notation_without_a_point_is_a_number(params_file):
    params_file.write_text((ROOT / "params.yaml").read_text().replace("lr: 0.003", "lr: 1e-3"))
    assert yaml.safe_load(params_file.read_text())["train"]["lr"] == "1e-3"
    assert load_params(params_file).train.lr == 0.001


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"seed": 1},
            "seed is unknown; allowed here: dataset, parquet, tensor_cache, train, models, losses, metrics, evaluate",
        ),
        ({"parquet": {"level": 3}}, "parquet.level is unknown; allowed here: compression, max_rejected"),
        (
            {"train": {"augment": {"spin": 1}}},
            "train.augment.spin is unknown; allowed here: rotation, mirror, gain, stretch, shift, jitter",
        ),
        ({"tensor_cache": {"window": 0}}, "tensor_cache.window is 0; expected greater than or equal to 1"),
        ({"tensor_cache": {"window": 2.5}}, "tensor_cache.window is 2.5; expected a valid integer"),
        (
            {"tensor_cache": {"fold": 7}},
            "tensor_cache.fold is 7; expected 0 to 4, since tensor_cache.folds is 5",
        ),
        (
            {"tensor_cache": {"validation": False}, "train": {"keep": "best"}},
            "train.keep is 'best'; expected last, since tensor_cache.validation is false",
        ),
        (
            {"tensor_cache": {"validation": False}, "train": {"patience": 3}},
            "train.patience is 3; expected 0, since tensor_cache.validation is false",
        ),
        (
            {"train": {"lr": "fast"}},
            "train.lr is 'fast'; expected a valid number, unable to parse string as a number",
        ),
        ({"train": {"lr": True}}, "train.lr is True; expected a number"),
        ({"train": {"lr": 0}}, "train.lr is 0; expected greater than 0"),
        ({"train": {"lr": float("nan")}}, "train.lr is nan; expected a finite number"),
        ({"train": {"epochs": True}}, "train.epochs is True; expected a valid integer"),
        ({"parquet": None}, "parquet is None; expected a section with the keys compression, max_rejected"),
        ({"train": {"seed": 2**64}}, "train.seed is 18446744073709551616; expected less than or equal to 2147483647"),
        ({"train": {"lr": 1e38}}, "train.lr is 1e+38; expected less than or equal to 1000000"),
        ({"train": {"threads": 10**11}}, "train.threads is 100000000000; expected less than or equal to 1024"),
        ({"dataset": ["x" * 500]}, f"dataset is ['{'x' * 78}...; expected a valid string"),
        (
            {"parquet": {"compression": "lzma"}},
            "parquet.compression is 'lzma'; expected 'zstd', 'snappy' or 'none'",
        ),
        ({"dataset": 3}, "dataset is 3; expected a valid string"),
    ],
)
def test_a_bad_value_is_one_line_with_file_field_value_and_what_is_allowed(params_file, change, expected):
    edit_yaml(params_file, change)
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    assert str(caught.value) == f"{params_file}: {expected}"


def test_every_fault_has_its_own_line(params_file):
    edit_yaml(params_file, {"train": {"lr": 0, "epochs": 0}})
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: [", "line 1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n b: 2\n", "line 2: not valid YAML: mapping values are not allowed here"),
        (
            "",
            "the file is None; expected a section with the keys dataset, parquet, tensor_cache, train, models, losses, metrics, evaluate",
        ),
        ("a: 1\na: 2\n", "line 2: not valid YAML: the key 'a' is there twice"),
        ("a:\n  b: 1\n  b: 2\n", "line 3: not valid YAML: the key 'b' is there twice"),
        ("[a, b]: 1\n", "line 1: not valid YAML: found unhashable key"),
        ("a: 2026-13-45\n", "not valid YAML: ValueError: month must be in 1..12"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_one_line(params_file, text, expected):
    params_file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    assert str(caught.value) == f"{params_file}: {expected}"


def test_a_missing_file_says_where_to_be(tmp_path):
    with pytest.raises(UserError, match="no such file; run this from the root of the checkout"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_key_is_named(params_file):
    content = yaml.safe_load(params_file.read_text())
    del content["train"]["lr"]
    params_file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"train\.lr is missing"):
        load_params(params_file)


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        load_params(tmp_path / "params.yaml")
