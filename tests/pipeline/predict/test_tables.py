"""trackstack predict: the labels of evaluate, and one line for what does not fit."""

import polars as pl
import pytest
from support.projects import run_in

from pipeline.import_data.reading.dialect import DialectOptions
from pipeline.predict.tables import predict
from trackstack import UserError


def test_the_labels_are_those_of_evaluate(tiny_project, table, evaluated, tmp_path):
    out = tmp_path / "labels.csv"
    said = run_in(tiny_project, ["trackstack", "predict", str(table), "--out", str(out)])
    assert said.stderr.startswith(f"{out}: 10 windows of 20 rows, by cnn of run r")
    assert said.stdout == ""
    found = pl.read_csv(out)
    assert found["predicted"].to_list() == evaluated["predicted"].to_list()
    assert (
        found.select(pl.max_horizontal("p_up", "p_down")).to_series().to_list() == evaluated["confidence"].to_list()
    )
    assert found["row"].to_list() == [0, 10, 20, 30, 40, 60, 70, 80, 90, 100]
    assert found.columns == ["subject", "recording", "row", "predicted", "p_up", "p_down"]
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_parquet_holds_what_csv_shows(table, model, tmp_path):
    found, _ = predict(table, model, tmp_path / "labels.parquet")
    assert pl.read_parquet(tmp_path / "labels.parquet").equals(found)
    assert found.select(pl.sum_horizontal("p_up", "p_down")).to_series().to_list() == pytest.approx([1.0] * 10)


def test_without_the_columns_of_group_and_series_all_is_one_recording(table, model, tmp_path):
    pl.read_csv(table).select("az", "ax", "ay").write_csv(tmp_path / "bare.csv")
    found, said = predict(tmp_path / "bare.csv", model)
    assert found["row"].to_list() == list(range(0, 101, 10))
    assert said.endswith("; no column recording: taken for one recording")


def test_a_word_may_stand_for_a_missing_value(tabular, tmp_path):
    (tmp_path / "t.csv").write_text("size,age\n1,k.A.\n1,40\n")
    found, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"), missing=("k.A.",))
    assert found["p_1"][0] == found["p_1"][1], "the mean of the training rows"


@pytest.mark.parametrize(
    ("text", "said", "options", "age"),
    [
        ('size,age\n1,"1,200"\n1,900\n', "line 2: age is '1,200', which has two readings", {"thousands": ","}, 1200),
        ('size,age\n1,"1,200"\n1,900\n', "line 2: age is '1,200', which has two readings", {"decimal": ","}, 1.2),
        ("size;age\n1,5;900\n1,5;1.200\n", "line 3: age is '1.200' beside decimal", {"thousands": "."}, 1200),
        ("size;age\n1;1.200\n1;2.300\n", "line 2: age is '1.200', which has two readings", {"decimal": "."}, 1.2),
        ("size;age\n1;1'200\n", 'line 2: age is "1\'200", which has separators', {"thousands": "'"}, 1200),
        ("size,age\n1,1 200\n", "line 2: age is '1 200', which has separators", {"thousands": " "}, 1200),
    ],
)
def test_a_number_with_two_readings_is_refused_until_an_option_decides(text, said, options, age, tabular, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError) as error:
        predict(tmp_path / "t.csv", str(tmp_path / "model"))
    assert str(error.value).startswith(f"{tmp_path}/t.csv, {said}")
    found, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"), dialect=DialectOptions(**options))
    size = float(text.splitlines()[1][0] + (".5" if "1,5" in text else ""))
    plain = "".join(f"{size},{value}\n" for value in ([900, age] if "900\n1,5" in text else [age]))
    (tmp_path / "plain.csv").write_text("size,age\n" + plain)
    expected, _ = predict(tmp_path / "plain.csv", str(tmp_path / "model"))
    assert found[: len(expected)].equals(expected)


