"""Columns may come from the names of files or from a table; what does not fit is said all at once."""

from support.tables import write, write_recordings

from pipeline.import_data.reading.dialect import find_files

ROWS = "\n".join(f"{number}.5,{number % 7},{'up' if number % 2 else 'down'}" for number in range(12))


def test_all_differences_between_files_are_said_at_once(refused, tmp_path):
    write(tmp_path / "own/a.csv", f"a,b,y\n{ROWS}\n")
    write(tmp_path / "own/b.csv", f"a,q,y\n{ROWS}\n")
    write(tmp_path / "own/c.csv", "a;b;y\n1,5;2;up\n")
    lines = refused(tmp_path / "own")
    assert [line.split(": ")[1] for line in lines] == [
        "no column b, which a.csv has",
        "column q, which a.csv has not",
        "semicolon-separated, decimal comma, utf-8; a.csv is comma-separated, decimal point, utf-8",
    ]


def test_label_and_group_come_from_the_names_of_files(planned, refused, tmp_path):
    write_recordings(tmp_path / "own")
    plan = planned(
        tmp_path / "own", "--sequence", "--group-from", r"(p\d)/", "--label-from", r"/([a-z]+)_", "--label", "gait"
    )
    entry = plan["entry"]
    assert (entry["label"], entry["group"], entry["series"]) == ("gait", "group", "recording")
    assert entry["classes"] == ["run", "walk"]
    assert entry["types"] == {"group": "text", "recording": "text"}
    assert list(entry["files"])[:2] == ["p1__run_1.csv", "p1__walk_1.csv"]
    assert entry["settings"]["tensor_cache"] == {"folds": 4, "window": 40, "stride": 10}
    assert refused(tmp_path / "own", "--label-from", "(sit)")[0].endswith("does not fit the name p1/run_1.csv")


def test_labels_may_lie_in_a_table_and_what_it_lacks_is_said_at_once(planned, refused, tmp_path):
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
