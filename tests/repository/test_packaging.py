"""The package as other people install it: what it needs, what is optional, and that it works with what it needs alone."""

import ast
import json
import re
import sys
import tomllib
import venv
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.projects import ROOT, command_environment, run_in

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Modules that are imported only by those who use what they are for, with the extra that brings their packages.
OPTIONAL = {
    "system/dask_": "dask",
    "tracking/sinks/mlflow_": "mlflow",
    "tracking/sinks/tensorboard_": "tensorboard",
    "tracking/sinks/wandb_": "wandb",
    "training/": "torch",
    "frameworks/pytorch": "torch",
    "frameworks/lightning": "lightning",
    "frameworks/sklearn": "sklearn",
    "frameworks/transformers": "transformers",
}
# The parts of DVC that are packages of their own, and of a graph that is one of TensorBoard.
PARTS = {"dvc-data": "dvc", "dvc-objects": "dvc", "werkzeug": "tensorboard"}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements):
    return {canonical(Requirement(line).name) for line in requirements}


HARD = names(PROJECT["dependencies"])
EXTRAS = {extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


def imports(file):
    """Third-party modules that a file imports, and whether it does so when it is itself imported."""

    def walk(node, at_import):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and not child.level:
                yield child.module, at_import
            yield from walk(child, at_import and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    for name, at_import in walk(ast.parse(file.read_text()), True):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "trackstack":
            yield top, at_import


def test_every_import_of_the_tool_is_a_requirement_or_belongs_to_an_extra():
    distributions = packages_distributions()
    wrong, used = [], set()
    for file in sorted((ROOT / "src/trackstack").rglob("*.py")):
        path = file.relative_to(ROOT / "src/trackstack").as_posix()
        extra = next((extra for start, extra in OPTIONAL.items() if path.startswith(start)), None)
        for module, at_import in imports(file):
            owners = {canonical(name) for name in distributions.get(module, [module])}
            owners |= {PARTS[name] for name in owners & PARTS.keys()}
            allowed = HARD | (EXTRAS[extra] if extra else set())
            if not at_import:
                allowed |= set().union(*EXTRAS.values()) - EXTRAS["dev"]
            used |= owners
            if not owners & allowed:
                wrong.append(f"{path}: {module}")
    assert not wrong
    assert HARD - used == {"ruamel-yaml-clib"}, "a requirement that the tool does not import; DVC uses this one"


def test_what_the_lock_installs_is_all_extras():
    assert EXTRAS["all"] == {"trackstack"}
    (everything,) = (Requirement(line).extras for line in PROJECT["optional-dependencies"]["all"])
    for_tests = set().union(*(Requirement(line).extras for line in PROJECT["optional-dependencies"]["dev"]))
    assert everything | for_tests | {"all", "dev", "torch"} == EXTRAS.keys(), "pipeline brings torch"
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert set().union(HARD, *EXTRAS.values()) - {"trackstack"} <= locked


@pytest.fixture(scope="module")
def lean_python(tmp_path_factory):
    """A Python that can import the hard requirements, what these require, and this checkout's `src`; nothing else."""
    folder = tmp_path_factory.mktemp("lean")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "src.pth").write_text(str(ROOT / "src"))
    metadata = packages / "trackstack-0.1.0.dist-info/METADATA"  # as pip writes it
    metadata.parent.mkdir()
    needs = [f"Requires-Dist: {line}" for line in PROJECT["dependencies"]]
    metadata.write_text("\n".join(["Metadata-Version: 2.4", "Name: trackstack", "Version: 0.1.0", *needs]) + "\n")
    waiting, done = set(HARD), set()
    while waiting:
        name = waiting.pop()
        done.add(name)
        for file in {Path(file).parts[0] for file in distribution(name).files or () if ".." not in str(file)}:
            if not (packages / file).exists():
                (packages / file).symlink_to(Path(distribution(name).locate_file(file)))
        needed = [Requirement(line) for line in requires(name) or ()]
        waiting |= {canonical(r.name) for r in needed if not r.marker or r.marker.evaluate({"extra": ""})} - done
    return folder / "bin/python"


USE = """
import importlib.util
for name in ("torch", "mlflow", "polars", "pandas", "matplotlib", "sklearn", "tensorboard", "wandb", "pyarrow"):
    assert importlib.util.find_spec(name) is None, name
import trackstack
with trackstack.start_run("lean", {"lr": 0.1}) as run:
    run.log({"loss": 1.0}, step=0)
from trackstack.cli import app
for command in (["--help"], ["runs", "list"], ["ui", "--local"], ["doctor", "--json"]):
    try:
        app(command)
    except SystemExit:
        pass
"""


def test_it_imports_and_runs_with_its_requirements_alone(lean_python, repository):
    environment = command_environment() | {"TRACKSTACK_SINKS": "sqlite,mlflow", "WANDB_MODE": "disabled"}
    done = run_in(repository, [str(lean_python), "-P", "-c", USE], env=environment)
    assert "Traceback" not in done.stderr
    assert "neither mlflow nor tensorboard is installed; type: pip install 'trackstack[mlflow]'" in done.stderr
    assert "Machine and pages" in done.stdout
    assert "lean  finished" in done.stdout
    findings = {finding["what"]: finding for finding in json.loads(done.stdout[done.stdout.index("\n[") :])}
    assert findings["packages"]["verdict"] == "ok"
    assert findings["packages"]["found"].endswith("as in trackstack's requirements")
    assert findings["back ends"]["todo"].startswith("pip install 'trackstack[mlflow]'")
