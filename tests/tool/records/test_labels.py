"""Tags and notes lie with the run, and nobody overwrites anybody."""

import pytest
from support.choosing import write_run

from trackstack import UserError
from trackstack.core.files import sealed, write_json
from trackstack.records.labels import add_note, labels_of, tag_runs
from trackstack.sharing.folders import files_of
from trackstack.sharing.merging import merge
from trackstack.system.git import user_name


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / write_run(tmp_path, {"seed": 1}, {"val_loss": 0.5})


def test_tags_are_given_and_taken_away_and_notes_are_kept_with_who_and_when(folder):
    tag_runs([(folder, 1)], ["paper", "draft", "paper"])
    tag_runs([(folder, 1)], ["draft"], remove=True)
    add_note(folder, 1, "  the loss jumps\n at epoch 3 ")
    found = labels_of(folder, 1)
    assert found.tags == ["paper"]
    (note,) = found.notes
    assert (note["text"], note["user"], note.keys()) == (
        "the loss jumps at epoch 3",
        user_name(),
        {"time", "user", "text"},
    )
    assert labels_of(folder, 2).tags == []


def test_two_homes_that_tagged_a_run_have_all_tags_after_they_shared_it(folder):
    tag_runs([(folder, 1)], ["mine"])
    here, _ = files_of(folder)  # what push, pull and export take of a run
    (folder / "labels-1.json").unlink()
    tag_runs([(folder, 1)], ["hers"])
    there, _ = files_of(folder)
    for name, content in merge(there, here, {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content.data)
    assert sorted(labels_of(folder, 1).tags) == ["hers", "mine"]


@pytest.mark.parametrize("tag", ["", "two words", "a\nb", "\x1b[31m", "x" * 61])
def test_what_is_no_tag_is_refused_and_changes_nothing(folder, tag):
    with pytest.raises(UserError, match=r"is no tag; expected letters, digits and"):
        tag_runs([(folder, 1)], ["good", tag])
    assert labels_of(folder, 1).tags == []


def test_a_secret_in_a_note_is_not_kept(folder):
    add_note(folder, 1, "see https://ada:geheim@example.org/x")
    assert "geheim" not in (folder / "labels-1.json").read_text()


@pytest.mark.parametrize(
    "entries",
    [
        None,
        {},
        ["paper"],
        [{"tag": "x"}],
        [{"time": 1.0, "user": "a", "tag": 3}],
        [{"time": 1, "user": "a", "tag": "\x1b"}],
    ],
)
def test_what_somebody_else_wrote_is_checked_and_a_damaged_file_is_not_written_over(folder, entries):
    file = folder / "labels-1.json"
    write_json(file, sealed({"entries": entries}))
    before = file.read_bytes()
    for act in (lambda: labels_of(folder, 1), lambda: tag_runs([(folder, 1)], ["x"])):
        with pytest.raises(UserError, match=r"labels-1.json: damaged \(no list of tags and notes\); move it aside"):
            act()
    assert file.read_bytes() == before
