"""What a column becomes, and that the plan says what is not trained on."""

from pathlib import Path

import pytest
from support.tables import write

from pipeline.contract.catalog import load_dataset


def rows(*columns):
    return "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


LABELS = ["a", "b"] * 60
MEASURED = [f"{(number * 7) % 11}.5" for number in range(120)]


def table_with(tmp_path, values, name="own.csv"):
    return write(tmp_path / name, "kind,x,y\n" + rows(values, MEASURED, LABELS))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["yes", "no"], ["no", "yes"]),
        (["t", "f", ""], ["f", "t"]),
        (["red ", "green", "dark, blue"], None),
        (["10 mg", "5 mg", "n/a"], ["10 mg", "5 mg"]),
        ([f"site {number}" for number in range(30)], None),
    ],
)
def test_a_text_of_few_values_is_a_category(words, expected, planned, added, checked, tmp_path):
    quoted = [f'"{word}"' if "," in word else word for word in words]
    path = table_with(tmp_path, quoted * (120 // len(words)))
    (category, _) = planned(path)["entry"]["features"]
    assert (category["kind"], category["missing"]) == ("category", "mean")
    assert category["categories"] == (expected or sorted(word.strip() for word in words))
    added(path)
    assert checked() == ["mine: 120 rows, 0 rejected"]


def test_the_plan_shows_how_many_rows_have_each_category(planned, tmp_path):
    plan = planned(table_with(tmp_path, ["b"] * 70 + ["none"] * 3 + ["a"] * 47))
    assert plan["categories"] == {"kind": {"b": 70, "a": 47}}
    assert plan["notes"] == ["kind: 'none' counts as missing in 3 rows; --not-missing none makes it a category"]
    plan = planned(table_with(tmp_path, ["b"] * 70 + ["none"] * 3 + ["a"] * 47), "--not-missing", "none")
    assert plan["categories"] == {"kind": {"b": 70, "a": 47, "none": 3}}


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([f"n{number % 31}" for number in range(120)], "text of up to 100 values; kept as extra, since few rows"),
        ([f"n{number}" for number in range(120)], "text of more than 100 values, as names and remarks have"),
        (["same"] * 120, "the same text wherever there is one; kept as extra"),
        (["", "NA"] * 60, "no value in any row; kept as extra"),
    ],
)
def test_what_is_not_trained_on_is_kept_and_named(values, note, planned, added, checked, updated, tmp_path):
    path = table_with(tmp_path, values)
    plan = planned(path)
    assert plan["entry"]["extra"] == ["kind"]
    assert [text for text in plan["notes"] if text.startswith(f"kind: {note}")]
    added(path)
    assert checked() == ["mine: 120 rows, 0 rejected"]
    assert updated(path)[0] == 0


def test_any_column_may_be_called_a_category(planned, refused, tmp_path):
    many = table_with(tmp_path, [f"n{number % 31}" for number in range(120)])
    assert len(planned(many, "--category", "kind")["entry"]["features"][0]["categories"]) == 31
    coded = table_with(tmp_path, ["10", "9", "unknown"] * 40)
    assert planned(coded, "--category", "kind")["entry"]["features"][0]["categories"] == ["9", "10", "unknown"]
    (line,) = refused(coded)
    assert "if it is a category: --category kind" in line
    names = table_with(tmp_path, range(120))
    assert refused(names, "--category", "kind") == ["--category kind: 120 values; expected 2 to 100"]
    assert refused(names, "--category", "no") == ["--category no: no such column; there are kind, x, y"]


def test_a_category_under_two_spellings_is_refused_or_joined(planned, refused, added, tmp_path):
    path = table_with(tmp_path, ["Red", "red", "red", "blue"] * 30)
    assert refused(path)[0].startswith("kind: 'red' and 'Red' differ only in case")
    assert planned(path, "--spellings", "keep")["categories"] == {"kind": {"red": 60, "Red": 30, "blue": 30}}
    added(path, spellings="join")
    assert load_dataset("mine").features[0].categories == ("blue", "red")
    assert "Red" not in Path("data/raw/mine/own.csv").read_text()


