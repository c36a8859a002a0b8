"""Own CSV files: guessed, planned, written; and a model that beats the majority class on tables nobody tuned for."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sklearn import datasets
from typer.testing import CliRunner

from trackstack.catalog import Dataset, load_dataset
from trackstack.cli import app
from trackstack.ingest import build_manifest
from trackstack.own_data.apply import place, write_entry
from trackstack.own_data.guess import Given, find_files, guess
from trackstack.own_data.plan import Choice, complete, make_plan
from trackstack.own_data.survey import survey
from trackstack.params import ParquetParams, load_params
from trackstack.parquet import convert
from trackstack.tensor_cache import build


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The catalog and the parameters as they are shipped, and nothing else."""
    folder = tmp_path / "a checkout"
    (folder / "data/raw").mkdir(parents=True)
    shutil.copy(ROOT / "data/catalog.yaml", folder / "data/catalog.yaml")
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


def add(*arguments):
    """`trackstack catalog add`, in this process."""
    return CliRunner().invoke(app, ["catalog", "add", *map(str, arguments)])


def planned(path, *options):
    """What `catalog add --dry-run --json` says."""
    result = add(path, "--name", "mine", "--dry-run", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(path, *options, name="mine"):
    """The lines with which `catalog add` refuses."""
    result = add(path, "--name", name, "--yes", *options)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert not Path("data/raw/mine").exists()
    assert Path("data/catalog.yaml").read_bytes() == (ROOT / "data/catalog.yaml").read_bytes()
    return result.stderr.splitlines()


def table(name, folder):
    """A real table as somebody may have it: with an index, European, or plain."""
    frame = getattr(datasets, f"load_{name.removeprefix('european_')}")(as_frame=True)
    values, names = frame.frame.drop(columns="target"), [str(frame.target_names[at]) for at in frame.target]
    path = folder / f"{name}.csv"
    if name != "european_wine":
        values.assign(target=names).to_csv(path, index=name == "iris")
        return path, ()
    random = np.random.default_rng(0)
    values = values.mask(random.random(values.shape) < 0.05)
    german = {"class_0": "Weißburgunder", "class_1": "Müller-Thurgau", "class_2": "Grüner Veltliner"}
    values.insert(0, "Raum", [f"Raum {number % 3}" for number in range(len(values))])
    values = values.assign(Rebsorte=[german[name] for name in names]).sample(frac=1, random_state=1)
    values.to_csv(path, sep=";", decimal=",", encoding="cp1252", index=False, na_rep="k.A.")
    return path, ("--label", "Rebsorte", "--extra", "Raum", "--missing", "k.A.")


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "european_wine"])
def test_a_model_beats_the_majority_class_on_a_table_that_nobody_tuned_for(name, checkout, tmp_path):
    """The settings are those that `catalog add` prints; accuracies seen: 0.97 and more."""
    from trackstack.loop import Recipe, Surroundings, Trainer
    from trackstack.saved_model import predict_logits
    from trackstack.windows import WindowDataset, open_cache

    path, options = table(name, tmp_path)
    plan = planned(path, *options)
    assert plan["settings"] == ["train.model=mlp"]
    entry = Dataset.model_validate(plan["entry"])
    samples = [guess(path, path.name, Given())]
    choice = Choice(entry.label, extra=entry.extra, missing=entry.recipe.missing if entry.recipe else ())
    surveys = survey(samples, {entry.label}, choice.missing)
    params = load_params()
    raw = tmp_path / "raw"
    raw.mkdir()
    place(make_plan("mine", "", choice, surveys, [{}], params), raw)
    none = ParquetParams(compression="zstd", max_rejected=0)
    convert(build_manifest("mine", entry, raw), raw, tmp_path / "processed", none)
    build(tmp_path / "processed", tmp_path / "cache", params.tensor_cache)
    cache = open_cache(tmp_path / "cache")
    train = params.train.model_copy(update={"model": "mlp"})
    recipe = Recipe.choose(train, params.models, params.losses, params.metrics)
    model, _ = Trainer(cache, recipe, Surroundings()).fit()
    test = WindowDataset(cache, "test")
    logits, labels = predict_logits(model, test, test.starts.device, "float32")
    majority = labels.bincount().max().item() / len(labels)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy >= 0.85 > majority + 0.15


