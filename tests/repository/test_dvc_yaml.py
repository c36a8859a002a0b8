"""dvc.yaml and the code agree: deps are what the stages import, params what they ask for, paths nobody else's."""

import ast
import json
import re
import shutil

import pytest
import yaml
from support.projects import ROOT, edit_yaml, run_in

from pipeline.contract.settings import Settings
from pipeline.modeling.base import LOSSES, METRICS, MODELS
from trackstack.core.code_deps import changes_no_output, imported_sources
from trackstack.core.dvc_yaml import stage_definition

DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = DVC_YAML["stages"]

# Runs a stage script, and writes down the project's modules that it imported and the parameters that it asked for.
WITNESS = """
import json, runpy, sys
from pathlib import Path
from trackstack.core.params import Parameters

asked, get = set(), Parameters.get
def witnessed_get(self, name):
    if self.path.name == "params.yaml":
        asked.add(name)
    return get(self, name)
Parameters.get = witnessed_get

script = sys.argv[1]
sys.argv = sys.argv[1:]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
here = Path.cwd().resolve()
files = [Path(module.__file__).resolve() for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
imported = sorted(str(file.relative_to(here)) for file in files if file.is_relative_to(here / "src"))
report = {"imported": [script, *imported], "asked": sorted(asked)}
Path("seen", Path(script).name).with_suffix(".json").write_text(json.dumps(report))
"""


@pytest.fixture(scope="module")
def witnessed(tiny_project, tmp_path_factory):
    """The tiny project, and what each stage imported and asked for in a real run of its own command."""
    folder = tmp_path_factory.mktemp("witnessed") / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    (folder / "witness.py").write_text(WITNESS)
    (folder / "seen").mkdir()
    definition = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(definition.replace("python -P stages/", "python -P witness.py stages/"))
    run_in(folder, "dvc repro")
    return folder, {name: json.loads((folder / f"seen/{name}.json").read_text()) for name in STAGES}


def test_stages_that_run_again_in_another_folder_write_the_same_bytes(witnessed, tiny_project):
    """All have run: DVC knows none of these commands from before."""
    again, before = (
        yaml.safe_load((folder / "dvc.lock").read_text())["stages"] for folder in (witnessed[0], tiny_project)
    )
    outputs = {name: stage["outs"] for name, stage in before.items() if "outs" in stage}
    assert len(outputs) == len(STAGES) - 1, "check has none"
    assert {name: again[name]["outs"] for name in outputs} == outputs


def needs_no_dep(file):
    """What cannot change an output: the trackers, and packages that hold a docstring alone."""
    is_docstring = file.name == "__init__.py" and len(ast.parse((ROOT / file).read_text()).body) == 1
    return is_docstring or changes_no_output(file)


def covered(file, deps):
    return any(file.is_relative_to(dep) for dep in deps)


def code_deps(definition):
    return [dep for dep in definition.deps if dep.startswith(("src/", "stages/"))]


def relative(files):
    return [file.relative_to(ROOT) for file in files]


def test_deps_are_what_the_stages_import_when_they_run(witnessed):
    """Imports by name are seen, too; a dep of which nothing is imported would make its stage stale for nothing."""
    project, seen = witnessed
    for name in STAGES:
        deps = code_deps(stage_definition(project, name))
        imported = [ROOT.joinpath(file).relative_to(ROOT) for file in seen[name]["imported"]]
        used = [file for file in imported if not needs_no_dep(file)]
        assert not [file for file in used if not covered(file, deps)], name
        for dep in deps:
            assert [file for file in used if file.is_relative_to(dep)], f"{name}: nothing of {dep} is imported"


def test_params_are_those_that_the_stages_ask_for(witnessed):
    project, seen = witnessed
    for name in STAGES:
        declared = stage_definition(project, name).params.get("params.yaml", [])
        asked = seen[name]["asked"]
        unfollowed = [
            parameter for parameter in asked if not any(f"{parameter}.".startswith(f"{entry}.") for entry in declared)
        ]
        assert not unfollowed, f"{name} reads {unfollowed}, which dvc.yaml does not follow"
        unread = [
            entry for entry in declared if not any(f"{parameter}.".startswith(f"{entry}.") for parameter in asked)
        ]
        assert not unread, f"{name} follows {unread}, which it never reads"


