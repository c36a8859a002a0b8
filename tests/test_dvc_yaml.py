"""dvc.yaml keeps its word: deps are what the stages import, params what they read, paths nobody else's."""

import ast
import json
import re

import pytest
import yaml
from conftest import ROOT

from trackstack.params import Params, load_params
from trackstack.sources import imported_sources

STAGES = ("check", "ingest", "parquet", "tensor_cache", "train", "evaluate")
DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text())

# Runs a stage script and writes down every project module that was imported by its end.
WITNESS = """
import json, runpy, sys
from pathlib import Path
script, report, *arguments = sys.argv[1:]
sys.argv = [script, *arguments]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
here = Path.cwd().resolve()
files = [Path(module.__file__).resolve() for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
used = sorted(str(file.relative_to(here)) for file in files if file.is_relative_to(here / "src"))
Path(report).write_text(json.dumps([script, *used]))
"""


CHOSEN = {"model": "cnn", "loss": "cross_entropy", "metric": "f_beta"}


def source_deps(stage, **other):
    found = set()
    for dep in DVC_YAML["stages"][stage]["deps"]:
        for choice, name in (CHOSEN | other).items():
            dep = dep.replace(f"${{train.{choice}}}", name)
        found.add(dep)
    return {dep for dep in found if dep.endswith(".py")}


def static_imports(stage, **other):
    """The stage's own imports, as read from the text, and what it imports by name."""
    scripts = [ROOT / "stages" / f"{stage}.py"]
    choices = {"train": ("model", "loss", "metric"), "evaluate": ("model",)}.get(stage, ())
    folders = {"model": "models", "loss": "losses", "metric": "metrics"}
    for choice in choices:
        scripts.append(ROOT / "src/trackstack" / folders[choice] / f"{(CHOSEN | other)[choice]}.py")
    return {str(file.relative_to(ROOT)) for file in imported_sources(scripts, ROOT / "src")}


def undeclared(stage, imported, declared):
    """Modules that a stage imports and dvc.yaml does not list; trackers cannot change an output."""
    trackers = set((ROOT / "src/trackstack/tracking").rglob("*.py"))
    by_trackers = {str(file.relative_to(ROOT)) for file in imported_sources(list(trackers), ROOT / "src")}
    return set(imported) - set(declared) - (by_trackers - static_imports(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_what_the_stage_imports_when_it_runs(stage, project, run):
    """Seen in a real run of the stage's own command, so that imports by name are seen too."""
    (project / "witness.py").write_text(WITNESS)
    command = DVC_YAML["stages"][stage]["cmd"].replace("${dataset}", "tiny")
    script = f"stages/{stage}.py"
    run(project, "find . -name '*.parquet' -o -name '*.safetensors' -o -name '*.json' | xargs chmod u+w")
    run(project, command.replace(script, f"witness.py {script} seen.json"))
    imported = json.loads((project / "seen.json").read_text())
    assert undeclared(stage, imported, source_deps(stage)) == set()
    assert source_deps(stage) - set(imported) == set(), "deps that are not imported make the stage stale for nothing"
    for dep in source_deps(stage):
        assert undeclared(stage, imported, source_deps(stage) - {dep}) == {dep}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("other", [{}, {"model": "mlp"}, {"loss": "focal"}, {"metric": "top_k"}])
def test_deps_are_what_the_imports_say(stage, other):
    assert static_imports(stage, **other) == source_deps(stage, **other)


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_in_four_places(stage):
    assert f"stages/{stage}.py" in DVC_YAML["stages"][stage]["cmd"]
    assert len((ROOT / "stages" / f"{stage}.py").read_text().splitlines()) <= 25
    module = ROOT / "src/trackstack" / stage
    assert module.with_suffix(".py").exists() or (module / "__init__.py").exists()
    text = (ROOT / "params.yaml").read_text()
    assert stage in Params.model_fields or f"# {stage} " in text, "a section, or a word on why there is none"


def test_every_stage_says_what_it_is_for():
    assert tuple(DVC_YAML["stages"]) == STAGES
    assert all(stage["desc"] for stage in DVC_YAML["stages"].values())


def test_every_stage_runs_its_own_workspaces_code():
    for name, stage in DVC_YAML["stages"].items():
        assert f"{stage['cmd']} ".startswith(f"env PYTHONPATH=src python -P stages/{name}.py ")


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_stage_reads(stage):
    declared = {entry for entry in DVC_YAML["stages"][stage]["params"] if isinstance(entry, str)}
    text = (ROOT / "stages" / f"{stage}.py").read_text()
    body = text.split("as params:")[1]
    used = set(re.findall(r"\bparams\.(\w+)", body))
    sections = {entry.split(".")[0] for entry in declared}
    if stage != "check":  # which hands all of them on
        assert used == sections | ({"dataset"} & used)
    guarded = re.search(r"with stage\((.*)\)", text)[1].replace('"', "").split(", ")
    assert set(guarded) == sections


def test_only_the_chosen_entry_of_the_catalog_is_followed():
    ingest = DVC_YAML["stages"]["ingest"]["params"]
    assert {"data/catalog.yaml": ["datasets.${dataset}"]} in ingest


def test_no_source_file_names_a_data_path_but_the_catalog():
    files = {*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")}
    for file in files - {ROOT / "src/trackstack/catalog.py"}:
        tree = ast.parse(file.read_text())
        documentation = {
            ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, ast.Module)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documentation:
                assert (
                    not re.match(r"(data/(raw|ingested|processed|cache)|results)\b", node.value) or " " in node.value
                ), f"{file.name}: {node.value}"


def test_the_metrics_plots_and_artifacts_lie_in_outputs():
    outputs = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in DVC_YAML["stages"].values()
        for out in stage.get("outs", [])
    }
    named = [*DVC_YAML["metrics"], *(artifact["path"] for artifact in DVC_YAML["artifacts"].values())]
    named += [file for plot in DVC_YAML["plots"] for definition in plot.values() for file in definition["y"]]
    assert all(any(path == out or path.startswith(f"{out}/") for out in outputs) for path in named)


def test_the_lock_was_made_with_the_params_in_the_tree():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())
    params = load_params(ROOT / "params.yaml").model_dump()
    for section in ("parquet", "tensor_cache", "train", "evaluate"):
        assert lock["stages"][section]["params"]["params.yaml"][section] == params[section]
