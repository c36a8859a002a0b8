"""Whatever becomes of the files of one run: it is named in one line with its place, and hides nothing else."""

import json

import pytest
from support.damage import DAMAGES, damage, damaged
from support.recording import points, trackstack
from support.sinks import START, epochs

from trackstack.system import locks
from trackstack.tracking.journal import Journal

RUNS = ("r000000000001", "r000000000002")
EPOCHS = 6


def write_run(home, run):
    """A finished run as `start_run` records it, without a process of its own."""
    journal = Journal(home / "runs" / run)
    journal.write(START | {"run": run, "name": run, "destinations": {"sqlite": {"path": str(home / "project.db")}}})
    for record in epochs(0, EPOCHS):
        journal.write(record)
    journal.write({"type": "end", "time": START["time"] + 9, "status": "finished", "error": None})
    journal.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two runs that were delivered."""
    monkeypatch.setattr(locks, "_open_files", {})  # each home has lock files of its own
    for run in RUNS:
        write_run(tmp_path, run)
    trackstack(tmp_path, "sync")
    assert len(points(tmp_path)) == 2 * 2 * EPOCHS
    return tmp_path


@pytest.fixture
def rows(home):
    """How the runs are listed while nothing is damaged."""
    return json.loads(trackstack(home, "runs", "list", "--json"))


def listed(home):
    """The rows of `runs list --json`, and the lines of warnings before them."""
    said = trackstack(home, "runs", "list", "--json")
    warnings, _, table = said.partition("[\n")
    return json.loads(f"[\n{table}"), warnings.splitlines()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_journal_is_named_with_its_place_and_hides_nothing(home, rows, how):
    delivered = sorted(points(home))
    journal = home / "runs" / RUNS[0] / "journal-1.jsonl"
    with damaged(journal, how, home):
        found, warnings = listed(home)
        said = trackstack(home, "sync", expect=None)
    (row,) = [row for row in found if row["run"] == RUNS[0]]
    assert [other for other in found if other is not row] == rows[1:]
    assert row["damage"] or row == rows[0]  # in the name of a checksum nothing is lost
    assert len(warnings) == len(row["damage"])
    assert all(str(journal) in text for text in (*warnings[:1], *row["damage"][:1]))
    assert (str(journal) in said) == bool(row["damage"])
    assert sorted(points(home)) == delivered, "what back ends have is neither lost nor changed"
    assert listed(home) == (rows, [])


def test_one_damaged_line_costs_that_line_alone(home):
    journal = home / "runs" / RUNS[0] / "journal-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    figure = lines[3].index(b"0.2857")
    lines[3] = lines[3][: figure + 2] + b"9" + lines[3][figure + 3 :]  # still a record, with another figure
    journal.write_bytes(b"".join(lines))
    found, warnings = listed(home)
    assert warnings == [f"warning: {journal}: line 4 is damaged, and left out"]
    assert [row["status"] for row in found] == ["finished"] * 2
    (home / "project.db").unlink()
    assert f"{RUNS[0]}: {journal}: line 4 is damaged, and left out" in trackstack(home, "sync", expect=1)
    assert len(points(home)) == 2 * 2 * EPOCHS - 2


@pytest.mark.parametrize(
    ("name", "how"),
    [("sync.json", how) for how in DAMAGES]
    + [(lock, how) for lock in ("sync.lock", "lease.lock") for how in ("missing", "folder")],
)
def test_a_damaged_note_or_lock_costs_no_point(home, rows, name, how):
    (home / "project.db").unlink()
    file = home / "runs" / RUNS[0] / name
    file.touch()
    damage(file, how)
    found, _ = listed(home)
    assert found[1:] == rows[1:] or found[:1] == rows[1:]
    said = trackstack(home, "sync", expect=None)
    complete = len(points(home)) == 2 * 2 * EPOCHS
    assert complete or str(file) in said


@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "missing"])
def test_a_damaged_database_is_put_aside_and_filled_anew(home, how):
    delivered, database = sorted(points(home)), home / "project.db"
    damage(database, how)
    said = trackstack(home, "sync", expect=None)
    assert len(said.splitlines()) <= 1 + len(RUNS)
    if "sqlite" in said:
        assert str(database) in said
        database.chmod(0o644)
        (home / "project.db-wal").touch()
        mended = trackstack(home, "repair")
        assert f"{database}: damaged (" in mended
        assert not (home / "project.db-wal").exists(), "it belongs to the old one"
        assert trackstack(home, "sync").endswith("0 problems\n")
        assert sorted(point[:4] for point in points(home)) == sorted(point[:4] for point in delivered)


def test_a_damaged_database_is_one_line_for_sql(home):
    damage(home / "project.db", "cut")
    (line,) = trackstack(home, "runs", "sql", "SELECT count(*) FROM metrics", expect=1).splitlines()
    assert line.startswith(f"{home}/project.db: damaged (")
