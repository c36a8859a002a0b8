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


@pytest.mark.parametrize(
    ("words", "options", "missing"),
    [(["NA"], (), ()), (["n/a", "?"], (), ()), (["None", "-"], (), ()), (["k.A."], ("--missing", "K.a."), ("K.a.",))],
)
def test_words_for_missing_values_are_no_labels_and_groups(
    words, options, missing, planned, added, updated, checked, tmp_path
):
    rows = "m,10,p\nm,11,q\nf,8,r\nf,7,s\n" + "".join(f"{word},9,t\nf,6,{word}\n{word},3,{word}\n" for word in words)
    path = write(tmp_path / "own.csv", "y,mass,who\n" + rows)
    plan = planned(path, "--group", "who", *options)
    assert plan["classes"] == {"f": 2 + len(words), "m": 2}
    assert f"{3 * len(words)} rows will be set aside: no y in {2 * len(words)}, no who in" in plan["notes"][-1]
    assert plan["entry"]["settings"]["parquet"] == {"max_rejected": 3 * len(words)}
    assert added(path, group="who", missing=missing).rejected == 3 * len(words)
    assert checked()[0] == f"mine: {4 + 3 * len(words)} rows, {3 * len(words)} rejected"
    write(path, path.read_text() + f"{words[0]},1,p\n")
    code, said = updated(path)
    assert (code, f"{3 * len(words) + 1} rows will be set aside" in said) == (0, True)


def test_a_class_may_be_called_like_a_word_for_missing_values_if_one_says_so(
    planned, refused, added, updated, tmp_path
):
    path = write(tmp_path / "own.csv", "y,mass\nnone,1\nnone,2\nmild,5\nmild,4\n")
    hint = "('none' counts as missing, unless you type --not-missing none)"
    assert refused(path) == [f"y: one class, mild; expected 2 to 100 {hint}"]
    assert planned(path, "--not-missing", "none")["classes"] == {"mild": 2, "none": 2}
    signs = write(tmp_path / "signs.csv", "y,mass\n-,1\n-,2\n+,5\n+,4\n")
    assert planned(signs, "--not-missing", "-")["classes"] == {"+": 2, "-": 2}
    added(path, not_missing=("none",))
    write(path, path.read_text() + "none,7\n")
    assert "class none                     3 +1" in updated(path)[1], "the catalog knows the class"


def test_a_table_of_labels_that_says_missing_says_nothing(refused, tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"own/{name}.csv", "x\n1.5\n2.5\n")
    labels = write(tmp_path / "labels.csv", "file,label\na,up\nb,NA\nc,down\n")
    assert refused(tmp_path / "own", "--labels", labels)[0].endswith("labels.csv: b.csv: no label")
