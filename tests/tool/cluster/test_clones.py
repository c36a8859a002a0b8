"""Clones of a checkout: what their DVC is told, and what of them becomes an experiment."""

from configobj import ConfigObj
from support.projects import run_in

from trackstack.cluster.clones import make_clone, push_experiment


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
