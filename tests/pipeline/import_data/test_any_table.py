"""Other people's tables mean what they say, or are refused: in `add`, `update`, `check` and `predict` alike."""

import gzip
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import pytest
from support.classifiers import save_random_model
from support.tables import write, write_workbook

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.advice import group_notes
from pipeline.import_data.apply import validate_files, write_entry, write_files
from pipeline.import_data.check_rows import check_rows
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.commands import plan_dataset
from pipeline.import_data.reading.dialect import DialectOptions, read_samples, refuse_unused
from pipeline.import_data.update import find_changes, keep_old_entry, original_options
from pipeline.predict.tables import predict
from trackstack import UserError


class Case(NamedTuple):
    """A file as somebody has it, and the same rows as the pipeline reads them."""

    kind: str
    content: Any
    """Text, bytes, or the rows of a workbook."""
    rows: str
    """Of the raw file, without its header."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Without them it is refused."""
    says: str = ""
    """Part of the line that refuses it."""
    rejected: int = 0
    in_predict: bool = True
    """Whether what is refused is in a feature, so that `predict` refuses it, too."""
    name: str = "own.csv"
    header: str = "x,c,y"


ROWS = "1.5,red,u\n2.5,blue,v\n3.5,red,u\n4.5,blue,v\n5.5,red,u\n6.5,blue,v\n"
TABLE = "x,c,y\n" + ROWS
CELLS = [[float(x), c, y] for x, c, y in (row.split(",") for row in ROWS.split())]
NAMES = ["x", "c", "y"]


def with_x(*values, delimiter=","):
    """The table with other numbers."""
    rows = [f"{value}{delimiter}{c}{delimiter}{y}\n" for value, (_, c, y) in zip(values, CELLS, strict=True)]
    return delimiter.join(NAMES) + "\n" + "".join(rows)


def rows_of(text):
    return text.partition("\n")[2]


