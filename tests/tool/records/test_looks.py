"""Looks at test figures: noted before anything is shown, and counted."""

import os

import pytest
from support.choosing import write_run

from trackstack import UserError
from trackstack.core.files import sealed, write_json
from trackstack.records.looks import count_looks, looks_at, note_look
from trackstack.records.query import every_run, show_run
from trackstack.system import locks
from trackstack.system.git import user_name


@pytest.fixture
def series(tmp_path, monkeypatch):
    """Two runs of one home."""
    monkeypatch.setattr(locks, "_open_files", {})
    for seed in range(2):
        write_run(tmp_path, {"seed": seed}, {"test_accuracy": 0.5})
    return [run.series for run in every_run(tmp_path)]


def test_a_look_at_several_runs_is_noted_with_each_and_counts_once(series):
    note_look(series, ["test_accuracy"])
    note_look(series[:1], ["test_accuracy", "test_loss"])
    assert [len(looks_at(one)) for one in series] == [2, 1]
    assert looks_at(series[0])[1]["metrics"] == ["test_accuracy", "test_loss"]
    assert looks_at(series[0])[1].keys() == {"id", "time", "user", "metrics"}
    assert count_looks(series) == (2, [])


def test_what_a_colleague_noted_meanwhile_counts_too(series):
    note_look(series[:1], ["test_accuracy"])
    note = series[0].folder / "test-looks-1.json"
    theirs = {"time": 1.0, "user": "ada", "metrics": ["test_loss"]}
    write_json(
        series[0].folder / "beside/0123abcd-test-looks-1.json", sealed({"looks": [theirs, *looks_at(series[0])]})
    )
    assert [look["user"] for look in looks_at(series[0])] == ["ada", user_name()]
    note_look(series[:1], ["test_accuracy"])
    assert count_looks(series) == (3, [])
    assert note.exists()


def test_a_damaged_note_is_said_hides_no_other_and_is_not_written_over(series):
    note_look(series, ["test_accuracy"])
    note = series[0].folder / "test-looks-1.json"
    note.write_text(note.read_text().replace("test_accuracy", "test_accuracx"))
    number, (damage,) = count_looks(series)
    assert number == 1
    assert damage.startswith(f"{note}: damaged (its content is not what was written); move it aside")
    with pytest.raises(UserError, match="damaged"):
        note_look(series, ["test_accuracy"])
    assert len(looks_at(series[1])) == 1
    shown = show_run(series[0].home, series[0].key)
    assert (shown["test_looks"], shown["damage"], shown["status"]) == (None, [damage], "finished")


def test_what_cannot_be_noted_is_refused_and_leaves_nothing(series):
    folder = series[1].folder
    if os.getuid() == 0:  # may write anywhere: a folder in the note's place stands for what refuses
        (folder / ".test-looks-1.json.partial").mkdir()
    else:
        folder.chmod(0o500)
    with pytest.raises(UserError, match="a look at test figures cannot be noted, so they stay hidden"):
        note_look(series[1:], ["test_accuracy"])
    folder.chmod(0o700)
    assert looks_at(series[1]) == []
