"""What a purge took comes back from wherever it still is, and what nobody has is named exactly."""

import random
import shutil

import pytest
from support.projects import run_in
from support.sharing import record
from support.storage import checkout_of, objects_in, write_run_with_objects

from trackstack.records.query import list_runs
from trackstack.sharing.push import push_runs
from trackstack.storage.restore import repair_storage


def repaired(root, rerun=False):
    """What is said of what came back, and of what is lost."""
    said: list[str] = []
    return said, repair_storage(checkout_of(root), rerun, said.append)


def delete_half(root, seed=0):
    """Half of all objects, drawn at random."""
    names = random.Random(seed).sample(sorted(objects_in(root)), len(objects_in(root)) // 2)
    for name in names:
        (root / ".dvc/cache/files/md5" / name[:2] / name[2:]).unlink()


def status(root):
    return run_in(root, "dvc status -q", expect=None).returncode


@pytest.fixture
def stored(root, tmp_path):
    """The home with a remote that has all of its data, and links as its files."""
    (root / ".dvc/config.local").write_text(
        f"[core]\n    remote = store\n[cache]\n    type = symlink\n['remote \"store\"']\n    url = {tmp_path}/store\n"
    )
    run_in(root, "dvc checkout -q --relink && dvc push -q")
    return root


def test_half_of_the_cache_and_a_run_folder_come_back_from_the_remotes(stored, tmp_path):
    run_in(tmp_path, "git init -q --bare hub.git")
    run_in(stored, "git remote add origin ../hub.git")
    record(stored)
    push_runs([], stored, stored)
    before = objects_in(stored)
    delete_half(stored)
    shutil.rmtree(stored / "runs/r0123456789ab")
    assert (stored / "model.txt").is_symlink()
    said, lost = repaired(stored)
    assert all(line.startswith("scratch.txt of the working tree ") for line in lost), "only this is not pushed"
    assert "run r0123456789ab: written anew from the record that was shared" in said
    assert [row["status"] for row in list_runs(stored)] == ["finished"]
    assert repaired(stored, rerun=True)[1] == []
    assert objects_in(stored) >= before
    assert status(stored) == 0
    assert repaired(stored) == ([], [])


def test_without_a_remote_copies_in_the_working_tree_bring_the_cache_back(root):
    run_in(root, "dvc config cache.type copy && dvc checkout -q --relink")
    before = objects_in(root)
    shutil.rmtree(root / ".dvc/cache")
    (root / "model.txt").unlink()
    (root / "figure.txt").unlink()  # of the same bytes
    lost = repaired(root)[1]
    assert [line.split(" (md5 ")[0] for line in lost] == [
        "model.txt of the working tree",
        "figure.txt of the working tree",
    ]
    assert lost[0].endswith("nobody has it; type: trackstack storage repair --rerun, which runs stage train")
    assert repaired(root, rerun=True)[1] == []
    assert objects_in(root) == before
    assert status(root) == 0


def test_what_nobody_has_is_named_and_all_else_is_clean(stored):
    run = write_run_with_objects(stored, 0.5)
    shutil.rmtree(stored / ".dvc/cache")
    lost = repaired(stored, rerun=True)[1]
    assert [line.split(" (md5 ")[0] for line in lost] == [f"scratch.txt of run {run}", f"model.txt of run {run}"]
    assert all(line.endswith(f"nobody has it; trackstack reproduce {run} makes it again") for line in lost)
    assert status(stored) == 0


def test_an_edited_file_stays_as_it_is(stored):
    (stored / "model.txt").unlink()
    (stored / "model.txt").write_text("edited")
    shutil.rmtree(stored / ".dvc/cache")
    repaired(stored)
    assert (stored / "model.txt").read_text() == "edited"
