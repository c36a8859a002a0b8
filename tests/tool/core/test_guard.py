"""A stage runs its own workspace's code, all of it as it was at the start and as dvc.yaml lists it, or says why not."""

import os
import runpy
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml
from support.processes import started
from support.projects import ROOT, edit_yaml

from trackstack.system.locks import locked

STAGES = {"probe": {"cmd": "python stages/probe.py", "deps": ["stages/probe.py", "src/parts"]}}
SCRIPT = "from pathlib import Path\nfrom trackstack.core.guard import stage\n\nwith stage() as params:\n    "


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A small project with the stage `probe`, in whose folder the test works."""
    folder = tmp_path / "a project"
    for name in ("stages", "src/parts", "src/others", ".dvc"):
        (folder / name).mkdir(parents=True)
    (folder / "src/parts/used.py").write_text("VALUE = 1\n")
    (folder / "src/parts/unused.py").write_text("VALUE = 1\n")
    (folder / "src/others/helper.py").write_text("VALUE = 1\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (folder / "params.yaml").write_text(yaml.safe_dump({"train": {"model": "cnn", "lr": 0.1}, "other": 1}))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder / "src"))
    monkeypatch.delenv("DVC_STAGE", raising=False)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("parts", "others")]:
        del sys.modules[name]


def run_stage(body, capsys, name="probe"):
    """Exit code and errors of a stage script with this body."""
    script = Path(f"stages/{name}.py")
    script.write_text(SCRIPT + body.replace("\n", "\n    ") + "\n")
    try:
        runpy.run_path(str(script), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().err


def append_to(file):
    return f"Path({file!r}).open('a').write('# edited\\n')"


def test_code_that_was_edited_meanwhile_fails_the_stage_if_it_is_used(workspace, capsys):
    for used in ("src/parts/used.py", "stages/probe.py"):
        code, error = run_stage(f"import parts.used\n{append_to(used)}", capsys)
        assert (code, len(error.splitlines())) == (1, 1)
        assert error.startswith(f"{used}: edited while the stage ran")
    assert run_stage(f"import parts.used\n{append_to('src/parts/unused.py')}", capsys) == (0, "")


def test_parameters_that_were_edited_meanwhile_fail_the_stage_if_they_are_used(workspace, capsys):
    assert run_stage(f"params.get('train')\n{append_to('params.yaml')}", capsys) == (0, "")  # a comment
    edit = "params.get('train')\nfile = Path('params.yaml')\nfile.write_text(file.read_text().replace({!r}, {!r}))"
    assert run_stage(edit.format("other: 1", "other: 2"), capsys) == (0, "")
    code, error = run_stage(edit.format("lr: 0.1", "lr: 0.2"), capsys)
    assert (code, error) == (1, "params.yaml: train: edited while the stage ran; run dvc repro again\n")


def test_a_module_that_is_not_in_the_deps_fails_the_stage_and_is_named(workspace, capsys):
    assert run_stage("import parts.used", capsys) == (0, "")
    expected = (
        "src/others/helper.py: stage probe imports it, but dvc.yaml does not list it, so that an edit of it would run "
        "nothing; add src/others/helper.py to the deps of probe\n"
    )
    assert run_stage("Path('done').touch()\nimport others.helper", capsys) == (1, expected)
    assert Path("done").exists(), "what is imported at the end of a stage is refused at its end"
    Path("done").unlink()
    asks_early = (
        "import others.helper\nfrom trackstack.core.guard import refuse_undeclared_modules\n"
        "refuse_undeclared_modules()\nPath('done').touch()"
    )
    assert run_stage(asks_early, capsys) == (1, expected)
    assert not Path("done").exists(), "and at once where the stage asks for it"
    edit_yaml(Path("dvc.yaml"), {"stages": {"probe": {"deps": [*STAGES["probe"]["deps"], "src/others/helper.py"]}}})
    assert run_stage("import others.helper", capsys) == (0, "")


def test_templates_in_deps_are_resolved(workspace, capsys):
    Path("src/others/cnn.py").write_text("VALUE = 1\n")
    edit_yaml(Path("dvc.yaml"), {"stages": {"probe": {"deps": ["stages/probe.py", "src/others/${train.model}.py"]}}})
    assert run_stage("import others.cnn", capsys) == (0, "")
    edit_yaml(Path("params.yaml"), {"train": {"model": "mlp"}})
    code, error = run_stage("import others.cnn", capsys)
    assert code == 1
    assert error.startswith("src/others/cnn.py: stage probe imports it, but dvc.yaml does not list it")


def test_a_package_that_only_has_a_docstring_needs_no_dep_and_one_with_code_does(workspace, capsys):
    package = Path("src/others/__init__.py")
    package.write_text('"""What lives here."""\n')
    assert run_stage("import others", capsys) == (0, "")
    del sys.modules["others"]
    package.write_text('"""What lives here."""\nVALUE = 1\n')
    assert run_stage("import others", capsys)[1].startswith("src/others/__init__.py: stage probe imports it")


def test_a_stage_is_known_by_dvcs_name_also_where_dvc_runs_in_a_folder_below(workspace, capsys, monkeypatch):
    edit_yaml(Path("dvc.yaml"), {"stages": {"other": {"cmd": "python", "deps": ["stages", "src/others"]}}})
    for address in ("other", "../dvc.yaml:other"):
        monkeypatch.setenv("DVC_STAGE", address)
        assert run_stage("import others.helper", capsys) == (0, ""), address
        assert "src/parts/used.py: stage other imports it" in run_stage("import parts.used", capsys)[1]
        del sys.modules["parts.used"]


def test_modules_of_an_environment_in_the_projects_folder_are_no_matter(workspace):
    venv.create(workspace / ".venv", with_pip=False)
    packages = next((workspace / ".venv/lib").glob("python*/site-packages"))
    (packages / "installed.py").write_text("VALUE = 1\n")
    (workspace / "stages/probe.py").write_text(SCRIPT + "import installed\n    print(installed.__file__)\n")
    own_packages = Path(yaml.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{own_packages}"}
    command = [str(workspace / ".venv/bin/python"), "-P", "stages/probe.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(packages / "installed.py")


def test_a_stage_that_is_executed_already_is_waited_for(workspace, capsys, monkeypatch):
    monkeypatch.setattr("trackstack.core.guard.ORPHAN_SECONDS", 0.1)
    holder = (
        "import sys, time; from pathlib import Path; from trackstack.system.lease import take_lease;"
        "take_lease(Path('.dvc/tmp/trackstack/probe')); print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with started([sys.executable, "-c", holder], env=environment) as process:
        assert process.stdout.readline() == "held\n"
        code, error = run_stage("pass", capsys)
        assert code == 1
        assert error.startswith(f"stage probe: process {process.pid} on ")
        process.kill()
    assert run_stage("pass", capsys) == (0, "")
    with locked(Path(".dvc/tmp/trackstack/probe/lease.lock"), patience=0) as free:
        assert free


def test_code_of_another_checkout_is_refused(workspace, capsys):
    (workspace / "src/trackstack").mkdir()
    code, error = run_stage("pass", capsys)
    assert code == 1
    assert "trackstack was imported from another checkout than" in error
    assert len(error.splitlines()) == 1


def test_a_file_that_cannot_be_written_is_one_line(workspace, capsys):
    Path("ingested").write_text("in the way")
    assert run_stage("Path('ingested').mkdir()", capsys) == (1, "ingested: File exists\n")


def test_an_edit_during_a_real_stage_fails_dvc_repro(cheap_project, run):
    """The script itself edits a module that it has imported."""
    with (cheap_project / "stages/train.py").open("a") as file:
        file.write("    Path('src/pipeline/train/params.py').open('a').write('# x\\n')\n")
    done = run(cheap_project, "dvc repro --single-item train", expect=255)
    assert "src/pipeline/train/params.py: edited while the stage ran" in done.stderr
    assert "failed to reproduce 'train'" in done.stderr