def test_every_output_is_pushed():
    """DVC looks for an output with `push: false` all the same, and a plain `dvc pull` in a clone fails on it."""
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        for out in stage.get("outs", []):
            assert isinstance(out, str) or "push" not in next(iter(out.values())), f"{name}: {out}"


@pytest.mark.parametrize("registry", [MODELS, LOSSES, METRICS], ids=lambda registry: registry.section)
def test_deps_cover_the_imports_of_every_file_that_can_be_chosen(registry, tmp_path):
    """Seen in the text, so that imports count that a run on tiny data does not come to."""
    folder, _, parameter = registry.section, *registry.choice.split(".")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for choice in registry.names():
        shutil.copy(ROOT / "params.yaml", tmp_path)
        edit_yaml(tmp_path / "params.yaml", {"train": {parameter: choice}})
        for name in STAGES:
            definition = stage_definition(tmp_path, name)
            scripts = [ROOT / f"stages/{name}.py", ROOT / f"src/pipeline/{folder}/{choice}.py"]
            scripts = [script for script in scripts if covered(script.relative_to(ROOT), definition.deps)]
            imported = relative(imported_sources(scripts, ROOT / "src"))
            missing = [file for file in imported if not needs_no_dep(file) and not covered(file, definition.deps)]
            assert not missing, f"{name} with {registry.choice}={choice}"


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_in_four_places(stage):
    script = ROOT / f"stages/{stage}.py"
    assert f"{STAGES[stage]['cmd']} ".startswith(f"env PYTHONPATH=src python -P stages/{stage}.py ")
    assert len(script.read_text().splitlines()) <= 30, "thin: its work is in src/pipeline"
    assert (ROOT / f"src/pipeline/{stage}/stage.py").is_file()
    text = (ROOT / "params.yaml").read_text()
    has_section, follows_params = stage in yaml.safe_load(text), "params" in STAGES[stage]
    is_explained = re.search(rf"^# .*\b{stage}\b", text, re.MULTILINE)
    assert has_section or is_explained or not follows_params, "a section, or a word on why there is none"
    assert has_section == (ROOT / f"src/pipeline/{stage}/params.py").is_file()
    assert STAGES[stage]["desc"]


def test_only_the_chosen_entry_of_the_catalog_is_followed_and_of_its_settings_the_stages_own():
    followed = {
        name: [entry["data/catalog.yaml"] for entry in stage.get("params", []) if "data/catalog.yaml" in entry]
        for name, stage in STAGES.items()
    }
    expected = {name: [[f"datasets.${{dataset}}.settings.{name}"]] for name in Settings.model_fields}
    expected["ingest"] = [["datasets.${dataset}"]]
    assert {name: keys for name, keys in followed.items() if keys} == expected


def test_no_source_file_names_a_data_path_but_the_catalog():
    files = {*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")}
    for file in files - {ROOT / "src/pipeline/contract/catalog.py"}:
        tree = ast.parse(file.read_text())
        documentation = ast.get_docstring(tree, clean=False)
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for text in texts:
            is_path = re.match(r"(data/(raw|ingested|processed|cache)|results)\b", text) and " " not in text
            assert text == documentation or not is_path, f"{file.relative_to(ROOT)}: {text}"


def test_the_metrics_plots_and_artifacts_lie_in_outputs():
    outputs = [out for name in STAGES for out in stage_definition(ROOT, name).outs]
    named = [*DVC_YAML["metrics"], *(artifact["path"] for artifact in DVC_YAML["artifacts"].values())]
    named += [file for plot in DVC_YAML["plots"] for definition in plot.values() for file in definition["y"]]
    assert all(any(path == out or path.startswith(f"{out}/") for out in outputs) for path in named)
