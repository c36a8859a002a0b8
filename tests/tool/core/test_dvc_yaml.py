"""What dvc.yaml and dvc.lock say of a stage, whatever its templates, working folder and file."""

import pytest
from support.foreign import SHAPES_FOLDER, build_linear, build_shapes, foreign_environment
from support.projects import run_in
from support.shared import built_once

from trackstack import UserError
from trackstack.core.dvc_yaml import dvc_files, dvc_root, locked_stages, overlap, stage_definition, tracked_data
from trackstack.tracking.upstream import upstream_of_running_stage


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A matrix, `wdir`, a second dvc.yaml; reproduced."""

    def build(folder):
        build_shapes(folder)
        run_in(folder / SHAPES_FOLDER, "dvc repro --all-pipelines", env=foreign_environment())

    return built_once(tmp_path_factory, "shapes_reproduced", build) / SHAPES_FOLDER


def test_a_matrix_stage_is_resolved_by_its_item(shapes):
    stage = stage_definition(shapes, "measure@circle")
    assert stage.deps == ["scripts/measure.sh", "raw/numbers.txt"]
    assert stage.outs == ["measured/circle.txt"]
    assert stage_definition(shapes, "measure@hexagon") is None
    assert stage_definition(shapes, "measure") is None


def test_paths_are_seen_from_the_root_whatever_the_working_folder(shapes):
    assert stage_definition(shapes, "draw").deps == ["scripts/draw.sh"]
    summary = stage_definition(shapes, "report/dvc.yaml:summary")
    assert summary.deps == ["report/summary.py", "measured"]
    assert summary.params == {"report/settings.toml": ["digits"]}
    # DVC's address is relative to the folder that it was started in.
    assert stage_definition(shapes, "summary", shapes / "report") == summary
    assert stage_definition(shapes, "draw", shapes / "report") == stage_definition(shapes, "draw")


def test_the_locks_of_all_pipelines_are_read(shapes):
    locked = locked_stages(shapes)
    assert sorted(locked) == ["draw", "measure@circle", "measure@square", "report/dvc.yaml:summary"]
    assert [out["path"] for out in locked["draw"]["outs"]] == ["raw/numbers.txt"]
    assert [dep["path"] for dep in locked["report/dvc.yaml:summary"]["deps"]] == ["measured", "report/summary.py"]
    assert locked["report/dvc.yaml:summary"]["params"] == {"report/settings.toml": {"digits": 1}}


def test_a_stage_knows_all_that_is_upstream_of_it(shapes, monkeypatch):
    monkeypatch.chdir(shapes / "report")
    for address in ("summary", "report/dvc.yaml:summary"):
        monkeypatch.setenv("DVC_STAGE", address)
        upstream = upstream_of_running_stage()
        assert upstream["stage"] == "report/dvc.yaml:summary"
        assert list(upstream["stages"]) == ["draw", "measure@circle", "measure@square"]
        assert upstream["params"] == {"report/settings.toml": {"digits": 1}}
    monkeypatch.setenv("DVC_STAGE", "nothing")
    assert upstream_of_running_stage() == {"problem": "no stage nothing in dvc.yaml"}
    monkeypatch.delenv("DVC_STAGE")
    assert upstream_of_running_stage() is None


def test_what_dvc_tracks_is_not_walked_through(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "data/images").mkdir(parents=True)
    (tmp_path / "data/images/other.dvc").write_text("outs: []\n")
    (tmp_path / "data/images.dvc").write_text("outs:\n- {md5: abc.dir, path: images}\n")
    (tmp_path / "env").mkdir()
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "env/x.dvc").write_text("outs: []\n")
    assert dvc_files(tmp_path, "*.dvc") == [tmp_path / "data/images.dvc"]
    assert tracked_data(tmp_path) == [{"md5": "abc.dir", "path": "data/images"}]
    assert dvc_root(tmp_path / "data/images") == tmp_path


@pytest.mark.parametrize(
    ("path", "other", "same"), [("a", "a", True), ("a/b", "a", True), ("a", "a/b", True), ("ab", "a", False)]
)
def test_paths_overlap_when_one_lies_in_the_other(path, other, same):
    assert overlap(path, other) is same


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    build_linear(tmp_path)
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match=r"dvc.lock: .*; type: git checkout"):
        locked_stages(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {train: {cmd: 'echo ${nothing}'}}\n")
    with pytest.raises(UserError, match=r"dvc.yaml: .*nothing"):
        stage_definition(tmp_path, "train")
