"""The index of runs is a cache and nothing else: whatever becomes of it, the answers are those of the journals."""

import os
import time

import pytest
from support.choosing import write_run, write_trial

from trackstack.core.files import sealed, write_json
from trackstack.records.index import index as index_module
from trackstack.records.index.file import FORMAT, index_file
from trackstack.records.index.index import read_index
from trackstack.records.labels import tag_runs
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.tracking.journal import Journal, line_of


def rows(home):
    return [run.as_row() for run in read_index(home)]


def row_of(home, run):
    (row,) = [row for row in rows(home) if row["run"] == run]
    return row


def settle(home):
    """As if all had been written a minute ago."""
    minute_ago = time.time() - 60
    for path in [*home.glob("runs/*/**/*"), *home.glob("runs/*")]:
        if not path.name.startswith("."):
            os.utime(path, (minute_ago, minute_ago))


@pytest.fixture
def home(tmp_path):
    """Five runs that have an index."""
    for seed in range(4):
        write_trial(tmp_path, 0.1, seed, 0, {"val_accuracy": 0.5 + seed / 10, "val_loss": 1.5})
    write_run(tmp_path, {"seed": 9}, {"val_accuracy": float("nan")}, status="failed")
    settle(tmp_path)
    rows(tmp_path)
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """The folders whose journals are read."""
    folders = []
    entry = index_module._entry

    def noted(folder, *rest):
        folders.append(folder.name)
        return entry(folder, *rest)

    monkeypatch.setattr(index_module, "_entry", noted)
    return folders


def test_what_did_not_change_is_not_read_again_and_answers_the_same(home, read):
    index_file(home).rename(home / "aside")
    fresh = rows(home)
    assert len(read) == 5
    (home / "aside").rename(index_file(home))
    read.clear()
    assert repr(rows(home)) == repr(fresh)  # NaN is equal to nothing
    assert read == []
    assert [row["status"] for row in fresh].count("failed") == 1
    (row,) = [row for row in fresh if row["params"].get("train.seed") == 1]
    assert row["params"]["tensor_cache.fold"] == 0, "DVC knows it, and the run does not"
    assert (row["metrics"]["val_accuracy"], row["best"]["val_loss"]) == (0.6, -1.0)


@pytest.mark.parametrize("change", ["append", "tag", "beside", "rewrite", "new inode"])
def test_whatever_changes_of_a_run_is_read_again_and_nothing_else(home, read, change):
    run = next(row["run"] for row in rows(home) if row["params"].get("train.seed") == 2)
    folder = home / "runs" / run
    journal = folder / "journal-1.jsonl"
    before = journal.stat()
    if change == "append":
        values = {"val_accuracy": 0.9}
        with journal.open("ab") as file:
            file.write(line_of({"type": "metrics", "time": 5.0, "step": 7, "values": values}))
    elif change == "tag":
        tag_runs([(folder, 1)], ["paper"])
    elif change == "beside":
        note = sealed({"entries": [{"time": 1.0, "user": "ada", "tag": "hers"}]})
        write_json(folder / "beside/0123abcd-labels-1.json", note)
    else:
        changed = journal.read_bytes().replace(b"finished", b"finishes")
        if change == "new inode":
            (folder / "other").write_bytes(changed)
            os.utime(folder / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
            (folder / "other").rename(journal)
        else:
            journal.write_bytes(changed)
    row = row_of(home, run)
    assert read == [run]
    expected = {
        "append": ("metrics", {"val_accuracy": 0.9, "val_loss": 1.5}),
        "tag": ("tagged", ["paper"]),
        "beside": ("tagged", ["hers"]),
    }
    name, value = expected.get(change, ("status", "damaged"))
    assert row[name] == value
    settle(home)
    assert row_of(home, run)[name] == value


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: None,
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"0.7", b"0.8"),
        lambda data: data.replace(b"index %d" % FORMAT, b"index 0"),
        lambda data: bytes(range(256)) * 9,
    ],
    ids=["deleted", "empty", "cut", "flipped", "of another version", "something else"],
)
def test_an_index_that_is_gone_damaged_or_of_another_version_is_made_again(home, read, damage):
    expected = repr(rows(home))
    data = damage(index_file(home).read_bytes())
    index_file(home).unlink()
    if data is not None:
        index_file(home).write_bytes(data)
    assert repr(rows(home)) == expected
    assert len(read) == 5
    assert repr(rows(home)) == expected
    assert len(read) == 5, "the second time it is there again"


def test_a_home_where_the_index_cannot_be_written_is_listed_all_the_same(home, read):
    expected = repr(rows(home))
    index_file(home).unlink()
    index_file(home).mkdir()  # as root may write anywhere, a folder stands for what refuses
    assert repr(rows(home)) == expected
    assert repr(rows(home)) == expected
    assert len(read) == 10
    assert [path.name for path in home.glob("runs/.*")] == [".index"], "nothing half written is left"


def test_a_home_that_was_moved_is_read_anew(home, read, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "home"
    home.rename(moved)
    assert len(rows(moved)) == len(read) == 5


def test_a_run_that_nobody_writes_any_more_is_lost_without_a_change_of_its_files(tmp_path, read):
    folder = tmp_path / "runs" / write_run(tmp_path, {"seed": 1}, {"loss": 0.5})
    journal = folder / "journal-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    take_lease(folder)
    settle(tmp_path)
    assert [row["status"] for row in rows(tmp_path)] == ["running"]
    give_back_lease(folder)
    settle(tmp_path)
    assert [row["status"] for row in rows(tmp_path)] == ["lost"]


def test_one_damaged_run_is_named_and_hides_no_other(home, read):
    folder = home / "runs" / rows(home)[1]["run"]
    (folder / "journal-1.jsonl").write_bytes(b"not a journal\n")
    (home / "runs/r000000000000").mkdir()
    Journal(home / "runs/r000000000001").close()
    settle(home)
    index = read_index(home)
    assert [run.facts["status"] for run in index].count("damaged") == 1
    assert len(list(index)) == 5, "a run of which nothing is recorded yet is none"
    (first, second) = index.damage()
    assert first == f"{folder / 'journal-1.jsonl'}: line 1 is damaged, and left out"
    assert "no journal in it has a start" in second
    assert index.find(folder.name) == []
    assert index.damage_of(folder.name[:5]) == [first, second]


def test_an_end_that_was_delivered_and_is_missing_is_seen_by_the_note_of_the_delivery_alone(home, read):
    run = rows(home)[0]["run"]
    write_json(home / "runs" / run / "sync.json", sealed({"ended": [1]}))
    assert row_of(home, run)["damage"] == []
    assert read == []
    write_json(home / "runs" / run / "sync.json", sealed({"ended": [1, 2]}))
    (damage,) = row_of(home, run)["damage"]
    assert read == [run]
    assert damage.endswith(
        "journal-2.jsonl: missing: its end was delivered, and is not in it; back ends still have it"
    )
