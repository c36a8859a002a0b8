"""A disk that is full: said in one line, no fault of the work, and no end of the process that watches over it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.projects import ROOT, command_environment, run_in

from trackstack import describe_error
from trackstack.system.room import MAKE_ROOM, is_no_room, says_no_room

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")
OUTLIVES = """
import sys
from pathlib import Path
from trackstack.system.room import outlive_full_log

outlive_full_log()
print("lost" * 10_000, flush=True)
print("lost, too", file=sys.stderr)
Path("done").touch()
"""
CLONES = """
import subprocess
from pathlib import Path
from trackstack import UserError
from trackstack.system.git import git

for size in ("200k", "50m"):
    subprocess.run(["mount", "-o", f"remount,size={size}", "small"], check=True)
    try:
        git(Path("small"), "clone", "--quiet", "--shared", "../large", size)
    except UserError as error:
        print(error)
"""


def python(folder, script, *before, **more):
    """Run a script in a folder; what it prints."""
    environment = command_environment() | {"PYTHONPATH": str(ROOT / "src")}
    command = [*before, sys.executable, "-P", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, text=True, timeout=900, check=False, **more)


def test_a_full_disk_is_told_from_other_faults():
    assert is_no_room(FULL)
    assert is_no_room(OSError(errno.EDQUOT, "quota"))
    assert not is_no_room(PermissionError(errno.EACCES, "no"))
    assert says_no_room(describe_error(FULL))
    assert says_no_room("sqlite: database or disk is full")
    assert says_no_room("error: unable to write file train.py error: unable to write file data.py")
    assert not says_no_room("error: unable to write file train.py: Permission denied")
    assert says_no_room("ERROR: failed to reproduce 'train': No possible cache link types for 'model'. See <...>")
    assert not says_no_room("the loss is nan")


def test_a_process_that_watches_over_others_outlives_a_full_log(tmp_path):
    with Path("/dev/full").open("w") as full:
        assert python(tmp_path, OUTLIVES, stdout=full, stderr=full).returncode == 0
    assert (tmp_path / "done").exists()


def test_git_on_a_full_disk_is_one_line_whatever_it_could_not_write(tmp_path):
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["sh", "-ec", 'mount -t tmpfs -o size=1m none small; exec "$@"', "sh"]
    (tmp_path / "small").mkdir()
    if subprocess.run([*private, *mount, "true"], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    (tmp_path / "large").mkdir()
    for number in range(20):
        (tmp_path / f"large/{number}").write_text(f"{number}" * 20_000)
    run_in(tmp_path / "large", "git init -q && git add . && git commit -qm 'Many files'")
    said = python(tmp_path, CLONES, *private, *mount, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert said.stdout == f"small: git clone: {os.strerror(errno.ENOSPC)}; {MAKE_ROOM}\n"