def zipped(text):
    def write_to(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("own.csv", text)

    return write_to


US = with_x(*('"1,200"', 950, 980, 990, 5, 7))
GERMAN = with_x(*("1.200", "950,5", "1,5", "2,5", "3,5", "4,5"), delimiter=";")
GROUPED = "x,c,y\n" + "1.5,{0},u\n2.5,{0},v\n3.5,{1},u\n4.5,{0},v\n5.5,q,u\n6.5,q,v\n"


def spelled(first, second):
    """Three rows of one spelling, one of another."""
    return GROUPED.format(first, second)


def joined(first):
    return rows_of(GROUPED.format(first, first))


def label_of(*names):
    return "x,c,y\n" + "".join(f"{x},{c},{name}\n" for (x, c, _), name in zip(CELLS, names, strict=True))


def missing_label(word):
    return label_of("u", "v", word, "v", "u", "v")


JOIN = {"spellings": "join"}
CASES = [
    # Numbers with two readings.
    Case("thousands", US, rows_of(with_x(1200, 950, 980, 990, 5, 7)), {"thousands": ","}, "two readings"),
    Case(
        "thousands",
        US,
        rows_of(with_x(1.200, 950, 980, 990, 5, 7)).replace("1.2,", "1.200,"),
        {"decimal": ","},
        "--decimal",
    ),
    Case("thousands", GERMAN, rows_of(with_x(1200, 950.5, 1.5, 2.5, 3.5, 4.5)), {"thousands": "."}, "two readings"),
    Case(
        "thousands",
        with_x("1 200", 5, 7, 8, 9, 10),
        rows_of(with_x(1200, 5, 7, 8, 9, 10)),
        {"thousands": " "},
        "separators",
    ),
    Case(
        "thousands",
        with_x("1\u2019200.5", 5, 7, 8, 9, 10),
        rows_of(with_x(1200.5, 5, 7, 8, 9, 10)),
        {"thousands": "'"},
        "separators",
    ),
    Case(
        "thousands",
        with_x('"-1,234,567"', 5, 7, 8, 9, 10),
        rows_of(with_x(-1234567, 5, 7, 8, 9, 10)),
        {"thousands": ","},
        "separators",
    ),
    Case(
        "decimal",
        with_x("0,5", "1,5", "2,25", "3,5", "4,5", "5,5", delimiter=";"),
        rows_of(with_x(0.5, 1.5, 2.25, 3.5, 4.5, 5.5)),
    ),
    Case(
        "decimal",
        with_x("1,5", "1,5", "2,5", "3,5", "4,5", "1,200", delimiter="\t"),
        rows_of(with_x(1.5, 1.5, 2.5, 3.5, 4.5, "1.200")),
    ),
    # Numbers that are none to the pipeline.
    *(
        Case(
            "beyond",
            with_x(number, 5, 7, 8, 9, 10),
            rows_of(with_x("", 5, 7, 8, 9, 10)),
            {"missing": number},
            f"{number!r} among numbers",
        )
        for number in ("1e39", "-1e400", "inf", "\u22125.5")
    ),
    Case("truth", with_x("true", "FALSE", "True", "false", "true", "NA"), rows_of(with_x(1, 0, 1, 0, 1, ""))),
    # Words for missing values: in features ...
    *(
        Case("missing feature", with_x(word, 5, 7, 8, 9, 10), rows_of(with_x("", 5, 7, 8, 9, 10)))
        for word in ("NA", " n/a ", "#N/A", "<NA>", "#DIV/0!", "1.#QNAN", "NaT", "?", "-")
    ),
    Case(
        "missing feature",
        with_x("k.A.", 5, 7, 8, 9, 10),
        rows_of(with_x("", 5, 7, 8, 9, 10)),
        {"missing": "k.A."},
        "--missing k.A.",
    ),
    # ... in categories ...
    *(
        Case("missing category", TABLE.replace("3.5,red", f"3.5,{word}"), ROWS.replace("3.5,red", "3.5,"))
        for word in ("NA", "#N/A", "<NA>", "None", " null ", "n.a.", "#REF!")
    ),
    # ... and in labels.
    *(
        Case("missing label", missing_label(word), rows_of(missing_label("")), rejected=1)
        for word in ("NA", "#N/A", "<NA>", "n.a.", "NULL", "?", "#VALUE!", "NaT", "None ")
    ),
    Case(
        "word that is a class",
        label_of("none", "mild", "none", "mild", "none", "mild"),
        rows_of(label_of("none", "mild", "none", "mild", "none", "mild")),
        {"not_missing": "none"},
        "--not-missing none",
        in_predict=False,
    ),
    # Names that are alike.
    *(
        Case(
            "spelling of a category",
            spelled(first, second),
            joined(first),
            JOIN,
            "--spellings join",
            in_predict=False,
        )
        for first, second in (
            ("Red", "red"),
            ("dark red", "dark  red"),
            ("1", "1.0"),
            ("7", "07"),
            ("caf\u00e9", "cafe\u0301"),
            ("A\u20111", "A-1"),
            ("O'Brien", "O\u2019Brien"),
            ("stra\u00dfe", "STRASSE"),
            ("a\u00a0b", "a b"),
            ("-1", "\u22121"),
        )
        if first != "1" and first != "7" and first != "-1"
    ),
    *(
        Case(
            "spelling of a label",
            label_of(first, "q", first, "q", second, first),
            rows_of(label_of(first, "q", first, "q", first, first)),
            JOIN,
            "--spellings join",
            in_predict=False,
        )
        for first, second in (
            ("Yes", "yes"),
            ("1", "1.0"),
            ("1", "1e0"),
            ("P\u20131", "P-1"),
            ("\u0661", "1"),
            ("a b", "a\tb"),
        )
    ),
    Case(
        "spaces around a label",
        label_of("u", "v ", " u", "v", "u", "v"),
        rows_of(label_of("u", "v", "u", "v", "u", "v")),
    ),
    # Headers and what stands above them.
    *(
        Case("above the header", above + TABLE, ROWS)
        for above in (
            "# made\n# by me\n",
            "% made\n",
            "// made\n",
            "! made\n",
            "sep=,\n",
            "SEP=,\n",
            "Table 1\n",
            "Table 1\n\n",
            "Table 1,,\n",
            "\ufeff# made\n",
            "\n\n",
        )
    ),
    Case("above the header", "sep=;\n" + TABLE.replace(",", ";"), ROWS),
    Case("above the header", "Table 1, by me\n" + TABLE, ROWS, {"skip": 1}, "--skip N"),
    Case("above the header", '"# made, by me"\n' + TABLE, ROWS, {"skip": 1}, "--skip N"),
    Case("above the header", "Table 1\nby me\n" + TABLE, ROWS, {"skip": 2}, "--skip N"),
    *(Case("units", f"x,c,y\n{units}\n" + ROWS, ROWS) for units in ("mm,,", "[mm],,", "(mm),,class", "\u00b5m,-,-")),
    Case("numeric names", TABLE.replace("x,c", "400,c"), ROWS, header="400,c,y"),
    Case(
        "numeric names",
        "400,410.5,y\n" + ROWS.replace("red", "1").replace("blue", "2"),
        ROWS.replace("red", "1").replace("blue", "2"),
        header="400,410.5,y",
    ),
    Case(
        "numeric names",
        "0,1,y\n" + ROWS.replace("red", "1").replace("blue", "2"),
        ROWS.replace("red", "1").replace("blue", "2"),
        header="0,1,y",
    ),
    Case("empty columns", TABLE.replace("\n", ",,\n"), ROWS),
    Case("empty columns", TABLE.replace(",", ";").replace("\n", "; \n"), ROWS),
    Case("blank lines", TABLE.replace("3.5", "\n3.5"), ROWS),
    Case("line ends", TABLE.replace("\n", "\r"), ROWS),
    Case("line ends", TABLE.replace("red", '"dark\nred"'), ROWS.replace("red", "dark red")),
    Case("line ends", TABLE.replace("u\n", '"u\r\n\r\nx"\n'), ROWS.replace("u\n", "u x\n")),
    Case("line ends", TABLE.replace("red", '"dark, \nred"'), ROWS.replace("red", '"dark,  red"')),
    Case("line ends", TABLE.replace("\n", "\r\n"), ROWS),
    Case("encoding", TABLE.replace("red", "gr\u00fcn").encode("cp1252"), ROWS.replace("red", "gr\u00fcn")),
    Case("encoding", TABLE.replace("red", "gr\u00fcn").encode("utf-16"), ROWS.replace("red", "gr\u00fcn")),
    Case(
        "encoding",
        TABLE.replace("red", "\u0437").encode("koi8-r") + b"\n",
        ROWS.replace("red", "\u0437"),
        {"encoding": "koi8-r"},
    ),
    # Formats.
    Case("spaces", TABLE.replace(",", "   "), ROWS, name="own.txt"),
    Case("spaces", TABLE.replace(",", " "), ROWS, name="own.txt"),
    Case("bars", TABLE.replace(",", "|"), ROWS, name="own.txt"),
    Case("tabs", TABLE.replace(",", "\t"), ROWS, name="own.tsv"),
    Case("colons", TABLE.replace(",", ":"), ROWS, {"delimiter": ":"}, "--delimiter"),
    Case("workbook", [NAMES, *CELLS], ROWS, name="own.xlsx"),
    Case("workbook", [["Made in May"], NAMES, *CELLS], ROWS, name="own.xlsx"),
    Case("workbook", [NAMES, ["mm", "", ""], *CELLS], ROWS, name="own.xlsx"),
    Case("workbook", [["by", "me", "1"], NAMES, *CELLS], ROWS, {"skip": 1}, "no such column", name="own.xlsx"),
    Case("compressed", gzip.compress(TABLE.encode()), ROWS, name="own.csv.gz"),
    Case("compressed", zipped(TABLE), ROWS, name="own.zip"),
    Case("parquet", lambda path: pl.read_csv(TABLE.encode()).write_parquet(path), ROWS, name="own.parquet"),
    Case("feather", lambda path: pl.read_csv(TABLE.encode()).write_ipc(path), ROWS, name="own.feather"),
    Case("records", lambda path: pl.read_csv(TABLE.encode()).write_json(path), ROWS, name="own.json"),
    Case("records", lambda path: pl.read_csv(TABLE.encode()).write_ndjson(path), ROWS, name="own.jsonl"),
    Case(
        "arff",
        "@relation r\n@attribute x numeric\n@attribute c {red,blue}\n@attribute y {u,v}\n@data\n" + ROWS,
        ROWS,
        name="own.arff",
    ),
    # Text alone, and names of columns that are words of polars.
    Case("text alone", "a,c,y\n" + "n,red,u\nm,blue,v\n" * 3, "n,red,u\nm,blue,v\n" * 3, header="a,c,y"),
    *(
        Case("names", TABLE.replace("x,c", f"{name},literal"), ROWS, header=f"{name},literal,y")
        for name in ("count", "len", "rows")
    ),
]


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        write_workbook(path, Data=content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif callable(content):
        content(path)
    else:
        write(path, content)
    return path


def import_options(options):
    of_dialect = {name: value for name, value in options.items() if name in DialectOptions.__dataclass_fields__}
    repeated = {name: (options[name],) for name in ("missing", "not_missing") if name in options}
    spellings = {name: options[name] for name in ("spellings",) if name in options}
    return ImportOptions("y", **spellings, **repeated, dialect=DialectOptions(**of_dialect))


@pytest.fixture
def small_checkout(tmp_path, monkeypatch):
    """A catalog that is read fast: what the commands do is called here without their command lines."""
    write(tmp_path / "checkout/data/catalog.yaml", "datasets:\n  other: {path: data/raw/other}\n")
    monkeypatch.chdir(tmp_path / "checkout")


def plan_for(path, options):
    return plan_dataset("mine", "", options, read_samples(str(path), options.dialect))


def add(path, options):
    plan = plan_for(path, options)
    raw = Path(plan.entry["path"])
    raw.mkdir(parents=True)
    write_files(plan, raw)
    write_entry("mine", (written_ := validate_files(plan, raw)).entry)
    return plan, written_


def update(path, options):
    """The names of the files that would stay as they are."""
    dataset = load_dataset("mine")
    plan = keep_old_entry(dataset, plan_for(path, original_options(dataset, options)))
    return plan, find_changes(dataset, plan).same


def label(path, model, options):
    found, said = predict(path, str(model), missing=options.missing, dialect=options.dialect)
    return found.rows(), said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_a_table_means_what_it_says_in_every_command(case, small_checkout, tmp_path):
    path = written(tmp_path / "own" / case.name, case.content)
    plain = write(tmp_path / "plain.csv", f"{case.header}\n{case.rows}")
    expected = pl.read_csv(plain, infer_schema=False)
    without, options = ImportOptions("y"), import_options(case.options)
    if case.says:
        with pytest.raises(UserError) as error:
            plan_for(path, without)
        assert case.says in str(error.value)
    _, done = add(path, options)
    (raw,) = Path("data/raw/mine").iterdir()
    assert pl.read_csv(raw, infer_schema=False).select(expected.columns).equals(expected)
    (checked,) = check_rows("mine")
    assert (done.rejected, checked.rejected, checked.rows) == (case.rejected, case.rejected, expected.height)
    assert update(path, options)[1] == [raw.name]
    features = [one.model_dump(mode="json") for one in load_dataset("mine").features]
    model = save_random_model(tmp_path / "model", features)
    found, _ = label(path, model, options)
    assert found == label(plain, model, without)[0]
    if case.says and case.in_predict:
        with pytest.raises(UserError):
            label(path, model, without)


NUMBERS = "5.1   3.5   0\n4.1   2.5   1\n1.1   1.5   0\n1.2   1.7   1\n"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("own.csv", TABLE.replace("x,c", "x,x"), "line 1: a column is there twice: x; rename one"),
        ("own.csv", TABLE.replace("x,c", "x, x "), "a column is there twice: x"),
        ("own.csv", TABLE.replace("x,c", ",column_1"), "a column is there twice: column_1"),
        ("own.txt", TABLE.replace("x,c", "x,x").replace(",", "   "), "a column is there twice: x"),
        ("own.xlsx", [["x", "x", "y"], *CELLS], "a column is there twice: x"),
        ("own.xlsx", [["A title"], ["x", " x", "y"], *CELLS], "a column is there twice: x"),
        ("own.json", '[{"x": 1, "x": 2, "y": "u"}, {"x": 3, "x": 4, "y": "v"}]', "a column is there twice: x"),
        ("own.jsonl", '{"x": 1, "x": 2, "y": "u"}\n{"x": 3, "x": 4, "y": "v"}\n', "a column is there twice: x"),
        ("own.parquet", lambda path: pl.DataFrame({"x": [1], "x ": [2], "y": ["u"]}).write_parquet(path), "twice: x"),
        ("own.csv", NUMBERS.replace("   ", ","), "numbers where the names of columns are expected"),
        ("own.txt", NUMBERS, "numbers where the names of columns are expected"),
        ("own.txt", NUMBERS.replace("   ", " "), "numbers where the names of columns are expected"),
        ("own.csv", NUMBERS.replace("   ", ";").replace(".", ","), "numbers where the names of columns are expected"),
    ],
)
def test_what_no_option_makes_a_table_is_refused_alike(name, content, line, small_checkout, tmp_path):
    path = written(tmp_path / "own" / name, content)
    add(write(tmp_path / "plain.csv", TABLE), ImportOptions("y"))
    model = save_random_model(tmp_path / "model", [{"name": "x", "unit": "", "range": None, "missing": "mean"}])
    for command in (
        lambda: plan_for(path, ImportOptions("y")),
        lambda: update(path, ImportOptions()),
        lambda: label(path, model, ImportOptions()),
    ):
        with pytest.raises(UserError) as error:
            command()
        assert line in str(error.value)
        assert str(error.value).startswith(str(path))


