"""A model becomes a version of a named one in git and DVC, and is found again by name, alias and version."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.repo.artifacts import Artifacts
from support.hostile import enter
from support.projects import run_in
from support.promotions import build, record, train
from support.recording import trackstack

from trackstack import UserError
from trackstack.records.promotion.promote import demote, model_folder, promote
from trackstack.tracking.snapshot import keep_source


@pytest.fixture
def root(repository, monkeypatch):
    build(repository)
    monkeypatch.chdir(repository)
    return repository


@pytest.fixture(scope="module")
def trained(empty_repository, tmp_path_factory):
    root = shutil.copytree(empty_repository, tmp_path_factory.mktemp("trained") / "somebody's")
    build(root)
    for name in ("one", "two"):
        train(root, name, f"{name}\n")
    return root


@pytest.fixture
def two(trained, tmp_path, monkeypatch):
    """Runs `one` and `two`, which nobody has committed."""
    root = shutil.copytree(trained, tmp_path / "somebody's")
    monkeypatch.chdir(root)
    return root


def refs(root):
    lines = run_in(root, "git for-each-ref --format='%(refname) %(objectname)' refs/heads/promoted refs/tags").stdout
    return dict(line.split() for line in lines.splitlines())


def values(root, wanted):
    with model_folder(wanted, root, root) as folder:
        return (folder / "values").read_text()


def test_a_run_of_edited_files_is_found_by_name_alias_version_and_dvc_and_no_file_of_the_person_changes(
    two, tmp_path
):
    before = run_in(
        two, "git status --porcelain; git rev-parse HEAD; git ls-files --stage; cat dvc.yaml dvc.lock"
    ).stdout
    made = promote(two, two, "one", "detector", why="the  first\none")
    after = run_in(
        two, "git status --porcelain; git rev-parse HEAD; git ls-files --stage; cat dvc.yaml dvc.lock"
    ).stdout
    assert after == before
    expected = "1 2 3\none\n"
    for wanted in ("detector", "detector@champion", "detector@v1", "detector@v1.0.0"):
        assert values(two, wanted) == expected
    for number, by in enumerate(({"version": "v1.0.0"}, {"stage": "champion"})):
        Artifacts.get(str(two), "detector", out=str(tmp_path / f"{number}"), **by)
        assert (tmp_path / f"{number}/values").read_text() == expected
    show = run_in(two, f"git show {made.version.commit}:dvc.yaml {made.version.commit}:settings.txt").stdout
    assert "# A comment that stays" in show
    assert show.endswith("one\n")
    clone = tmp_path / "clone"
    run_in(two, ["git", "clone", "-q", "-b", "promoted/detector/champion", ".", str(clone)])
    (clone / ".dvc/config.local").write_text(f"[cache]\n    dir = {two}/.dvc/cache\n")
    with Repo(str(clone)) as repo:
        repo.checkout()
        assert repo.status() == {}
    assert (clone / "weights/values").read_text() == expected
    assert run_in(two, "git tag -n9 -l 'detector@v1.0.0'").stdout.splitlines()[2].strip() == "the first one"


def test_another_model_is_the_next_version_and_the_alias_moves_and_moves_back(two):
    first = promote(two, two, "one", "detector")
    second = promote(two, two, "two", "detector", why="better")
    assert (second.version.tag, second.before.tag) == ("detector@v2.0.0", "detector@v1.0.0")
    assert refs(two)["refs/heads/promoted/detector/champion"] == second.version.commit
    assert [values(two, f"detector@{which}").split()[-1] for which in ("champion", "v1", "v2")] == [
        "two",
        "one",
        "two",
    ]
    known = refs(two)
    assert promote(two, two, "two", "detector").version == second.version
    assert refs(two) == known
    assert promote(two, two, "one", "detector").version == first.version
    assert refs(two).keys() - known.keys() == {"refs/tags/detector#champion#3"}
    assert values(two, "detector") == values(two, "detector@v1")
    table = trackstack(two, "runs", "promoted")
    assert [line.split()[1:4] for line in table.splitlines()[1:]] == [
        ["v1.0.0", "one", "champion"],
        ["v2.0.0", "two", "champion"],
        ["v1.0.0", "one", "champion,"],
    ]


def test_what_a_kill_has_left_out_is_made_up_for_and_what_was_done_is_not_done_again(two):
    promote(two, two, "one", "detector")
    known, note = refs(two), (two / "runs/one/promoted-1.json").read_bytes()
    (two / "runs/one/promoted-1.json").write_text('{"models": [')
    run_in(two, "git update-ref -d refs/heads/promoted/detector/champion")
    assert "promoted-1.json: damaged" in trackstack(two, "runs", "list")
    promote(two, two, "one", "detector")
    assert refs(two) == known
    assert (two / "runs/one/promoted-1.json").read_bytes() == note
    demote(two, two, "detector")
    known = refs(two)
    demote(two, two, "detector")
    assert refs(two) == known


def test_a_demotion_takes_alias_and_branch_away_and_keeps_version_tags_and_note(two):
    promote(two, two, "one", "detector", alias="steady")
    promote(two, two, "one", "detector")
    said = trackstack(two, "runs", "demote", "detector", "--why", "too slow")
    assert said.splitlines() == [
        "detector@v1.0.0 is no longer champion; trackstack runs promote one detector gives it back"
    ]
    assert refs(two).keys() == {
        "refs/heads/promoted/detector/steady",
        *(f"refs/tags/detector{end}" for end in ("@v1.0.0", "#steady#1", "#champion#2", "#champion!#3")),
    }
    with pytest.raises(
        UserError, match=r"^detector: no champion; expected one of detector@steady, detector@v1\.0\.0$"
    ):
        values(two, "detector")
    assert values(two, "detector@v1") == values(two, "detector@steady")
    assert "detector@v1.0.0, steady" in trackstack(two, "runs", "show", "one")
    assert "no longer champion, now" in trackstack(two, "runs", "promoted", "detector")


def test_without_the_runs_folder_or_with_a_damaged_copy_dvc_gives_the_model(two):
    promote(two, two, "one", "detector")
    copy = two / "runs/one/artifacts/1/weights/values"
    copy.write_text("something else")
    assert values(two, "detector") == "1 2 3\none\n"
    shutil.rmtree(two / "runs/one")
    assert values(two, "detector") == "1 2 3\none\n"
    shutil.rmtree(two / ".dvc/cache")
    with pytest.raises(UserError, match=r"^weights of commit .*: DVC cannot give it .*; dvc push --all-tags"):
        values(two, "detector")


def test_a_damaged_copy_is_refused_unless_the_run_was_repeated(two):
    kept = two / "runs/one/artifacts"
    shutil.copytree(kept / "1", kept / "2")
    (kept / "1/weights/values").write_text("something else")
    assert promote(two, two, "one", "detector").version.tag == "detector@v1.0.0"
    (two / "runs/two/artifacts/1/weights/values").write_text("something else")
    with pytest.raises(UserError, match=r"^.*two/artifacts/1/weights: is not the model that the run recorded"):
        promote(two, two, "two", "detector")
    assert len(refs(two)) == 3


def test_the_commit_of_an_experiment_is_taken_as_it_is_where_it_names_the_model(root):
    (root / "dvc.yaml").write_text(f"{(root / 'dvc.yaml').read_text()}artifacts:\n  detector: {{path: weights}}\n")
    train(root, "one", "one\n", tags={"dvc_exp": "lucky", "model_name": "linear"})
    run_in(root, "git add -A && git commit -qm 'dvc: commit experiment lucky'")
    run_in(root, "git update-ref refs/exps/ab/cd/lucky HEAD && git reset -q --hard HEAD~")
    made = promote(root, root, "one", "detector")
    assert made.version.commit == run_in(root, "git rev-parse refs/exps/ab/cd/lucky").stdout.strip()
    assert made.origin == "experiment lucky"
    assert promote(root, root, "one", "other").version.commit != made.version.commit
    assert values(root, "other@v1") == values(root, "detector")


def test_a_lock_that_is_gone_from_the_workspace_is_found_in_an_earlier_commit(two):
    run_in(two, "git add -A && git commit -qm 'Two'")
    train(two, "three", "three\n")
    made = promote(two, two, "two", "detector")
    assert made.origin == "the run's source and its dvc.lock"
    shutil.rmtree(two / "runs/two")
    assert values(two, "detector") == "1 2 3\ntwo\n"


def test_of_a_script_that_no_stage_runs_dvc_gets_the_model_alone(root):
    (root / "mine").mkdir()
    (root / "mine/values").write_text("my own\n")
    record(root, "one", root / "mine", keep_source("one", root))
    made = promote(root, root, "one", None)
    assert made.version.tag == "linear@v1.0.0"
    assert "promoted/linear.dvc" in made.origin
    shutil.rmtree(root / "runs/one")
    assert values(root, "linear") == "my own\n"


def refused(root, said, *arguments):
    before = run_in(root, "git for-each-ref").stdout
    output = trackstack(root, "runs", *arguments, expect=1)
    assert output.startswith(said)
    assert len(output.splitlines()) == 1
    assert run_in(root, "git for-each-ref").stdout == before
    assert not list(root.glob("runs/*/promoted-*"))


def test_what_cannot_be_promoted_is_one_line_and_changes_nothing(two):
    for said, *arguments in (
        ("none: no such run in", "promote", "none", "detector"),
        ("NAME is 'my/detector'; expected letters, digits", "promote", "one", "my/detector"),
        ("NAME is 'detector.'; expected", "promote", "one", "detector."),
        ("--alias is 'latest'; expected", "promote", "one", "detector", "--alias", "latest"),
        ("--alias is 'v3'; expected", "promote", "one", "detector", "--alias", "v3"),
        ("--alias is 'v1'; expected", "demote", "detector", "--alias", "v1"),
        ("detector: no such promoted model; trackstack runs promoted lists", "demote", "detector"),
        ("detector: no such promoted model; trackstack runs promoted lists", "promoted", "detector"),
    ):
        refused(two, said, *arguments)
    run_in(two, "git branch promoted")
    refused(
        two,
        "branch promoted is in the way of branch promoted/detector/champion; rename it: git branch -m promoted promoted-branch",
        "promote",
        "one",
        "detector",
    )
    run_in(two, "git branch -m promoted promoted-branch && git branch promoted/detector/champion")
    refused(
        two,
        "branch promoted/detector/champion has a commit that is no version of detector; keep it",
        "promote",
        "one",
        "detector",
    )


def test_a_branch_that_is_checked_out_or_goes_on_by_itself_is_not_moved(two, tmp_path):
    promote(two, two, "one", "detector")
    place = tmp_path / "worktree"
    run_in(two, f"git worktree add -q '{place}' promoted/detector/champion")
    with pytest.raises(UserError, match=rf"is checked out in {place}; leave it: git -C '{place}' switch --detach$"):
        promote(two, two, "two", "detector")
    run_in(place, "git commit -q --allow-empty -m more && git switch -q --detach")
    with pytest.raises(UserError, match=r"is no version of detector; keep it under another name: git branch -m .*"):
        promote(two, two, "two", "detector")
    assert len(refs(two)) == 3


def test_a_run_whose_source_is_nowhere_and_an_unfinished_one_are_refused(root):
    folder = root / "mine"
    folder.mkdir()
    (folder / "values").write_text("1")
    record(root, "one", folder, None)
    record(root, "two", folder, "c0ffee" * 7)
    refused(
        root,
        "one: its source was not kept; it was recorded outside of git, before the first commit",
        "promote",
        "one",
    )
    refused(
        root,
        "two: git has no commit c0ffeec0ffee here, which keeps its source; type: trackstack pull",
        "promote",
        "two",
    )
    journal = root / "runs/one/journal-1.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    refused(root, "one: is lost and has no model to promote; expected a finished training", "promote", "one")


def test_where_there_is_no_git_it_is_said(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "model").mkdir()
    record(tmp_path, "one", tmp_path / "model", None)
    output = trackstack(tmp_path, "runs", "promote", "one", expect=1)
    assert output == f"{tmp_path}: not in git, whose tags keep promoted models; git init, commit, and run it again\n"


def test_in_mlflow_the_alias_moves_with_the_champion_and_goes_with_it_and_versions_stay(root, tmp_path):
    from mlflow.artifacts import download_artifacts
    from mlflow.tracking import MlflowClient

    for name in ("one", "two"):
        train(root, name, f"{name}\n", in_mlflow=True)
        said = trackstack(root, "runs", "promote", name, "detector", "--why", f"it is {name}")
        assert said.splitlines()[-1] == "MLflow: models:/detector@champion"
        uri = f"sqlite:///{root}/mlflow.db"
        by_mlflow = download_artifacts("models:/detector@champion", dst_path=str(tmp_path / name), tracking_uri=uri)
        assert (Path(by_mlflow) / "values").read_text() == values(root, "detector") == f"1 2 3\n{name}\n"
    client = MlflowClient(uri)
    versions = {version.tags["trackstack.version"]: version for version in client.search_model_versions()}
    assert {name: version.description for name, version in versions.items()} == {
        "v1.0.0": "it is one",
        "v2.0.0": "it is two",
    }
    assert client.get_registered_model("detector").aliases == {"champion": versions["v2.0.0"].version}
    trackstack(root, "runs", "promote", "one", "detector")
    assert client.get_registered_model("detector").aliases == {"champion": versions["v1.0.0"].version}
    trackstack(root, "runs", "demote", "detector")
    assert client.get_registered_model("detector").aliases == {}
    assert len(client.search_model_versions()) == 2
    (experiment,) = client.search_experiments(filter_string="name = 'trackstack'")
    assert not any("trackstack.promoted" in run.data.tags for run in client.search_runs([experiment.experiment_id]))


def test_what_mlflow_could_not_take_is_said_and_brought_by_typing_it_again(root):
    kept = train(root, "one", "one\n", in_mlflow=True) / "artifacts"
    (kept / "1").rename(kept / "2")
    said = trackstack(root, "runs", "promote", "one", "detector", expect=1)
    assert f"one: mlflow does not have it yet: {kept}/1/weights: no such file; MLflow has run one without" in said
    known = refs(root)
    (kept / "2").rename(kept / "1")
    assert trackstack(root, "runs", "promote", "one", "detector").endswith("MLflow: models:/detector@champion\n")
    assert refs(root) == known


def test_without_mlflow_it_is_said_that_it_has_none_and_the_card_lies_beside_the_run(two):
    said = trackstack(two, "runs", "promote", "one", "detector", "--alias", "steady").splitlines()
    assert said[0] == "detector@v1.0.0 is steady: the model of run one"
    assert said[1].startswith("git: tag detector@v1.0.0, branch promoted/detector/steady, commit ")
    assert said[2].startswith("model card: runs/one/model-card-1.md; missing, to be written by a person: ")
    assert said[3:] == ["MLflow: has no version, since run one was recorded without it"]
    card = (two / "runs/one/model-card-1.md").read_text()
    assert "detector@v1.0.0 by tester" in card
    assert "prepare: output" in card


@pytest.mark.parametrize(
    "setting",
    ["signing and hooks", "line ends and colours", "a newline", "a folder of a larger repository", "a worktree"],
)
def test_it_works_whatever_a_person_has_set_and_wherever_the_folder_is(setting, repository, tmp_path, monkeypatch):
    build(repository)
    case = enter(setting, repository, tmp_path)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(case.folder)
    train(case.folder, "one", "one\n")
    promote(case.folder, case.folder, "one", "detector", why="für é")
    shutil.rmtree(case.folder / "runs")
    assert values(case.folder, "detector") == "1 2 3\none\n"
    demote(case.folder, case.folder, "detector")
