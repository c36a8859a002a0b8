"""Clones of a checkout: what their DVC is told, and what of them becomes an experiment."""

import os
import subprocess

import pytest
from configobj import ConfigObj
from support.hostile import GIT, git_config
from support.projects import run_in

from trackstack import UserError
from trackstack.cluster.clones import make_clone, push_experiment
from trackstack.system.git import git


@pytest.fixture
def origin(tmp_path):
    """A DVC repository in git."""
    return make_origin(tmp_path / "a checkout")


def make_origin(folder):
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("")
    (folder / "params.yaml").write_text("lr: 1\nseed: 0\n")
    top = folder
    while not (top / ".git").exists() and top.name != "a checkout":
        top = top.parent
    run_in(top, "git init -q && git add -A && git commit -qm 'A pipeline'")
    return folder


def experiment_of(origin, tmp_path):
    """What a trial does to git: a clone, an edit, an experiment; the files of that."""
    commit = git(origin, "rev-parse", "HEAD")
    project = make_clone(origin, commit, tmp_path / "home/clone", tmp_path / "cache")
    assert (project / "params.yaml").read_bytes() == b"lr: 1\nseed: 0\n"
    (project / "params.yaml").write_text("lr: 2\nseed: 0\n")
    push_experiment(project, commit, "trial")
    return git(origin, "show", f"refs/exps/{commit[:2]}/{commit[2:]}/trial:./params.yaml")


@pytest.mark.parametrize("setting", GIT)
def test_no_setting_of_the_persons_git_reaches_a_trial(origin, tmp_path, monkeypatch, setting):
    for name, value in git_config(tmp_path, setting).items():
        monkeypatch.setenv(name, value)
    assert experiment_of(origin, tmp_path) == "lr: 2\nseed: 0"


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"])
def test_a_repository_that_git_was_told_of_outside_is_left_alone(origin, tmp_path, monkeypatch, name):
    other = make_origin(tmp_path / "other/a checkout")
    before = git(other, "for-each-ref")
    place = {"GIT_INDEX_FILE": "index", "GIT_OBJECT_DIRECTORY": "objects"}.get(name, "")
    monkeypatch.setenv(name, str(other / ".git" / place))
    assert experiment_of(origin, tmp_path) == "lr: 2\nseed: 0"
    assert git(other, "for-each-ref") == before
    assert git(other, "status", "--porcelain") == ""


def test_settings_that_an_environment_brings_stay_beside_ours(origin, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/somewhere")
    assert git(origin, "config", "safe.directory") == "/somewhere"
    assert git(origin, "config", "core.hooksPath") == os.devnull


def test_a_dvc_repository_may_be_a_folder_of_a_larger_one(tmp_path):
    origin = make_origin(tmp_path / "a checkout/ml/vision")
    assert experiment_of(origin, tmp_path) == "lr: 2\nseed: 0"
    with pytest.raises(UserError, match=r"no DVC repository; run this where \.dvc lies"):
        make_clone(origin.parent, "HEAD", tmp_path / "clone", tmp_path / "cache")


@pytest.mark.parametrize(
    "make",
    [
        "git worktree add -q --detach ../there",
        "git clone -q . ../there && cd ../there && git checkout -q --detach",
        'git clone -q --depth 1 "file://$PWD" ../there',
        "git clone -q --filter=blob:none --no-local . ../there",
        "mkdir ../big && cd ../big && git init -q && git -c protocol.file.allow=always submodule add -q "
        "'../a checkout' there && ln -s big/there ../there",
        "ln -s 'a checkout' ../there",
    ],
    ids=["worktree", "detached", "shallow", "partial", "submodule", "symlink"],
)
def test_a_checkout_of_any_kind_makes_experiments(origin, tmp_path, make):
    subprocess.run(make, shell=True, cwd=origin, check=True)
    assert experiment_of(tmp_path / "there", tmp_path) == "lr: 2\nseed: 0"


def test_a_clone_finds_the_remotes_and_the_cache_and_gives_back_all_but_compiled_modules(tmp_path):
    origin = tmp_path / "a checkout"
    (origin / ".dvc").mkdir(parents=True)
    config = {
        "'remote \"near\"'": "../data/store",
        "'remote \"far\"'": "../../a store, #1",
        "'remote \"s3\"'": "s3://b/%40",
    }
    lines = [f'[{section}]\nurl = "{url}"\n' for section, url in config.items()]
    (origin / ".dvc/config").write_text("".join(lines))
    run_in(origin, "git init -q && git add -A && git commit -qm 'A pipeline'")
    (origin / ".dvc/config.local").write_text("['remote \"s3\"']\npassword = '50%, #1'\n")
    commit = run_in(origin, "git rev-parse HEAD").stdout.strip()
    clone, cache = tmp_path / "home/clone", tmp_path / "cache, 100% #1"
    (clone / "left").mkdir(parents=True)  # by an attempt that was killed
    make_clone(origin, commit, clone, cache)
    local = ConfigObj(str(clone / ".dvc/config.local")).dict()
    assert local["cache"]["dir"] == str(cache)
    assert local['remote "far"'] == {"url": str(tmp_path / "a store, #1")}, "relative to the checkout, not the clone"
    assert local['remote "s3"'] == {"password": "50%, #1"}
    assert 'remote "near"' not in local

    for name in ("src/__pycache__/x.pyc", "src/new.py", "notes.txt"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("")
    push_experiment(clone, commit, "name")
    ref = f"refs/exps/{commit[:2]}/{commit[2:]}/name"
    files = run_in(origin, ["git", "ls-tree", "-r", "--name-only", ref]).stdout.split("\n")
    assert [file for file in files if file] == [".dvc/config", "notes.txt", "src/new.py"]


def test_a_shallow_repository_shares_a_commit_on_no_branch(origin, tmp_path):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(shallow))
    commit = git(shallow, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Source of a run")
    make_clone(shallow, commit, tmp_path / "clone", tmp_path / "cache")
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == commit
