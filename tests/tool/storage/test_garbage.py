"""What nothing needs goes, and what something needs stays, wherever gc is killed."""

import hashlib
import os
import shutil
import signal
import time

import pytest
from support.projects import run_in
from support.storage import (
    checkout_of,
    grow_old,
    objects_in,
    promote,
    put_object,
    put_on_branch,
    write_run_with_objects,
)

from trackstack import UserError
from trackstack.cluster.sweep import Sweep, Trial, TrialStatus
from trackstack.records.lineage import lineage
from trackstack.records.query import list_runs, show_run
from trackstack.sharing.folders import EXPORT_NOTE
from trackstack.storage.garbage import find_garbage, remove_garbage
from trackstack.storage.needs import Checkout
from trackstack.storage.sizes import extent_of
from trackstack.system.git import git


def garbage_of(root, keys=(), older_than=None, others=None):
    return find_garbage(checkout_of(root), list(keys), older_than, others, time.time())


def collect(root, **what):
    found = garbage_of(root, **what)
    remove_garbage(found, found, checkout_of(root))
    return found


def test_of_sixty_runs_those_that_are_promoted_or_on_a_branch_stay_whole(root):
    runs = [write_run_with_objects(root, 0.001 * number) for number in range(1, 61)]
    promoted, on_branches = runs[:3], runs[3:8]
    for run in promoted:
        promote(root, run)
    for run in on_branches:
        put_on_branch(root, run, f"keep-{run}")
    put_object(root, b"of nobody")
    grow_old(root)
    before, objects = extent_of([root]), objects_in(root)
    found = collect(root, older_than=1)
    assert len(found.runs) == 52
    assert found.kept.keys() == set(runs[:8])
    after = extent_of([root])
    assert after.size < before.size
    assert after.inodes < before.inodes
    assert len(objects) - len(objects_in(root)) == 2 * 52 + 1
    shown = list_runs(root)
    assert {row["run"] for row in shown} == set(runs[:8])
    for row in shown:
        assert show_run(root, row["run"])["damage"] == []
        assert [link for link in lineage(row["run"], root, root) if not link.is_good] == []
    refs = git(root, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/trackstack").split()
    assert set(refs) == set(runs[:8])


def test_killed_in_the_middle_nothing_needed_is_gone_and_the_next_time_ends_it(root):
    kept = write_run_with_objects(root, 0.1)
    put_on_branch(root, kept, "keep")
    gone = [write_run_with_objects(root, 0.2), write_run_with_objects(root, 0.3)]
    unneeded = [put_object(root, f"{number}".encode()) for number in range(3000)]
    grow_old(root)
    found = garbage_of(root, older_than=1)
    if (child := os.fork()) == 0:
        remove_garbage(found, found, checkout_of(root))
        os._exit(0)
    while set(unneeded) <= objects_in(root):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert set(unneeded) & objects_in(root), "it was killed too late"
    assert [row["run"] for row in list_runs(root)] == [kept]
    assert [link for link in lineage(kept, root, root) if not link.is_good] == []
    collect(root)
    assert not set(unneeded) & objects_in(root)
    assert git(root, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/trackstack").split() == [kept]
    assert not (root / "runs/.removed").exists()
    assert not any(list((root / "runs").rglob(run)) for run in gone)


def test_a_named_run_that_something_needs_is_refused_with_the_reason(root):
    promoted, on_branch, free = (write_run_with_objects(root, lr) for lr in (0.1, 0.2, 0.3))
    promote(root, promoted)
    put_on_branch(root, on_branch, "feature/one")
    for run, reason in ((promoted, "is promoted"), (on_branch, "is on branch feature/one")):
        with pytest.raises(UserError, match=f"^run {run} {reason}; nothing was removed$"):
            garbage_of(root, keys=[run])
    (root / f"runs/{free}" / EXPORT_NOTE).write_text("{}")
    with pytest.raises(UserError, match="is exported"):
        garbage_of(root, keys=[free])
    with pytest.raises(UserError, match="no such run"):
        garbage_of(root, keys=["nobodys"])


def test_without_a_name_or_an_age_no_run_goes_and_all_that_runs_read_stays(root):
    run = write_run_with_objects(root, 0.1)
    grow_old(root)
    before = objects_in(root)
    found = collect(root)
    assert (found.runs, found.objects) == ([], [])
    assert objects_in(root) == before
    assert [row["run"] for row in list_runs(root)] == [run]


def test_data_of_an_older_commit_stays_since_nothing_can_make_it_again(root):
    old = (root / "raw.txt").read_bytes()
    run_in(root, "dvc unprotect raw.txt && echo 2 > raw.txt && dvc add -q raw.txt && git commit -qam 'New data'")
    unneeded = put_object(root, b"of nobody")
    grow_old(root)
    collect(root)
    assert hashlib.md5(old).hexdigest() in objects_in(root)
    assert unneeded not in objects_in(root)


def test_what_a_stash_needs_stays(root):
    stashed = put_object(root, b"stashed")
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace(hashlib.md5((root / "model.txt").read_bytes()).hexdigest(), stashed))
    git(root, "stash")
    grow_old(root)
    collect(root)
    assert stashed in objects_in(root)


def test_objects_of_this_hour_stay_and_that_is_said(root):
    name = put_object(root, b"of nobody")
    path = root / ".dvc/cache/files/md5" / name[:2] / name[2:]
    path.touch()
    assert collect(root).notes == ["objects of DVC's cache that are younger than an hour, and stay: 1"]
    assert path.exists()


def test_the_cache_is_left_alone_where_the_list_of_a_folder_is_missing(root):
    unneeded = put_object(root, b"of nobody")
    grow_old(root)
    (listing,) = (root / ".dvc/cache/files/md5").glob("??/*.dir")
    listing.unlink()
    found = collect(root)
    assert found.notes == [
        "the cache is left alone: data of the working tree: the list of its files is missing; "
        "type: trackstack storage repair"
    ]
    assert unneeded in objects_in(root)


def test_a_shared_cache_is_left_alone_until_all_its_checkouts_are_named(root, tmp_path):
    other, cache = tmp_path / "another home", tmp_path / "cache"
    (root / ".dvc/cache").rename(cache)
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")
    shutil.copytree(root, other, symlinks=True)
    (root / ".dvc/cache").mkdir()
    theirs, nobodys = (put_object(root, text) for text in (b"theirs", b"of nobody"))
    shutil.copytree(root / ".dvc/cache", cache, dirs_exist_ok=True)
    (other / "theirs.dvc").write_text(f"outs:\n- md5: {theirs}\n  hash: md5\n  path: theirs\n")
    run_in(tmp_path, "find cache -exec touch -h -d @0 {} +")
    (line,) = garbage_of(root).notes
    assert line == f"{cache}: other checkouts may use this cache, so that it is left alone; name them: --checkouts"
    objects = {path.parent.name + path.name for path in garbage_of(root, others=[checkout_of(other)]).objects}
    assert nobodys in objects
    assert theirs not in objects


def test_in_a_home_of_several_checkouts_runs_on_their_branches_and_of_others_stay(root, tmp_path):
    own, theirs, on_branch = (
        write_run_with_objects(root, lr, user) for lr, user in ((0.1, None), (0.2, "ben"), (0.3, None))
    )
    other = tmp_path / "another checkout"
    shutil.copytree(root, other, symlinks=True)
    put_on_branch(other, on_branch, "keep")
    grow_old(root)
    (root / "runs").rename(tmp_path / "runs")
    shared = Checkout(root, tmp_path)
    with pytest.raises(UserError, match="other checkouts may need its runs; name them: --checkouts"):
        find_garbage(shared, [], 1, None, time.time())
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {other}/.dvc/cache\n")
    found = find_garbage(shared, [], 1, [checkout_of(other)], time.time())
    assert [folder.name for folder in found.runs] == [own]
    assert found.kept == {on_branch: "is on branch keep", theirs: "is of ben, and goes by name only"}


def test_checkpoints_go_when_their_run_has_finished(root):
    finished, failed = write_run_with_objects(root, 0.1), write_run_with_objects(root, 0.2, status="failed")
    for run in (finished, failed):
        (root / f"runs/{run}/checkpoints").mkdir()
        (root / f"runs/{run}/checkpoints/1.safetensors").write_text("weights")
    collect(root)
    assert not (root / f"runs/{finished}/checkpoints").exists()
    assert (root / f"runs/{failed}/checkpoints").exists()


def test_clones_of_an_ended_sweep_and_of_a_killed_reproduction_go(root):
    commit = git(root, "rev-parse", "HEAD")
    for name, state in (("ended", "failed"), ("half", "interrupted")):
        sweep = Sweep(root / f"runs/.sweeps/{name}", root, commit, [Trial(f"{name}-1", [])], 1, {}, [], root)
        sweep.save()
        sweep.write(f"{name}-1", TrialStatus(state))
        git(root, "clone", "-q", "--shared", ".", str(sweep.base))
    (root / "runs/.reproductions/r0/repository").mkdir(parents=True)
    found = collect(root)
    assert found.notes == ["sweep half has not ended: its clones stay; trackstack sweep status half"]
    assert [path.name for path in (root / "runs/.sweeps").glob("*/base")] == ["base"]
    assert (root / "runs/.sweeps/half/base").exists()
    assert (root / "runs/.sweeps/ended/sweep.json").exists()
    assert not (root / "runs/.reproductions/r0").exists()