def test_three_commands_lead_to_a_recorded_run(project, run, tmp_path):
    path, options = table("european_wine", tmp_path)
    said = run(project, ["trackstack", "catalog", "add", str(path), "--name", "wein", "--yes", *options]).stdout
    assert "semicolon-separated, decimal comma, cp1252" in said
    assert "git add data/catalog.yaml data/raw/wein.dvc data/raw/.gitignore && git commit -m 'Add wein'" in said
    command = re.search(r"dvc exp run .*", said)[0]
    run(project, f"{command} -S train.epochs=20")
    shown = run(project, "trackstack runs show --json").stdout
    record = json.loads(shown)
    assert record["params"]["dataset"] == "wein"
    assert record["metrics"]["test_accuracy"] > 0.7
    assert run(project, "trackstack catalog check wein").stdout == "wein: 178 rows, 0 rejected\n"

    # Next month: five rows more.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, *lines[1:6]]))
    said = run(project, ["trackstack", "catalog", "update", "wein", str(path), "--yes"]).stdout
    assert re.search(r"changed +1 +european_wine.csv", said)
    assert load_dataset("wein", project / "data/catalog.yaml").num_samples == 183
    said = run(project, ["trackstack", "catalog", "update", "wein", str(path), "--yes"]).stdout
    assert "Nothing to do" in said


def test_a_plain_file_is_taken_byte_for_byte_and_its_original_stays(checkout, tmp_path):
    path, _ = table("wine", tmp_path)
    plan = planned(path)
    assert plan["converted"] == []
    samples = [guess(path, path.name, Given())]
    choice, added = complete(Choice("target"), samples)
    ready = make_plan("mine", "", choice, survey(samples, {"target"}, ()), added, load_params())
    place(ready, tmp_path / "a checkout/data/raw")
    copied = checkout / "data/raw/wine.csv"
    assert copied.read_bytes() == path.read_bytes()
    assert copied.stat().st_ino != path.stat().st_ino, "a hard link would let an edit reach DVC's cache"


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding", "dialect", "header"),
    [
        ("a,b,y\n1,2,u\n3,4,v\n", "utf-8", "comma-separated, decimal point, utf-8", ["a", "b", "y"]),
        (
            "a;b;y\n1,5;2,5;u\n3,5;4;v\n",
            "utf-8-sig",
            "semicolon-separated, decimal comma, utf-8-sig",
            ["a", "b", "y"],
        ),
        ("a\tb\ty\r\n1.5\t2\tu\r\n3\t4\tv\r\n", "utf-16", "tab-separated, decimal point, utf-16", ["a", "b", "y"]),
        ('a|"b|c"|y\n1|2|u\n', "cp1252", "bar-separated, decimal point, utf-8", ["a", "b|c", "y"]),
        ("größe;y\n1,5;u\n", "cp1252", "semicolon-separated, decimal comma, cp1252", ["größe", "y"]),
        (",a,y\n0,1,u\n1,5,v\n", "utf-8", "comma-separated, decimal point, utf-8", ["column_1", "a", "y"]),
    ],
)
def test_how_a_file_is_built_is_guessed(tmp_path, text, encoding, dialect, header):
    sample = guess(write(tmp_path / "a.csv", text, encoding), "a.csv", Given())
    assert str(sample.dialect) == dialect
    assert sample.header == header


ROWS = "\n".join(f"{number}.5,{number % 7},{'up' if number % 2 else 'down'}" for number in range(12))


