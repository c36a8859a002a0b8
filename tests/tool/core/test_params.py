"""A parameter file is read into frozen values, and every fault in it is one line: file, field, value, what is allowed."""

import re
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from trackstack import UserError
from trackstack.core.params import Count, Index, Number, Parameters, Positive, Section, Threads, validate


class Augment(Section):
    gain: Number
    shift: Number


class Train(Section):
    lr: Positive
    epochs: Count
    seed: Index
    threads: Threads
    fast: Annotated[bool, Field(strict=True)]
    device: Literal["cpu", "gpu"]
    widths: tuple[Count, ...]
    augment: Augment


GOOD = {
    "lr": 0.003,
    "epochs": 3,
    "seed": 0,
    "threads": 2,
    "fast": False,
    "device": "cpu",
    "widths": [8],
    "augment": {"gain": 0, "shift": 0.1},
}
TEXT = "train: {lr: 1e-3, epochs: 3, seed: 0, threads: 2, fast: no, device: cpu, widths: [8], augment: {gain: 0, shift: 0}}"


@pytest.fixture
def params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def test_a_section_is_frozen_and_takes_scientific_notation_without_a_point(params_file):
    params = Parameters.load(params_file)
    assert params.values["train"]["lr"] == "1e-3", "PyYAML's reading"
    train = params.section("train", Train)
    assert train.lr == 0.001
    with pytest.raises(ValidationError, match="frozen"):
        train.lr = 1.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sed": 1}, "train.sed is unknown; allowed here: lr, epochs, seed, threads, fast, device, widths, augment"),
        ({"augment": {"gain": 0, "shift": 0, "spin": 1}}, "train.augment.spin is unknown; allowed here: gain, shift"),
        ({"epochs": 0}, "train.epochs is 0; expected greater than or equal to 1"),
        ({"epochs": 2.5}, "train.epochs is 2.5; expected a valid integer"),
        ({"epochs": True}, "train.epochs is True; expected a valid integer"),
        ({"lr": "fast"}, "train.lr is 'fast'; expected a valid number, unable to parse string as a number"),
        ({"lr": True}, "train.lr is True; expected a number"),
        ({"lr": 0}, "train.lr is 0; expected greater than 0"),
        ({"lr": float("nan")}, "train.lr is nan; expected a finite number"),
        ({"lr": 1e38}, "train.lr is 1e+38; expected less than or equal to 1000000"),
        ({"augment": None}, "train.augment is None; expected a section with the keys gain, shift"),
        ({"seed": 2**64}, "train.seed is 18446744073709551616; expected less than or equal to 2147483647"),
        ({"threads": 10**11}, "train.threads is 100000000000; expected less than or equal to 1024"),
        ({"seed": ["x" * 500]}, f"train.seed is ['{'x' * 78}...; expected a valid integer"),
        ({"device": "tpu"}, "train.device is 'tpu'; expected 'cpu' or 'gpu'"),
        ({"widths": [0]}, "train.widths.0 is 0; expected greater than or equal to 1"),
    ],
)
def test_a_bad_value_is_one_line_with_file_field_value_and_what_is_allowed(tmp_path, change, expected):
    with pytest.raises(UserError) as caught:
        validate(Train, GOOD | change, tmp_path / "params.yaml", prefix="train")
    assert str(caught.value) == f"{tmp_path}/params.yaml: {expected}"


