"""Versions and aliases in git's tags: ours, and those that GTO or a person has made."""

import re

import pytest
from support.projects import run_in

from trackstack import UserError
from trackstack.records.promotion.versions import (
    create_tag,
    find_version,
    history,
    read_model,
    read_models,
)


@pytest.fixture
def root(tmp_path):
    run_in(tmp_path, "git init -q && git commit -q --allow-empty -m One && git commit -q --allow-empty -m Two")
    return tmp_path


def tag(root, name, message="Registering artifact", commit="HEAD"):
    run_in(root, ["git", "tag", "-a", name, "-m", message, commit])


def test_tags_of_other_programs_count_and_what_they_do_not_say_is_empty(root):
    tag(root, "detector@v0.3.1", commit="HEAD~")
    tag(root, "detector#prod#1", commit="HEAD~")
    tag(root, "detector@v0.10.0")
    run_in(root, "git tag detector@v9.0.0 && git tag v1.0 && git tag -a detector@latest -m x")  # no version of theirs
    model = read_model(root, "detector")
    assert [version.version for version in model.versions] == ["v0.3.1", "v0.10.0"]
    assert {alias: version.tag for alias, version in model.holders().items()} == {"prod": "detector@v0.3.1"}
    assert (model.versions[0].run, model.versions[0].digest, model.counter) == ("", "", 1)
    assert find_version(root, "detector@v0.10.0") == model.versions[1]
    tag(root, "detector#prod!#2", commit="HEAD~")
    assert read_model(root, "detector").holders() == {}
    assert [row["what"] for row in history(root, None)] == ["", "prod", "no longer prod, now"]


def test_what_we_write_is_read_again_whatever_the_reason_says(root, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ada")
    commit = run_in(root, "git rev-parse HEAD").stdout.strip()
    why = "It is\n\nRun: other\n\tbetter \udce9 «und» größer"
    line = create_tag(
        root, "a-1@v1.0.0", commit, "a-1 v1.0.0: the model", why, {"Run": "r1", "Series": "2", "Model": "d"}
    )
    run_in(root, ["git", *line.replace("create", "update-ref").split()])
    (version,) = read_models(root)["a-1"].versions
    assert (version.run, version.series, version.key, version.digest) == ("r1", 2, "r1-2", "d")
    assert version.why == " ".join(why.split())
    assert (version.user, version.commit) == ("Ada", commit)
    assert run_in(root, "git fsck --strict").returncode == 0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nobody", "nobody: no such promoted model; trackstack runs promoted lists those there are"),
        ("*", "*: no such promoted model;"),
        ("detector", "detector: no champion; expected one of detector@v0.3.1"),
        ("detector@v7", "detector: no v7; expected one of detector@v0.3.1"),
    ],
)
def test_what_is_not_there_is_one_line_with_what_is(root, wanted, said):
    tag(root, "detector@v0.3.1")
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        find_version(root, wanted)