@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        ("", (), "{}: empty, expected a header and rows"),
        ("a,b,y\n", (), "{}: a header and no row"),
        ("just words\nand more of them, here\n", (), "{}: not a CSV file: no comma, semicolon, tab or bar"),
        ("5.1,3.5,0\n4,5,6\n", (), "{}, line 1: 5.1, 3.5, 0: numbers where the names of columns are expected"),
        ("a,a,y\n1,2,u\n", (), "{}, line 1: a column is there twice: a"),
        (f"a,b,c\n{ROWS}", (), "{}: which column is the label? --label NAME, one of a, b, c"),
        (f"a,b,y\n{ROWS}", ("--label", "q"), "--label q: no such column; there are a, b, y"),
        (f"a,b,y\n{ROWS}", ("--label", "a"), "a: numbers such as 0.5, not classes; a regression target is not"),
        ("a,y\n1,u\n2,u\n", (), "y: one class, u; expected 2 to 100"),
        ("a,y\n" + "".join(f"1,c{n}\n" for n in range(101)), (), "y: 101 different values; expected 2 to 100"),
        ("a,colour,y\n1,red,u\n2,blue,v\n", (), "colour: text, which is no feature; --extra colour keeps it"),
        ("a,b,y\n1,2,u\nbad,2,v\n", (), "a: 'bad' among numbers, in own.csv; if it means missing: --missing bad"),
        ("a,b,y\n1,,u\n2,,v\n", (), "b: no value in any row; --extra b keeps it"),
        (f"a,b,y\n{ROWS}", ("--time", "a"), "--time: needs --series or --sequence, within which it rises"),
        ("a,b,y\n1,7,u\n2,8,v\n", ("--group", "b"), "b: 2 values; expected at least 3, for train, val and test"),
        (f"a,b,y\n{ROWS}", ("--group-from", "("), "--group-from (: not a regular expression"),
        (f"a,b,y\n{ROWS}", ("--delimiter", "ab"), "--delimiter ab: expected one letter, or tab"),
        (f"a,b,y\n{ROWS}", ("--encoding", "klingon"), "{}: not klingon; say another --encoding"),
    ],
)
def test_what_cannot_be_used_is_one_line(checkout, tmp_path, text, options, line):
    path = write(tmp_path / "own.csv", text)
    lines = refused(path, *options)
    assert any(one.startswith(line.format(path)) for one in lines), lines
    assert len(lines) == 1 or options == ("--label", "a")


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_one_line(checkout, tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(bytes(range(256)) * 20)
    assert len(refused(path)) == 1
    assert refused(tmp_path / "none.csv")[0].endswith("no such file or folder, and no file fits it as a pattern")
    (tmp_path / "empty").mkdir()
    assert "no CSV file in this folder" in refused(tmp_path / "empty")[0]


def test_a_name_that_is_taken_or_none_is_one_line(checkout, tmp_path):
    path, _ = table("wine", tmp_path)
    taken = "sensor_v1 is there already; type: trackstack catalog update sensor_v1"
    assert taken in refused(path, name="sensor_v1")[0]
    assert "a name is made of letters, digits, - and _" in refused(path, name="my data")[0]


def test_without_a_terminal_nothing_is_asked(checkout, tmp_path):
    path, _ = table("wine", tmp_path)
    result = add(path, "--name", "mine")
    assert (result.exit_code, result.stderr) == (
        1,
        "stdin is no terminal, so nobody can be asked: add --yes (or --dry-run)\n",
    )


def test_all_differences_between_files_are_said_at_once(checkout, tmp_path):
    write(tmp_path / "own/a.csv", f"a,b,y\n{ROWS}\n")
    write(tmp_path / "own/b.csv", f"a,q,y\n{ROWS}\n")
    write(tmp_path / "own/c.csv", "a;b;y\n1,5;2;up\n")
    lines = refused(tmp_path / "own")
    assert [line.split(": ")[1] for line in lines] == [
        "no column b, which a.csv has",
        "column q, which a.csv has not",
        "semicolon-separated, decimal comma, utf-8; a.csv is comma-separated, decimal point, utf-8",
    ]


def write_recordings(folder, rows=40):
    for person in ("p1", "p2", "p3", "p4"):
        for label in ("walk", "run"):
            lines = "".join(f"{number}.25,{number % 5}\n" for number in range(rows))
            write(folder / person / f"{label}_1.csv", "x,z\n" + lines)


def test_label_and_group_come_from_the_names_of_files(checkout, tmp_path):
    write_recordings(tmp_path / "own")
    plan = planned(
        tmp_path / "own", "--sequence", "--group-from", r"(p\d)/", "--label-from", r"/([a-z]+)_", "--label", "gait"
    )
    entry = plan["entry"]
    assert (entry["label"], entry["group"], entry["series"]) == ("gait", "group", "recording")
    assert entry["classes"] == ["run", "walk"]
    assert entry["types"] == {"group": "text", "recording": "text"}
    assert list(entry["files"])[:2] == ["p1__run_1.csv", "p1__walk_1.csv"]
    assert plan["settings"] == ["tensor_cache.folds=4", "tensor_cache.window=40", "tensor_cache.stride=10"]
    assert refused(tmp_path / "own", "--label-from", "(sit)")[0].endswith("does not fit the name p1/run_1.csv")


def test_labels_may_lie_in_a_table_and_what_it_lacks_is_said_at_once(checkout, tmp_path):
    write_recordings(tmp_path / "own")
    names = [name for _, name in find_files(str(tmp_path / "own"))]
    rows = [f"{name},{'on' if number % 2 else 'off'},{number % 3}" for number, name in enumerate(names)]
    labels = write(tmp_path / "labels.csv", "\n".join(["file,state,person", *rows]))
    plan = planned(tmp_path / "own", "--labels", labels, "--group", "person", "--sequence")
    assert plan["classes"] == {"off": 160, "on": 160}
    assert plan["entry"]["group"] == "person"
    assert "types" not in plan["entry"] or "person" not in plan["entry"]["types"]
    write(labels, "\n".join(["file,state,person", *rows[2:]]))
    lines = refused(tmp_path / "own", "--labels", labels, "--sequence")
    assert [line.rsplit(": ", 2)[1:] for line in lines] == [[name, "no row"] for name in names[:2]]


def test_converted_files_say_the_same_in_the_pipelines_words(checkout, tmp_path):
    text = "Zeit;ok;Wert;Art\n1;True; 1,5 ;Bär\n2;false;NA;Wolf, grau\n\n3;TRUE;-2e3;Bär\n"
    path = write(tmp_path / "own.csv", text, "cp1252")
    samples = [guess(path, path.name, Given())]
    choice, added = complete(Choice("Art"), samples)
    plan = make_plan("mine", "", choice, survey(samples, {"Art"}, ()), added, load_params())
    place(plan, checkout)
    expected = 'Zeit,ok,Wert,Art\n1,1,1.5,Bär\n2,0,,"Wolf, grau"\n3,1,-2e3,Bär\n'
    assert (checkout / "own.csv").read_text() == expected


def test_the_catalog_keeps_its_bytes_and_yamls_traps_are_quoted(checkout, tmp_path):
    before = Path("data/catalog.yaml").read_text()
    path = write(tmp_path / "own.csv", "no,b: c,y\n" + "1,2,yes\n3,4,no\n5,6,1e3\n" * 4)
    entry = planned(path, "--label", "y")["entry"]
    write_entry("mine", entry)
    after = Path("data/catalog.yaml").read_text()
    assert after.startswith(before + "\n  mine:\n")
    dataset = load_dataset("mine")
    assert (dataset.feature_names(), dataset.classes) == (["no", "b: c"], ("1e3", "no", "yes"))

    noted = after.replace("    label: y\n", "    label: y              # as the nurse saw it\n")
    Path("data/catalog.yaml").write_text(noted)
    write_entry("mine", {**entry, "num_samples": 24, "files": {"own.csv": 24}})
    expected = noted.replace("num_samples: 12", "num_samples: 24").replace("own.csv: 12", "own.csv: 24")
    assert Path("data/catalog.yaml").read_text() == expected


def test_list_and_show_say_what_there_is(checkout):
    listed = CliRunner().invoke(app, ["catalog", "list", "--json"]).stdout
    assert [(row["name"], row["kind"], row["here"]) for row in json.loads(listed)] == [
        ("sensor_v1", "sequence", False),
        ("sensor_v2", "sequence", False),
    ]
    shown = CliRunner().invoke(app, ["catalog", "show", "sensor_v2"]).stdout
    assert re.search(r"feature +ax unit g", shown)
    assert re.search(r"file +subject_01.csv: 29,099 rows", shown)