def test_rows_without_a_header_are_all_there(small_checkout, tmp_path):
    for name, text in (("own.txt", NUMBERS), ("own.csv", NUMBERS.replace("   ", ","))):
        plan = plan_for(
            write(tmp_path / name, text), ImportOptions("column_3", dialect=DialectOptions(no_header=True))
        )
        assert (plan.entry["num_samples"], plan.class_rows) == (4, {"0": 2, "1": 2})


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("own.json", {"delimiter": ";"}, "--delimiter is for lines of text; this is JSON records: leave it out"),
        ("own.json", {"skip": 1}, "--skip is for lines of text"),
        ("own.parquet", {"no_header": True}, "--no-header is for lines of text; this is a Parquet file"),
        ("own.xlsx", {"encoding": "cp1252"}, "--encoding is for lines of text; this is sheet 'Data' of an Excel"),
        ("own.txt", {"encoding": "cp1252"}, "--encoding is for lines of text"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(name, options, line, tmp_path):
    frame = pl.read_csv(TABLE.encode())
    content = {
        "own.json": lambda path: frame.write_json(path),
        "own.parquet": lambda path: frame.write_parquet(path),
        "own.xlsx": [NAMES, *CELLS],
        "own.txt": TABLE.replace(",", "   "),
    }[name]
    path, given = written(tmp_path / name, content), DialectOptions(**options)
    with pytest.raises(UserError) as error:
        refuse_unused(given, read_samples(str(path), given))
    assert str(error.value).startswith(f"{path}: {line}")


def many(*columns, header="x,y"):
    rows = zip(*columns, strict=True)
    return header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


MEASURED, LABELS = [f"{at * 7 % 11}.5" for at in range(60)], ["u", "v"] * 30
BIG = [16_777_217 + 2 * (at * 7 % 60) for at in range(60)]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        # What float32 cannot tell apart.
        (many(BIG, LABELS), "x: of 60 different values float32"),
        (many([1e9 + at * 7 % 11 / 8 for at in range(60)], LABELS), "x: of 11 different values float32"),
        (many([f"1.{at * 7 % 60:09}" for at in range(60)], LABELS), "x: of 60 different values float32"),
        (many(MEASURED, [f"1700000000.{at * 7 % 10}" for at in range(60)]), "y: of 10 different values float32"),
        # A class that is rarer than folds, and one that is rare.
        (many(MEASURED, ["w", *LABELS[1:]]), "y: fewer rows than the 5 folds in w 1"),
        (many(MEASURED, ["w", "w", "w", "w", *LABELS[4:]]), "y: fewer rows than the 5 folds in w 4"),
        (many(MEASURED, ["s", "t", *LABELS[2:]]), "y: fewer rows than the 5 folds in s 1, t 1"),
        (many(MEASURED, ["w"] + ["u"] * 59), "y: w has 1 of 60 rows"),
        # Whole numbers as a label.
        (many(MEASURED * 2, [at % 12 for at in range(120)]), "y: 12 whole numbers, each a class without an order"),
        (many(MEASURED * 2, [f"{at % 12}.0" for at in range(120)]), "y: 12 whole numbers"),
        (many(MEASURED, [at % 30 for at in range(60)]), "y: 30 different whole numbers, taken for an amount"),
        (many(MEASURED, [-at for at in range(60)]), "y: 60 different whole numbers, taken for an amount"),
        # Columns that identify rows, or number them.
        (
            many([at * 7919 % 1009 for at in range(60)], MEASURED, LABELS, header="pidnum,x,y"),
            "pidnum: another whole",
        ),
        (many([at * 7919 % 1009 for at in range(60)], MEASURED, LABELS, header="ID,x,y"), "ID: another whole number"),
        (many([at * 7919 % 1009 for at in range(60)], MEASURED, LABELS, header="a,x,y"), "a: another whole number"),
        (many(range(60), MEASURED, LABELS, header="day,x,y"), "day: numbers the rows or has no name"),
        (many(range(60), MEASURED, LABELS, header=",x,y"), "column_1: numbers the rows or has no name"),
        # Rows that will be set aside.
        (many(MEASURED, ["NA", *LABELS[1:]]), "1 row will be set aside: no y in 1; 'NA' counts as missing"),
        (many(MEASURED, ["", "-", *LABELS[2:]]), "2 rows will be set aside: no y in 2; '-' counts as missing"),
        (many(MEASURED, LABELS) + "1,u,7\n", "1 row will be set aside: another number of fields in 1"),
        # Numbers as names, text that is not trained on.
        (many(MEASURED, MEASURED, LABELS, header="400,x,y"), "400: numbers as names of columns; if that line is a"),
        (many([f"n{at}" for at in range(60)], MEASURED, LABELS, header="n,x,y"), "n: text of up to 100 values; kept"),
        (many(["one"] * 60, MEASURED, LABELS, header="n,x,y"), "n: the same text wherever there is one; kept"),
    ],
    ids=lambda part: part[:30] if part.count("\n") < 2 else "",
)
def test_what_a_person_should_know_is_noted_in_add_and_update(text, note, small_checkout, tmp_path):
    path = write(tmp_path / "own.csv", text)
    first, done = add(path, ImportOptions("y"))
    (said,) = [one for one in first.notes if one.startswith(note)]
    assert first.set_aside == done.rejected
    # By next month the catalog knows what is an amount, and what is kept.
    settled = "taken for an amount" in said or "kept as extra" in said
    assert (said in update(path, ImportOptions())[0].notes) != settled


