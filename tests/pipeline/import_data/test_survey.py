"""Whole files are read and counted, whatever their columns are called."""

import pytest
from support.tables import write


@pytest.mark.parametrize("name", ["count", "value", "len", "literal", "missing", "rows"])
def test_a_label_may_be_called_anything(name, planned, added, updated, checked, tmp_path):
    path = write(tmp_path / "own.csv", f"mass,{name}\n1,a\n2,a\n3,b\n4,b\n6,b\n")
    assert planned(path, "--label", name)["classes"] == {"a": 2, "b": 3}
    added(path, name)
    assert checked() == ["mine: 5 rows, 0 rejected"]
    write(path, path.read_text() + "9,b\n")
    code, said = updated(path)
    assert (code, "class b                        4 +1" in said) == (0, True)


@pytest.mark.parametrize("name", ["count", "value", "len"])
def test_a_group_and_a_feature_may_be_called_anything(name, planned, tmp_path):
    path = write(tmp_path / "own.csv", f"{name},y,mass\n3,a,4\n1,b,5\n2,b,7\n")
    assert planned(path, "--label", "y", "--group", name)["entry"]["group"] == name
    (feature,) = planned(path, "--label", "y", "--extra", "mass")["entry"]["features"]
    assert feature["name"] == name