@pytest.mark.parametrize("before", ["# made by hand\n# two lines\n", "sep=,\n", "# one\n"])
def test_lines_before_the_header_are_skipped_and_counted(before, tabular, tmp_path):
    (tmp_path / "t.csv").write_text(before + "size,age\n1,40\n2,50\n")
    found, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"))
    assert found["row"].to_list() == [0, 1]
    (tmp_path / "t.csv").write_text(before + "size,age\n1,40\n9,50\n")
    with pytest.raises(UserError, match=f"line {before.count(chr(10)) + 3}: size is 9"):
        predict(tmp_path / "t.csv", str(tmp_path / "model"))


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl"])
def test_a_table_of_another_format_has_the_same_labels(table, model, tmp_path, name):
    rows = pl.read_csv(table)
    rows.write_parquet(tmp_path / name) if name == "t.parquet" else rows.write_ndjson(tmp_path / name)
    assert predict(tmp_path / name, model)[0].equals(predict(table, model)[0])


def test_a_table_of_another_spelling_has_the_same_labels(table, model, tmp_path):
    rows = pl.read_csv(table).with_columns(pl.lit("Müller").alias("Prüfer"))
    (tmp_path / "deutsch.csv").write_text(rows.write_csv(separator=";", decimal_comma=True), "cp1252")
    assert "8;4;-0,9" in (tmp_path / "deutsch.csv").read_text("cp1252")
    found, _ = predict(tmp_path / "deutsch.csv", model)
    assert found.equals(predict(table, model)[0])


HEADER = "recording,subject,ax,ay,az"
ROW = "1,1,0.1,0.2,0.3\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "t.csv: empty, expected a header and rows"),
        (f"{HEADER}\n", "t.csv: a header and no row"),
        (
            f"{HEADER}\n" + ROW * 19,
            "t.csv: the longest recording has 19 rows; expected 20 or more, the model's window",
        ),
        (f"{HEADER}\n" + 19 * (ROW + "2" + ROW[1:]), "t.csv: the longest recording has 1 rows; expected 20 or more"),
        ("ax,az,label\n1,2,up\n", "t.csv: no column ay; expected ax, ay, az, not ax, az, label"),
        ("ax:ay:az\n1:2:3\n", "t.csv: not a CSV file: no comma, semicolon, tab or bar cuts its lines alike"),
        (f"{HEADER}\n{ROW}1,1,0.1,fast,0.3\n", "t.csv: line 3: ay is 'fast'; expected a number, or --missing"),
        (f"{HEADER}\n{ROW}{ROW}1,1,0.1,,0.3\n" + ROW, "t.csv: line 4: ay is missing; expected a finite number"),
        (
            f"{HEADER}\n{ROW}1,1,inf,0,0\n1,1,inf,0,0\n",
            "t.csv: line 3: ax is inf; expected a finite number (and 1 more)",
        ),
        (f"{HEADER}\n{ROW}{ROW}1,1,0,0,0,0\n", "t.csv: cannot be read: CSV parse error: "),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(content, said, model, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UserError) as error:
        predict(tmp_path / "t.csv", model, tmp_path / "out.csv")
    assert str(error.value).startswith(f"{tmp_path}/{said}")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_what_is_no_model_and_no_output_is_one_line(table, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"model\.json: no such file; type: trackstack repair .* && dvc repro$"):
        predict(table, str(tmp_path))
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.safetensors: no such file"):
        predict(table, str(tmp_path))
    with pytest.raises(UserError, match=r"x\.json: expected a \.csv or \.parquet file"):
        predict(table, model, tmp_path / "x.json")
    with pytest.raises(UserError, match=r"expected --model with a model folder or an MLflow URI"):
        predict(table, None)