UNITS = "x,z,y\n{},g,\n" + "1.5,2,u\n2.5,3,v\n3.5,2,u\n"


@pytest.mark.parametrize("other", ["cm", "MM", "[m]"])
def test_units_that_differ_are_refused_between_files_months_and_for_a_model(other, small_checkout, tmp_path):
    write(tmp_path / "own/a.csv", UNITS.format("mm"))
    path = write(tmp_path / "own/b.csv", UNITS.format(other))
    unit = other.strip("[]")
    with pytest.raises(UserError) as error:
        plan_for(tmp_path / "own", ImportOptions("y"))
    assert str(error.value) == f"{path}: x in {unit}; a.csv has it in mm"
    add(tmp_path / "own/a.csv", ImportOptions("y"))
    with pytest.raises(UserError) as error:
        update(path, ImportOptions())
    assert str(error.value).startswith(f"x: in {unit} in the new files, and in mm in mine")
    features = [one.model_dump(mode="json") for one in load_dataset("mine").features]
    with pytest.raises(UserError) as error:
        label(path, save_random_model(tmp_path / "model", features), ImportOptions())
    assert str(error.value).startswith(f"{path}, line 2: x is in {unit}; the model was trained on mm")


def test_units_of_some_files_are_those_of_all_and_it_is_said(small_checkout, tmp_path):
    write(tmp_path / "own/a.csv", UNITS.format("").replace(",g,\n", ""))
    write(tmp_path / "own/b.csv", UNITS.format("\u00b5m"))
    write(tmp_path / "own/c.csv", UNITS.format("(\u03bcm)"))  # another letter that looks the same
    plan, done = add(tmp_path / "own", ImportOptions("y"))
    assert plan.notes[0] == "a.csv: no line of units; taken for those of the other files"
    assert [feature["unit"] for feature in plan.entry["features"]] == ["\u03bcm", "g"]
    assert (done.rejected, done.entry["num_samples"]) == (0, 9)