def test_an_update_puts_a_new_category_last_and_keeps_one_that_is_gone(added, updated, checkout, tmp_path):
    added(table_with(tmp_path, ["m", "z"] * 60))
    new = table_with(tmp_path, ["a", "z", "z"] * 40, "new.csv")
    code, said = updated(new)
    assert (code, "kind: z 80, a 40" in said) == (0, True)

    from pipeline.contract.catalog import Dataset
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.commands import plan_dataset
    from pipeline.import_data.reading.dialect import DialectOptions, read_sample
    from pipeline.import_data.update import keep_old_entry, original_options

    dataset = load_dataset("mine")
    options = original_options(dataset, ImportOptions())
    plan = plan_dataset("mine", "", options, [read_sample(new, new.name, DialectOptions())])
    entry = Dataset.model_validate(keep_old_entry(dataset, plan).entry)
    assert entry.features[0].categories == ("m", "z", "a")


def test_a_column_that_changes_its_kind_is_not_taken(added, updated, tmp_path):
    added(table_with(tmp_path, MEASURED))
    code, said = updated(table_with(tmp_path, ["red", "blue"] * 60))
    assert (code, said.splitlines()[-1]) == (1, "kind: a number in mine, and a category in the new files")


def test_where_nothing_is_left_to_train_on_the_line_says_what_to_type(refused, planned, tmp_path):
    path = write(
        tmp_path / "own.csv", "y,who,day,when\n" + "a,n1,1,2024-01-01\nb,n2,2,2024-01-02\na,n3,3,2024-01-03\n" * 1
    )
    (line,) = refused(path)
    assert line.startswith("0 features; expected 1 to 1,000; who: text of up to 100 values")
    for words in ("--category who", "--date-features when", "--feature day"):
        assert words in line
        assert len(planned(path, *words.split())["entry"]["features"]) == 1


def test_codes_of_which_some_look_like_numbers_are_text(planned, tmp_path):
    codes = [f"{number:02}{'JMR'[number % 3]}" if number % 4 else str(number) for number in range(120)]
    plan = planned(table_with(tmp_path, codes))
    assert plan["entry"]["extra"] == ["kind"]
    assert plan["notes"][0].startswith("kind: text of more than 100 values")
    remarks = ["1,200 paid"] * 30 + ["1,200"] * 10 + ["due"] * 80
    plan = planned(
        write(tmp_path / "few.csv", "kind,x,y\n" + rows([f'"{one}"' for one in remarks], MEASURED, LABELS))
    )
    assert plan["categories"] == {"kind": {"due": 80, "1,200 paid": 30, "1,200": 10}}


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("year", [str(1900 + number) for number in range(120)], None),
        ("month", [f"{1990 + number // 12}-{number % 12 + 1:02}" for number in range(120)], "time"),
    ],
)
def test_amounts_over_time_are_trained_on_the_time_where_there_is_nothing_else(
    name, values, kind, planned, added, checked, updated, tmp_path
):
    path = write(tmp_path / "nile.csv", f"{name},volume\n" + rows(values, MEASURED))
    plan = planned(path, "--label", "volume")
    (feature,) = plan["entry"]["features"]
    assert (feature["name"], feature.get("kind")) == (name, kind)
    assert f"{name}: in the order of the rows; trained on, since there is nothing else" in plan["notes"]
    added(path, "volume")
    assert checked() == ["mine: 120 rows, 0 rejected"]
    assert "Nothing to do" in updated(path)[1]


def test_of_classes_in_the_order_of_the_rows_the_time_would_tell_the_answer(refused, tmp_path):
    path = write(tmp_path / "sorted.csv", "time,y\n" + rows(range(120), sorted(LABELS)))
    assert "0 features; expected 1 to 1,000" in refused(path, "--label", "y")[0]