def test_every_fault_has_its_own_line(tmp_path):
    with pytest.raises(UserError) as caught:
        Parameters({"train": GOOD | {"lr": 0, "epochs": 0}}).section("train", Train)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: [", "line 1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n b: 2\n", "line 2: not valid YAML: mapping values are not allowed here"),
        ("", "expected sections with a name each, such as train:"),
        ("a: 1\na: 2\n", "line 2: not valid YAML: the key 'a' is there twice"),
        ("a:\n  b: 1\n  b: 2\n", "line 3: not valid YAML: the key 'b' is there twice"),
        ("[a, b]: 1\n", "line 1: not valid YAML: found unhashable key"),
        ("a: 2026-13-45\n", "not valid YAML: ValueError: month must be in 1..12"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_one_line(params_file, text, expected):
    params_file.write_text(text)
    with pytest.raises(UserError) as caught:
        Parameters.load(params_file)
    assert str(caught.value) == f"{params_file}: {expected}"


def test_a_missing_file_says_where_to_be_and_a_folder_in_its_place_what_it_is(tmp_path):
    with pytest.raises(UserError, match="no such file; run this from the root of the checkout"):
        Parameters.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        Parameters.load(tmp_path / "params.yaml")


def test_a_missing_key_is_named(params_file):
    params = Parameters.load(params_file)
    with pytest.raises(UserError, match=r"train\.augment\.spin is missing"):
        params.get("train.augment.spin.speed")
    params_file.write_text(TEXT.replace("lr: 1e-3, ", ""))
    with pytest.raises(UserError, match=r"train\.lr is missing"):
        Parameters.load(params_file).section("train", Train)


def test_only_changes_of_what_was_used_are_refused(params_file):
    params_file.write_text(f"{TEXT}\nother: 1\n")
    params = Parameters.load(params_file)
    params.section("train", Train)
    params_file.write_text(f"{TEXT}\nother: 2\n")
    params.refuse_changes()
    params_file.write_text(TEXT.replace("seed: 0", "seed: 1"))
    with pytest.raises(UserError, match=rf"^{re.escape(str(params_file))}: train: edited while the stage ran"):
        params.refuse_changes()


def settings(tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return file


def test_a_null_is_the_value_of_its_name_in_another_file_and_a_value_stays(params_file, tmp_path):
    params_file.write_text(TEXT.replace("epochs: 3", "epochs: null") + "\nother: null\n")
    params = Parameters.load(params_file)
    params.fill_nulls(settings(tmp_path, "mine: {train: {epochs: 7, seed: 5, unknown: 1}}"), "mine")
    train = params.section("train", Train)
    assert (train.epochs, train.seed) == (7, 0)
    assert params.get("other") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mine: {train: {epochs: null}}", "PARAMS: train.epochs is null, and SETTINGS: mine.train.epochs is, too; "
                                          "expected a value in one of them"),
        ("mine: {train: {}}", "PARAMS: train.epochs is None; expected a valid integer"),
        ("mine: 5", "PARAMS: train.epochs is None; expected a valid integer"),
        ("yours: {}", "SETTINGS: mine is missing"),
    ],
)  # fmt: skip
def test_a_null_that_nothing_fills_is_one_line(params_file, tmp_path, text, says):
    params_file.write_text(TEXT.replace("epochs: 3", "epochs: null"))
    file = settings(tmp_path, text)

    def train():
        params = Parameters.load(params_file)
        params.fill_nulls(file, "mine")
        return params.section("train", Train)

    with pytest.raises(UserError) as caught:
        train()
    assert str(caught.value) == says.replace("PARAMS", str(params_file)).replace("SETTINGS", str(file))


def test_a_change_of_what_a_null_stood_for_is_refused(params_file, tmp_path):
    params_file.write_text(TEXT.replace("epochs: 3", "epochs: null"))
    params = Parameters.load(params_file)
    file = settings(tmp_path, "mine: {train: {epochs: 7}, cache: {window: 1}}")
    params.fill_nulls(file, "mine")
    params.section("train", Train)
    settings(tmp_path, "mine: {train: {epochs: 7}, cache: {window: 2}}")
    params.refuse_changes()
    settings(tmp_path, "mine: {train: {epochs: 8}, cache: {window: 1}}")
    with pytest.raises(UserError, match=rf"^{re.escape(str(params_file))} or {re.escape(str(file))}: train: edited"):
        params.refuse_changes()
