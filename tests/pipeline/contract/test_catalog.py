"""The catalog is a contract, and every fault in it is one line."""

import copy

import pytest
import yaml
from support.conversion import entry
from support.projects import TINY_ENTRY

from pipeline.contract.catalog import Contract, Dataset, load_catalog, load_dataset, refuse_changed_entry
from trackstack import UserError


@pytest.fixture
def write(tmp_path):
    def write_catalog(**changes):
        path = tmp_path / "catalog.yaml"
        path.write_text(yaml.safe_dump({"datasets": {"tiny": copy.deepcopy(TINY_ENTRY) | changes}}))
        return path

    return write_catalog


def test_columns_are_ids_then_features_then_label():
    dataset = Dataset.model_validate(TINY_ENTRY | {"extra": ["side"]})
    assert dataset.columns() == ["subject", "recording", "side", "ax", "ay", "az", "label"]
    assert [dataset.id_type(column) for column in dataset.id_columns()] == ["int32", "int32", "text"]


def test_a_class_may_look_like_a_number(write):
    assert load_dataset("tiny", write(classes=[1, 2])).classes == ("1", "2")


def test_a_feature_of_numbers_is_written_without_what_only_other_kinds_have():
    contract = Dataset.model_validate(TINY_ENTRY | {"features": [{"name": "ax"}, COLOR, STAMP]}).contract()
    number, color, stamp = contract.model_dump(mode="json")["features"]
    assert number == {"name": "ax", "unit": "", "range": None, "missing": "reject"}
    assert (color["kind"], color["categories"]) == ("category", ["1", "red"])
    assert (stamp["kind"], stamp["parts"]) == ("time", ["hour", "days"])
    assert type(contract).model_validate(contract.model_dump(mode="json")) == contract


def test_a_regression_has_targets_in_the_place_of_label_and_classes():
    dataset = entry(10, targets=[{"name": "kg", "unit": "kg"}, {"name": "label"}])
    assert (dataset.task, dataset.target_names()) == ("regression", ["kg", "label"])
    assert dataset.columns()[-2:] == ["kg", "label"]
    assert not {"label", "classes"} & dataset.contract().model_dump().keys()
    assert Contract.model_validate(dataset.contract().model_dump()) == dataset.contract()


def test_digests_of_a_classification_do_not_know_of_targets(write):
    dataset = load_dataset("tiny", write())
    assert dataset.task == "classification"
    assert "targets" not in dataset.contract().model_dump()


COLOR = {"name": "ay", "kind": "category", "categories": [1, "red"]}
STAMP = {"name": "az", "kind": "time", "parts": ["hour", "days"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"targets": [{"name": "kg"}]},
            "has targets, and label or classes as well; expected targets alone, or label",
        ),
        ({"label": None}, "datasets.tiny: expected label and classes, or targets"),
        ({"label": None, "targets": []}, "datasets.tiny.targets is []; Tuple should have at least 1 item"),
        ({"labels": "x"}, "datasets.tiny.labels is unknown; allowed here: features, label"),
        ({"path": "/tmp/x"}, "datasets.tiny.path is '/tmp/x'; expected 'data/raw/tiny'"),
        ({"path": ""}, "datasets.tiny.path is ''; expected 'data/raw/tiny'"),
        ({"label": ""}, "datasets.tiny.label is ''; String should have at least 1 character"),
        ({"vectors": [{"axes": ["ax", "ax", "az"], "kind": "acceleration"}]}, "vectors name a feature twice"),
        (
            {"vectors": [{"axes": ["ax", "ay", "q"], "kind": "acceleration"}]},
            "vectors may name features of numbers; not q",
        ),
        ({"classes": ["up"]}, "datasets.tiny.classes is ['up']; Tuple should have at least 2 items"),
        ({"label": "ax"}, "columns named twice: ax"),
        ({"classes": ["up", "up"]}, "classes has a name twice"),
        ({"types": {"ax": "int8"}}, "types may name subject, recording; not ax"),
        ({"types": {"subject": "int7"}}, "datasets.tiny.types.subject is 'int7'; expected 'int8', 'int16'"),
        ({"files": {"a.csv": 1}}, "num_samples is 480, but the rows under files add up to 1"),
        (
            {"features": [{"name": "ax", "units": "g"}]},
            "datasets.tiny.features.0.units is unknown; allowed here: name, unit",
        ),
        ({"features": [COLOR | {"unit": "m"}]}, "datasets.tiny.features.0: a category has no unit"),
        ({"features": [COLOR | {"range": [0, 1]}]}, "datasets.tiny.features.0: a category has no range"),
        ({"features": [COLOR | {"parts": ["hour"]}]}, "datasets.tiny.features.0: a category has no parts"),
        ({"features": [{"name": "ax", "categories": ["a", "b"]}]}, "features.0: a number has no categories"),
        ({"features": [COLOR | {"categories": ["a"]}]}, "features.0: expected categories: two or more, each another"),
        ({"features": [COLOR | {"categories": ["a", "a"]}]}, "expected categories: two or more, each another"),
        ({"features": [STAMP | {"parts": []}]}, "expected parts: one or more of hour, weekday, month, days"),
        ({"features": [STAMP | {"parts": ["year"]}]}, "features.0.parts.0 is 'year'; expected 'hour', 'weekday'"),
        (
            {
                "features": [{"name": "ax"}, COLOR, {"name": "az"}],
                "vectors": [{"axes": ["ax", "ay", "az"], "kind": "acceleration"}],
            },
            "vectors may name features of numbers; not ay",
        ),
    ],
)
def test_a_bad_entry_is_one_line_with_file_and_field(write, changes, expected):
    path = write(**changes)
    with pytest.raises(UserError) as caught:
        load_dataset("tiny", path)
    assert str(caught.value).startswith(f"{path}: datasets.tiny")
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_dataset_is_answered_with_those_there_are(write):
    path = write()
    with pytest.raises(UserError) as caught:
        load_dataset("big", path)
    assert str(caught.value) == f"params.yaml: dataset is 'big'; {path} has tiny"


def test_a_faulty_neighbour_does_not_stop_a_dataset(write):
    path = write()
    path.write_text(path.read_text() + "  other: {path: 3, settings: {}}\n")
    assert load_dataset("tiny", path).num_samples == 480
    with pytest.raises(UserError, match=r"datasets\.other\.path is 3"):
        load_catalog(path)


def test_a_catalog_without_datasets_is_one_line(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text("sensor: 1\n")
    with pytest.raises(UserError, match="expected one key, datasets"):
        load_catalog(path)


@pytest.mark.parametrize("name", ["my data", "tiny.v2", "a;b", "", 3])
def test_a_name_that_could_not_be_a_folder_a_word_and_a_key_is_refused(tmp_path, name):
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump({"datasets": {name: TINY_ENTRY}}))
    with pytest.raises(UserError, match="a name is made of letters, digits, - and _"):
        load_catalog(path)


def test_an_entry_edited_meanwhile_is_refused(write):
    path = write()
    before = load_dataset("tiny", path)
    refuse_changed_entry("tiny", before, path)
    write(classes=["down", "up"])
    with pytest.raises(UserError, match=r"datasets\.tiny: edited while the stage ran"):
        refuse_changed_entry("tiny", before, path)
