"""What lies where, and what there is to worry about."""

import os
import time

import pytest
from support.storage import checkout_of, objects_in, write_run_with_objects

from trackstack import UserError
from trackstack.storage.status import places, worries


def test_each_place_is_listed_with_its_size_and_what_has_two_names_counts_once(root):
    run = write_run_with_objects(root, 0.1)
    (root / f"runs/{run}/artifacts/1").mkdir(parents=True)
    (root / f"runs/{run}/artifacts/1/model").write_bytes(b"x" * 100_000)
    os.link(root / f"runs/{run}/artifacts/1/model", root / f"runs/{run}/artifacts/1/again")
    found = {place.what: place for place in places(checkout_of(root))}
    assert set(found) == {"records of runs", "kept models", "DVC's cache", "git"}
    assert 100_000 <= found["kept models"].extent.size < 120_000
    assert found["kept models"].extent.inodes == 3
    assert found["records of runs"].extent.size < 50_000


def test_what_is_missing_only_here_or_gone_is_a_line_with_what_to_type(root):
    run = write_run_with_objects(root, 0.1)
    lost = next(name for name in objects_in(root) if name.endswith(".dir"))
    (root / ".dvc/cache/files/md5" / lost[:2] / lost[2:]).unlink()
    lines = worries(checkout_of(root), time.time())
    assert "data of the working tree: is not whole in DVC's cache; type: trackstack storage repair" in lines
    assert any("in no DVC remote: only here; type: dvc remote add -d NAME PLACE" in line for line in lines)
    assert f"run {run}: never pushed, so that their records are only here; type: trackstack push" in lines


def test_files_on_scratch_that_nobody_read_for_long_are_named_before_they_go(root, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_SCRATCH", str(root.parent))
    old = root / "runs/r0123456789ab/note"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (time.time() - 50 * 86400,) * 2)
    (line,) = [line for line in worries(checkout_of(root), time.time()) if "go after" in line]
    assert line.startswith("runs: 1 files (0.0 MB) were last read more than 46 days ago, and go after 60, ")
    monkeypatch.setenv("TRACKSTACK_PURGE_DAYS", "many")
    with pytest.raises(UserError, match="TRACKSTACK_PURGE_DAYS is 'many'; expected a number of days"):
        worries(checkout_of(root), time.time())
