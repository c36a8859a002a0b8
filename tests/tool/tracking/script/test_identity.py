"""A run of a person's own script is named by all that decides it, and by nothing else."""

import importlib
import runpy
import sys
import types

import pytest

from trackstack.tracking.script.identity import own_id

SCRIPT = """
import helper
from package import inner
import trackstack

with trackstack.start_run("mine", {"lr": 0.1}) as run:
    run.log({"loss": helper.LOSS}, step=0)
"""
FILES = {
    "helper.py": "LOSS = 0.5\n",
    "package/__init__.py": "",
    "package/inner.py": "",
    "unused.py": "",
    "data.csv": "1\n",
    ".git/HEAD": "",
}


@pytest.fixture
def project(home, monkeypatch):
    for name, text in {"script.py": SCRIPT, **FILES}.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return home


def run_script(project):
    """The id of a run of the script, in a process that has imported none of its modules yet."""
    for name in ("helper", "package", "package.inner", "late"):
        sys.modules.pop(name, None)
    return runpy.run_path(str(project / "script.py"), run_name="__main__")["run"].id


@pytest.mark.parametrize("edited", ["helper.py", "package/inner.py", "script.py"])
def test_an_edit_of_the_script_or_a_module_that_it_imports_is_another_run(project, edited):
    before = run_script(project)
    assert run_script(project) == before
    with (project / edited).open("a") as file:
        file.write("MORE = 1\n")
    assert run_script(project) != before


@pytest.mark.parametrize("edited", ["unused.py", "data.csv"])
def test_an_edit_of_a_file_that_it_does_not_import_is_the_same_run(project, edited):
    before = run_script(project)
    (project / edited).write_text("MORE = 1\n")
    assert run_script(project) == before


def test_a_module_that_is_imported_later_is_said(project, capsys):
    (project / "late.py").write_text("")
    (project / "script.py").write_text(SCRIPT + "    import late\n")
    run_script(project)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: late.py: imported after start_run, ")


def test_a_second_run_of_a_process_is_named_as_if_it_were_the_first(project):
    second = "\nwith trackstack.start_run('mine', {'lr': 0.2}) as run:\n    pass\n"
    (project / "late.py").write_text("")
    both = SCRIPT + "    if late_first: import late\n" + second
    (project / "script.py").write_text("late_first = False\n" + both)
    without = run_script(project)
    (project / "script.py").write_text("late_first = True \n" + both)
    assert run_script(project) != without, "another script"
    digests = [own_id("mine", {"lr": 0.3}, None) for _ in range(2)]
    assert len(set(digests)) == 1


def test_data_is_part_of_the_id_and_where_it_lies_is_not():
    version = {"name": "iris", "version": "1", "path": "/here", "digests": {}}
    ids = [
        own_id("mine", {}, data) for data in (None, version, version | {"version": "2"}, version | {"path": "/there"})
    ]
    assert len(set(ids[:3])) == 3
    assert ids[3] == ids[1]


def test_in_a_notebook_the_different_cells_that_ran_are_the_code(monkeypatch, home):
    notebook = types.ModuleType("__main__")
    shell = types.SimpleNamespace(user_ns={"In": ["", "import trackstack", "lr = 0.1"]})
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    before = own_id("mine", {}, None)
    shell.user_ns["In"].append("lr = 0.1")
    assert own_id("mine", {}, None) == before, "a cell that ran again"
    shell.user_ns["In"].append("lr = 0.2")
    assert own_id("mine", {}, None) != before


def test_of_a_program_on_the_command_line_the_text_is_the_code(monkeypatch, home, capsys):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    ids = set()
    for program in ("lr = 0.1", "lr = 0.2"):
        monkeypatch.setattr(sys, "argv", ["-c", "3"])
        monkeypatch.setattr(sys, "orig_argv", ["python", "-u", "-c", program, "3"])
        ids.add(own_id("mine", {}, None))
    assert len(ids) == 2
    assert not capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["-"])
    own_id("mine", {}, None)
    assert "this program comes from no file" in capsys.readouterr().err


def test_in_a_notebook_an_edited_module_is_another_run_though_the_cells_are_the_same(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    shell = types.SimpleNamespace(user_ns={"In": ["train()"]})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    importlib.import_module("helper")
    before = own_id("mine", {}, None)
    (project / "helper.py").write_text("LOSS = 0.25\n")
    assert own_id("mine", {}, None) != before
