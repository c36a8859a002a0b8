"""How the house is built: two packages, folders whose imports run downward, small files, short dvc.yaml."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from support.projects import ROOT

SRC = ROOT / "src"
# From below to above: a folder imports those before it, and none after it. A folder that you add needs no line here, as
# long as no two folders import each other.
FLOORS = {
    "trackstack": [
        *("system", "core", "training", "tracking", "frameworks", "records", "page", "cluster", "sharing", "storage"),
        *("reproduction", "archive"),
        "cli",
    ],
    "pipeline": [
        *("contract", "ingest", "parquet", "windows", "tensor_cache", "modeling", "models", "losses", "metrics"),
        *("train", "evaluate", "import_data", "predict", "check", "cli"),
    ],
}
MOST_DEPS, MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 9, 16, 300, 60
FILES = sorted(SRC.rglob("*.py"))


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imported_names(file: Path) -> Iterator[str]:
    """Dotted names, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports with their whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folders_below(package: str) -> dict[str, set[str]]:
    """For each folder of a package, and each module beside them, those that it imports."""
    imports: dict[str, set[str]] = {}
    for file in sorted((SRC / package).rglob("*.py")):
        folder = file.relative_to(SRC / package).parts[0].removesuffix(".py")
        names = [name.split(".") for name in imported_names(file)]
        others = {parts[1] for parts in names if parts[0] == package and len(parts) > 1}
        is_here = {
            other for other in others if (SRC / package / other).is_dir() or (SRC / package / f"{other}.py").is_file()
        }
        if folder != "__init__":
            imports.setdefault(folder, set()).update(is_here - {folder})
    return imports


def test_the_tool_imports_nothing_of_the_pipeline():
    for file in sorted((SRC / "trackstack").rglob("*.py")):
        assert not [name for name in imported_names(file) if name.split(".")[0] == "pipeline"], name_of(file)


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_downward_between_folders(package):
    imports, floors = folders_below(package), FLOORS[package]
    for folder, others in imports.items():
        above = floors[floors.index(folder) :] if folder in floors else []
        assert not others & set(above), f"{package}/{folder} imports from above: {sorted(others & set(above))}"
    TopologicalSorter(imports).prepare()  # CycleError when two folders import each other


def test_the_tool_has_no_folder_without_a_floor():
    assert set(folders_below("trackstack")) == set(FLOORS["trackstack"])


def test_importing_the_tool_and_its_record_imports_no_heavy_package():
    heavy = {"torch", "mlflow", "polars", "wandb", "tensorboard", "dvc", "pandas", "matplotlib"}
    code = "import sys, trackstack, trackstack.tracking, trackstack.tracking.run; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


def test_every_package_says_what_lives_there():
    for folder in {file.parent for file in FILES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), name_of(folder)


@pytest.mark.parametrize("folder", ["models", "losses", "metrics"])
def test_the_package_of_a_choice_holds_its_docstring_alone(folder):
    """So that the file that is chosen is all that a run depends on."""
    body = ast.parse((SRC / "pipeline" / folder / "__init__.py").read_text()).body
    assert [type(node) for node in body] == [ast.Expr]


def test_folders_files_and_functions_are_small():
    for folder in {file.parent for file in FILES}:
        assert len(list(folder.glob("*.py"))) <= MOST_MODULES, name_of(folder)
    for file in FILES:
        text = file.read_text()
        assert len(text.splitlines()) <= MOST_LINES, name_of(file)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= MOST_LINES_OF_A_FUNCTION, f"{name_of(file)}: {node.name} has {length} lines"


def test_code_deps_of_a_stage_are_few_and_folders():
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        code = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
        assert len(code) <= MOST_DEPS, f"{name}: {len(code)} code deps"
        for dep in code:
            assert dep == f"stages/{name}.py" or "${" in dep or (ROOT / dep).is_dir(), f"{name}: {dep} is no folder"


def test_a_test_lies_where_its_module_lies():
    """`tests/tool/core/test_guard.py` is for `trackstack/core/guard.py`; other names are for the whole folder."""
    for file in (*(ROOT / "tests/tool").rglob("test_*.py"), *(ROOT / "tests/pipeline").rglob("test_*.py")):
        side, *folders = file.parent.relative_to(ROOT / "tests").parts
        package = SRC / {"tool": "trackstack"}.get(side, side)
        home = package.joinpath(*folders)
        assert (home / "__init__.py").is_file(), f"{name_of(file)}: there is no {name_of(home)}"
        subject = file.stem.removeprefix("test_")
        here = {path.stem for path in home.iterdir()} | {home.name}
        elsewhere = {path.stem for path in package.rglob("*") if path.is_dir() or path.suffix == ".py"}
        assert subject in here or subject not in elsewhere, f"{name_of(file)}: {subject} lies in another folder"


def test_tests_import_no_tests():
    """What several of them need is in `tests/support`."""
    for file in (ROOT / "tests").rglob("*.py"):
        modules = [part for name in imported_names(file) for part in name.split(".")]
        assert not [name for name in modules if name.startswith("test_") or name == "conftest"], name_of(file)


@pytest.mark.xdist_group("grouped")
def test_tests_of_a_group_run_in_one_process(request):
    """Else what they share would be built once in each, and servers would meet."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("all run in one process")
    assert request.node.nodeid.endswith("@grouped")