def test_values_that_are_no_category_are_named_when_rows_are_checked(small_checkout, tmp_path):
    add(write(tmp_path / "own.csv", TABLE), ImportOptions("y"))
    assert next(iter(check_rows("mine"))).notes == []
    raw = Path("data/raw/mine/own.csv")
    raw.write_text(TABLE.replace("3.5,red", "3.5,Red").replace("5.5,red", "5.5,green").replace("4.5,blue", "4.5,NA"))
    (checked,) = check_rows("mine")
    assert (checked.rejected, checked.notes) == (
        0,
        [
            "note: c: 'Red', 'green' in 2 rows are none of its categories, and counts as missing; if it is one, list "
            "it in data/catalog.yaml"
        ],
    )


def test_a_word_that_is_a_category_stays_one_next_month(small_checkout, tmp_path):
    text = TABLE.replace("red", "none")
    path = write(tmp_path / "own.csv", text)
    add(path, ImportOptions("y", not_missing=("none",)))
    plan, same = update(path, ImportOptions())
    assert (plan.category_rows["c"], same) == ({"blue": 3, "none": 3}, ["own.csv"])


def test_words_for_missing_values_are_those_of_the_models_dataset(small_checkout, tmp_path):
    text = with_x(-999, 5, 7, 8, 9, 10)
    path = write(tmp_path / "own.csv", text)
    add(path, ImportOptions("y", missing=("-999",)))
    features = [one.model_dump(mode="json") for one in load_dataset("mine").features]
    found, said = label(path, save_random_model(tmp_path / "model", features, dataset="mine"), ImportOptions())
    plain = write(tmp_path / "plain.csv", text.replace("-999", ""))
    assert found == label(plain, tmp_path / "model", ImportOptions())[0]
    assert said.endswith("; x: 1 missing, by the words of data/catalog.yaml")


