"""Runs go from one home to another by real git and DVC remotes, and both homes say the same of them."""

import shutil
import subprocess

import pytest
from support.foreign import foreign_environment
from support.projects import run_in
from support.recording import trackstack
from support.sharing import RUN, Group, inside, record, recorded

from trackstack import UserError, describe_error
from trackstack.records.lineage import lineage
from trackstack.records.query import list_runs, show_run
from trackstack.sharing.pull import pull_runs
from trackstack.sharing.push import push_runs
from trackstack.sharing.record import LARGEST_IN_GIT


def push(home, *keys, **more):
    with inside(home):
        return push_runs(list(keys), home, home, **more)


def pull(home, *keys, **more):
    with inside(home):
        return pull_runs(list(keys), home, home, **more)


def what_is_said(home):
    rows = list_runs(home)
    return rows, [show_run(home, row["run"]) for row in rows]


def verdicts(home, key):
    with inside(home):
        return {(link.what, link.identity): link.is_good for link in lineage(key, home, home)}


def test_a_colleagues_clone_says_of_runs_what_their_own_home_does_after_that_is_gone(group):
    """Of a tree with uncommitted edits, with a large file, and an experiment."""
    (group.first / "new.py").write_text("# not committed\n")
    head = run_in(group.first, "git rev-parse HEAD").stdout.strip()
    run_in(group.first, f"git update-ref refs/exps/{head[:2]}/{head[2:]}/mine HEAD")
    with recorded(group.first, DVC_EXP_NAME="mine") as run:
        (group.place / "large.bin").write_bytes(b"x" * (LARGEST_IN_GIT + 1))
        run.log_artifact(group.place / "large.bin")
    record(group.first, "rfedcba987654", loss=0.25)
    said = what_is_said(group.first)
    done = push(group.first)
    assert set(done.runs.values()) == {"pushed"}
    assert not done.problems
    shutil.rmtree(group.first)
    hers = group.clone("her clone")
    assert set(pull(hers).runs.values()) == {"pulled"}
    assert what_is_said(hers) == said
    assert (hers / f"runs/{RUN}/artifacts/1/large.bin").stat().st_size == LARGEST_IN_GIT + 1
    links = verdicts(hers, RUN)
    assert [what for (what, _), good in links.items() if not good] == ["scratch: output"], "push: false"
    assert ("experiment", "mine") in links
    assert "# not committed" in run_in(hers, f"git show refs/trackstack/{RUN}:new.py").stdout
    assert run_in(hers, "git status --porcelain").stdout == ""


def test_a_dvc_repository_may_be_a_folder_of_a_larger_git_repository(origin_of_group, tmp_path):
    group = Group(tmp_path, origin_of_group, inside="of us/räume")
    record(group.first)
    push(group.first)
    hers = group.clone("her clone")
    assert pull(hers).runs == {RUN: "pulled"}
    assert what_is_said(hers) == what_is_said(group.first)
    assert [what for (what, _), good in verdicts(hers, RUN).items() if not good] == ["scratch: output"], "push: false"


def test_what_is_needed_is_pushed_and_nothing_else(group):
    record(group.first)
    done = push(group.first)
    assert [(item.path, "push: false" in item.why) for item in done.left_out[RUN]] == [("scratch.txt", True)]
    assert (
        done.objects == 4
    )  # data/, its two files, of which one is raw.txt, and model.txt, which figure.txt is a copy of
    pushed = {"".join(path.parts[-2:]) for path in group.store.rglob("*") if path.is_file()}
    assert len(pushed) == done.objects
    assert set(group.refs()) == {f"refs/trackstack/{RUN}", f"refs/trackstack-records/{RUN}"}


def test_typed_again_nothing_is_done(group):
    record(group.first)
    push(group.first)
    before, hers = group.refs(), group.clone("her clone")
    again = push(group.first)
    assert again.runs == {RUN: "is there already"}
    assert again.objects == 0
    pull(hers)
    assert pull(hers).runs == {RUN: "is here already"}
    assert push(hers).runs == {RUN: "is there already"}
    assert group.refs() == before


def test_what_was_removed_here_is_brought_back(group):
    record(group.first)
    push(group.first)
    said = what_is_said(group.first)
    shutil.rmtree(group.first / "runs")
    assert pull(group.first).runs == {RUN: "pulled"}
    assert what_is_said(group.first) == said


def test_a_run_that_two_people_had_is_there_twice_in_both_homes(group):
    hers = group.clone("her clone")
    record(group.first, loss=0.5, USER="ada")
    record(hers, loss=0.25, USER="bob")
    push(group.first)
    push(hers)
    for home in (group.first, hers, group.clone("a third")):
        pull(home)
        rows = list_runs(home)
        assert sorted(row["metrics"]["loss"] for row in rows) == [0.25, 0.5]
        assert {row["run"] for row in rows} == {RUN, f"{RUN}-2"}
        assert push(home).runs == {RUN: "is there already"}
    assert [row["metrics"]["loss"] for row in list_runs(hers)] == [0.25, 0.5], "one's own comes first"


