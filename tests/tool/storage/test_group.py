"""Two people of a group share cache, remote and home on real files; a third one sees nothing."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.projects import ROOT, command_environment, run_in

from trackstack import UserError
from trackstack.records.query import list_runs, query
from trackstack.storage.group import init_storage

GROUP, ADA, BEN, EVE = 54321, 54001, 54002, 54003
needs_two_people = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can be two other people, by setpriv"
)


def rights_to_read_python():
    """None; or, where our interpreter lies in a folder of root's, that of reading everything: writing is tested."""
    place = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in place.parents):
        return []
    return ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def place(root):
    """A project folder of the group, as an administrator makes it, and a checkout of each member."""
    folder = Path(tempfile.mkdtemp(prefix="group-"))
    folder.chmod(0o755)
    (folder / "project").mkdir()
    os.chown(folder / "project", -1, GROUP)
    (folder / "project").chmod(0o2770)
    for name, uid in (("ada", ADA), ("ben", BEN)):
        shutil.copytree(root, folder / name / "checkout", symlinks=True)
        run_in(folder, f"chown -R {uid}:{uid} {name}")
    yield folder
    shutil.rmtree(folder)


def start(place, name, uid, run, loss):
    """A member who trains."""
    own = {"HOME": str(place / name), "LOGNAME": name, "DVC_SITE_CACHE_DIR": str(place / name / "site")}
    paths = f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'src'}"
    person = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={GROUP}", *rights_to_read_python()]
    command = [sys.executable, "-m", "support.member", place / name / "checkout", place / "project/store", run, loss]
    return subprocess.Popen(
        [*person, *map(str, command)], cwd=place / name, env=command_environment() | own | {"PYTHONPATH": paths}
    )


@needs_two_people
def test_two_people_train_at_once_in_one_home_and_a_third_sees_nothing(place):
    home = place / "project/store/home"
    members = [
        start(place, "ada", ADA, "raaaaaaaaaaaa", 0.5),
        start(place, "ben", BEN, "rbbbbbbbbbbbb", 0.4),
    ]
    assert [member.wait(timeout=900) for member in members] == [0, 0]
    rows = {row["run"]: (row["user"], row["status"], row["damage"]) for row in list_runs(home)}
    assert rows == {"raaaaaaaaaaaa": ("ada", "finished", []), "rbbbbbbbbbbbb": ("ben", "finished", [])}
    assert len(query(home / "project.db", "SELECT * FROM runs")[1]) == 2
    # either may go on with a run of the other
    assert start(place, "ben", BEN, "raaaaaaaaaaaa", 0.5).wait(timeout=900) == 0
    assert {row["run"]: row["reproduced"] for row in list_runs(home)} == {"raaaaaaaaaaaa": 1, "rbbbbbbbbbbbb": 0}
    for path in (path for path in (place / "project/store").rglob("*") if not path.is_symlink()):
        mode, group = path.stat().st_mode, path.stat().st_gid
        assert group == GROUP, path
        if home / "runs/.delivery" in path.parents:
            continue  # each one's own deliverer, nobody else's to read
        assert mode & stat.S_IRGRP, path
        # The index of a home, which this process has made, is replaced and not written.
        only_its_maker_writes = path.is_relative_to(place / "project/store/cache/files") or path.suffix == ".jsonl"
        only_its_maker_writes |= path == home / "runs/.index"
        assert only_its_maker_writes or mode & stat.S_IWGRP, path
    eve = [f"--reuid={EVE}", f"--regid={EVE}", "--clear-groups", "stat", home, home.parent / "cache"]
    seen = run_in(place, ["setpriv", *map(str, eve)], expect=1)
    assert seen.stdout == ""
    assert seen.stderr.count("Permission denied") == 2


def test_a_group_that_does_not_exist_is_refused_and_nothing_is_made(root, tmp_path):
    with pytest.raises(UserError, match="--group nobodys: no such group here; id -Gn lists yours"):
        list(init_storage(tmp_path / "store", root, "nobodys", with_home=False))
    assert not (tmp_path / "store").exists()
    assert not (root / ".dvc/config.local").exists()