def test_one_group_for_all_spellings_but_where_they_are_kept_apart(small_checkout, tmp_path):
    path = write(
        tmp_path / "own.csv",
        "x,c,y\n" + "".join(f"{at}.5,{who},{'uv'[at % 2]}\n" for at, who in enumerate(["1", "01", "2", "3"] * 3)),
    )
    add(path, ImportOptions("y", group="c", spellings="keep"))
    assert load_dataset("mine").id_type("c") == "text", "as numbers they would be one"


def test_files_of_several_formats_are_one_table(small_checkout, tmp_path):
    write(tmp_path / "own/a.csv", TABLE)
    written(tmp_path / "own/b.json", lambda path: pl.read_csv(TABLE.encode()).write_json(path))
    written(tmp_path / "own/c.xlsx", [["Made in May"], NAMES, *CELLS])
    write(tmp_path / "own/d.csv", TABLE.replace("\n", ",\n"))
    plan, done = add(tmp_path / "own", ImportOptions("y"))
    assert plan.converted[0] == "JSON records to CSV"
    assert (done.rejected, done.entry["num_samples"]) == (0, 24)
    assert {path.read_text() for path in Path("data/raw/mine").iterdir()} == {TABLE}


PERSON_ROWS = [[f"p{at % 6}", MEASURED[at], LABELS[at]] for at in range(60)]