def test_of_people_who_push_at_once_all_land(group):
    homes = [group.first, *(group.clone(f"clone {number}") for number in range(2))]
    for home in homes[1:]:
        shutil.copytree(group.first / ".dvc/cache", home / ".dvc/cache")
    for number, home in enumerate(homes):
        record(home, loss=number)
        record(home, f"r00000000000{number}")
    processes = [
        subprocess.Popen(["trackstack", "push"], cwd=home, env=foreign_environment(), stderr=subprocess.PIPE)
        for home in homes
    ]
    assert [process.communicate(timeout=900)[1] for process in processes] == [b""] * len(homes)
    last = group.clone("last")
    pull(last)
    found = sorted(row["metrics"]["loss"] for row in list_runs(last) if row["run"].startswith(RUN))
    assert found == [0, 1, 2]
    assert len(list_runs(last)) == 2 * len(homes)


def test_a_pulled_run_is_delivered_to_the_back_ends_of_its_new_home(group):
    record(group.first, TRACKSTACK_SINKS="")
    push(group.first)
    hers = group.clone("her clone")
    trackstack(hers, "pull", sinks="sqlite", TRACKSTACK_HOME=str(hers))
    trackstack(hers, "sync", sinks="sqlite")
    assert "tiny" in trackstack(hers, "runs", "sql", "SELECT name FROM runs")
    assert not (group.first / "project.db").exists()


def test_a_run_that_is_named_is_pushed_though_it_has_failed_and_goes_on_later(group):
    with pytest.raises(ZeroDivisionError), recorded(group.first):
        raise ZeroDivisionError
    assert push(group.first).runs == {}
    assert "by name" in push(group.first).notes[0]
    assert push(group.first, "r01").runs == {RUN: "pushed"}
    hers = group.clone("her clone")
    pull(hers, "r01")
    assert [row["status"] for row in list_runs(hers)] == ["failed"]
    record(group.first)
    push(group.first)
    pull(hers)
    assert list_runs(hers) == list_runs(group.first)


def test_data_goes_first_so_that_no_ref_promises_what_is_not_there(group):
    record(group.first)
    group.store.write_text("in the place of the remote's folder\n")
    with pytest.raises((UserError, OSError)) as caught:
        push(group.first)
    line = describe_error(caught.value)
    assert "\n" not in line
    assert str(group.store) in line
    assert group.refs() == {}
    group.store.unlink()
    assert push(group.first).runs == {RUN: "pushed"}


def test_an_object_that_nobody_has_is_named_and_keeps_nothing_else_back(group):
    record(group.first)
    (cached,) = (group.first / ".dvc/cache").rglob(run_in(group.first, "md5sum < data/two.txt").stdout[2:32])
    cached.chmod(0o644)
    cached.write_text("damaged")
    done = push(group.first)
    assert [line.split(": ")[:2] for line in done.problems] == [[RUN, "data"]]
    hers = group.clone("her clone")
    taken = pull(hers)
    assert taken.runs == {RUN: "pulled"}
    assert "data" in {item.path for item in taken.left_out[RUN]}
    assert len(list_runs(hers)) == 1


def test_an_object_that_was_damaged_at_the_remote_is_not_taken_and_typed_again_it_is(group):
    record(group.first)
    push(group.first)
    (stored,) = group.store.rglob(run_in(group.first, "md5sum < data/two.txt").stdout[2:32])
    whole = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_text("damaged")
    hers = group.clone("her clone")
    done = pull(hers)
    assert [line.split(": ")[:2] for line in done.problems] == [[RUN, "data"]]
    stored.write_bytes(whole)
    assert not pull(hers).problems
    assert [what for (what, _), good in verdicts(hers, RUN).items() if not good] == ["scratch: output"]


def test_dry_run_says_what_would_be_pushed_and_pushes_nothing(group):
    record(group.first)
    done = push(group.first, dry_run=True)
    assert done.runs == {RUN: "would be pushed"}
    assert done.objects == 4
    assert group.refs() == {}
    assert not group.store.exists()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        ("git remote remove origin", "git remote add"),
        ("git remote set-url origin ../nowhere.git", "git ls-remote"),
        ("rm .dvc/config.local", "dvc remote add -d"),
    ],
)
def test_without_a_remote_a_line_says_what_to_type(group, break_it, said):
    record(group.first)
    run_in(group.first, break_it)
    with pytest.raises(UserError) as caught:
        push(group.first)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert group.refs() == {}


def test_unknown_runs_are_one_line(group):
    record(group.first)
    for command in ("push", "pull"):
        output = trackstack(group.first, command, "r9", expect=1, TRACKSTACK_HOME=str(group.first))
        assert output.startswith("r9: no such run")
        assert output.count("\n") == 1


def test_a_run_is_pulled_by_its_name(group):
    record(group.first)
    push(group.first)
    assert pull(group.clone("her clone"), "tiny").runs == {RUN: "pulled"}