def test_categories_and_dates_are_read_as_when_they_were_added(colorful, tmp_path):
    def labels(text, **options):
        (tmp_path / "t.csv").write_text(text)
        return predict(tmp_path / "t.csv", str(tmp_path / "model"), **options)

    plain, said = labels("color,when,site\nred,1641751200.5,1\nblue,,2\n,1641772800,1\n")
    assert "unknown" not in said
    dates = "color,when,site\n red ,2022-01-09 18:00:00.5,1\nblue,NA,2\n{},2022-01-10 00:00:00,1\n"
    assert labels(dates.format("n/a"))[0].equals(plain)
    found, said = labels(dates.format("green"))
    assert found.equals(plain)
    assert said.endswith("; 1 value of color is unknown (green): taken for missing")
    found, said = labels(dates.format("").replace("blue", "Blue"))
    assert found.equals(plain)
    assert said.endswith("; color: 'Blue' is read as 'blue'")
    assert labels(dates.format("k.A."), missing=("k.A.",))[1].count("unknown") == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("red,01/02/2022,1\n", "t.csv: when is '01/02/2022': the day or the month first? No row tells; type: "),
        ("red,2022-01-09,1\nred,soon,1\n", "t.csv: line 3: when is 'soon'; expected a date like those in other rows"),
        ("red,soon,1\n", "t.csv: line 2: when is 'soon'; expected a date like those in other rows"),
        ("red,5,1\nred,2022-01-09,1\n", "t.csv: line 3: when is '2022-01-09'; expected a number"),
        ("red,5,3\n", "t.csv: line 2: site is 3; expected one of 1, 2"),
        ("red,5,\n", "t.csv: line 2: site is missing; expected one of 1, 2"),
    ],
)
def test_a_date_or_category_that_does_not_fit_is_one_line(rows, said, colorful, tmp_path):
    (tmp_path / "t.csv").write_text("color,when,site\n" + rows)
    with pytest.raises(UserError) as error:
        predict(tmp_path / "t.csv", str(tmp_path / "model"))
    assert str(error.value).startswith(f"{tmp_path}/{said}")
    assert "\n" not in str(error.value)


def test_a_format_settles_what_a_date_says(colorful, tmp_path):
    (tmp_path / "t.csv").write_text("color,when,site\nred,01/02/2022,1\n")
    found, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"), date_formats=("%d/%m/%Y",))
    (tmp_path / "t.csv").write_text("color,when,site\nred,2022-02-01,1\n")
    assert found.equals(predict(tmp_path / "t.csv", str(tmp_path / "model"))[0])


def test_columns_of_the_table_are_kept_beside_the_labels(tabular, tmp_path):
    (tmp_path / "t.csv").write_text("who,size,age\n 007 ,1,40\nb,2,50\n")
    found, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"), extra=("who", "size"))
    assert found.columns == ["row", "who", "size", "predicted", "p_1", "p_2"]
    assert found.select("who", "size").rows() == [(" 007 ", "1"), ("b", "2")]
    plain, _ = predict(tmp_path / "t.csv", str(tmp_path / "model"))
    assert found.drop("who", "size").equals(plain)
    (tmp_path / "t.csv").write_text("predicted,size,age\n1,1,40\n")
    for name, said in (
        ("predicted", "the result has a column of that name"),
        ("no", "no such column; there are pred"),
    ):
        with pytest.raises(UserError, match=f"--extra {name}: {said}"):
            predict(tmp_path / "t.csv", str(tmp_path / "model"), extra=(name,))


def test_of_a_window_its_first_row_is_kept(table, model, tmp_path):
    rows = pl.read_csv(table).with_row_index("number")
    rows.write_csv(tmp_path / "t.csv")
    found, _ = predict(tmp_path / "t.csv", model, extra=("number", "subject"))
    assert found.columns[:4] == ["subject", "recording", "row", "number"]
    assert found["number"].to_list() == [str(row) for row in found["row"]]


def test_numbers_in_the_place_of_dates_are_taken_for_seconds_and_it_is_said(colorful, tmp_path):
    (tmp_path / "t.csv").write_text("color,when,site\nred,45300,1\n")
    _, said = predict(tmp_path / "t.csv", str(tmp_path / "model"))
    assert said.endswith("; when: numbers, taken for seconds since 1970")