@pytest.mark.parametrize("name", ["subject", "Patient ID", "participant_no", "mouse", "PID", "id"])
@pytest.mark.parametrize("options", [{}, {"extra": True}])
def test_a_column_of_persons_that_is_no_group_is_named(name, options, tmp_path):
    path = write(tmp_path / "own.csv", many(*zip(*PERSON_ROWS, strict=True), header=f"{name},x,y"))
    chosen = ImportOptions("y", extra=(name,) if options else ())
    (note,) = group_notes(chosen, read_samples(str(path), chosen.dialect)[0])
    assert note.startswith(f"{name}: 6 values, each in several rows, as persons have; --group ")
    assert not group_notes(replace(chosen, group=name), read_samples(str(path), chosen.dialect)[0])


@pytest.mark.parametrize("name", ["site_of_pain", "pattern", "rate", "x2", "userless"])
def test_other_columns_are_no_persons(name, tmp_path):
    path = write(tmp_path / "own.csv", many(*zip(*PERSON_ROWS, strict=True), header=f"{name},x,y"))
    assert group_notes(ImportOptions("y"), read_samples(str(path), DialectOptions())[0]) == []


def test_a_feature_that_is_called_like_what_the_names_of_files_say_is_named(small_checkout, tmp_path):
    for number in range(6):
        write(tmp_path / f"own/{number}_{'ab'[number % 2]}.csv", "label,x\n" + f"{number % 2},1.5\n" * 9)
    options = ImportOptions(sequence=True, label_from="_(.)")
    assert plan_for(tmp_path / "own", options).notes == (
        "label: trained on, though label_file is from the files' names; --extra label does not train on it",
    )


def test_rows_between_blocks_are_in_no_class(small_checkout, tmp_path):
    text = "x,y\n" + "".join(f"{at % 7}.5,{'c' if 95 <= at < 100 else 'ab'[at % 2]}\n" for at in range(300))
    path = write(tmp_path / "long.csv", text)
    plan, done = add(path, ImportOptions("y", sequence=True, blocks=3, gap=10))
    rows = pl.read_csv("data/raw/mine/long.csv")["y"].value_counts()
    assert plan.class_rows == dict(rows.iter_rows()) | {"c": 0}
    assert sum(plan.class_rows.values()) == done.entry["num_samples"] == 280
    assert plan.notes[-1] == "y: c is in no row outside of the gaps of --gap 10"


def test_dates_of_two_forms_are_one_problem(tmp_path):
    path = write(tmp_path / "own.csv", "when,x,y\n2024-01-31,1,u\n01.02.2024,2,v\n2024-03-01,3,u\n")
    with pytest.raises(UserError) as error:
        plan_for(path, ImportOptions("y", date_features=("when",)))
    assert str(error.value).startswith(f"{path}, line 2: when is '2024-01-31'; expected the same form of date")
    assert "\n" not in str(error.value)


def test_letters_far_below_that_are_not_utf8_name_the_option_that_reads_them(small_checkout, tmp_path):
    rows = ROWS * 8000
    path = written(tmp_path / "own.csv", f"x,c,y\n{rows}7.5,gr\u00fcn,u\n".encode("cp1252"))
    with pytest.raises(UserError) as error:
        plan_for(path, ImportOptions("y"))
    assert str(error.value).endswith("invalid UTF8 data; type: --encoding cp1252, or whatever it is")
    plan = plan_for(path, ImportOptions("y", dialect=DialectOptions(encoding="cp1252")))
    assert plan.category_rows["c"]["gr\u00fcn"] == 1


@pytest.mark.parametrize("delimiter", [None, ";"])
def test_more_lines_than_there_are_cannot_be_skipped(delimiter, tmp_path):
    path = write(tmp_path / "own.csv", TABLE)
    with pytest.raises(UserError) as error:
        plan_for(path, ImportOptions("y", dialect=DialectOptions(delimiter=delimiter, skip=9)))
    assert str(error.value) == f"{path}: no line below the 9 that are skipped; say another --skip"
