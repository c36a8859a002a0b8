"""A stage runs its own workspace's code, all of it as it was at the start, or says why not."""

import shutil

from conftest import ROOT

EDITS_ITSELF = """
from pathlib import Path
from trackstack.stage import stage

with stage("train", "models") as params:
    {imports}
    with Path("{edited}").open("a") as file:
        file.write("# edited\\n")
"""


def run_stage(run, project, imports, edited, expect):
    (project / "stages/probe.py").write_text(EDITS_ITSELF.format(imports=imports, edited=edited))
    return run(project, "env PYTHONPATH=src python -P stages/probe.py", expect=expect).stderr


def test_an_edited_module_fails_the_stage_and_is_named(project, run):
    error = run_stage(run, project, "import trackstack.parquet", "src/trackstack/parquet.py", expect=1)
    assert error.startswith("src/trackstack/parquet.py: edited while the stage ran")
    assert len(error.splitlines()) == 1


def test_an_edit_of_a_module_that_the_stage_does_not_use_is_no_matter(project, run):
    run_stage(run, project, "import trackstack.outputs", "src/trackstack/parquet.py", expect=0)


def test_an_edit_of_the_script_fails_the_stage(project, run):
    assert run_stage(run, project, "pass", "stages/probe.py", expect=1).startswith("stages/probe.py: edited")


def test_an_edit_of_params_fails_the_stage(project, run):
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# note\n")
    run_stage(run, project, "pass", "params.yaml", expect=0)  # a comment changes no parameter
    change = "Path('params.yaml').write_text(Path('params.yaml').read_text().replace('epochs: 2', 'epochs: 3'))"
    error = run_stage(run, project, change, "params.yaml", expect=1)
    assert error.startswith("params.yaml: train: edited while the stage ran")


def test_an_edit_of_params_that_the_stage_does_not_use_is_no_matter(project, run):
    for old, new in (("calibration_bins: 10", "calibration_bins: 11"), ("hidden: 128", "hidden: 64")):
        change = f"Path('params.yaml').write_text(Path('params.yaml').read_text().replace({old!r}, {new!r}))"
        run_stage(run, project, change, "params.yaml", expect=0)


def test_an_edit_of_the_catalogs_entry_while_ingest_runs_fails_it(project, run):
    script = project / "stages/ingest.py"
    edit = "\n        Path('data/catalog.yaml').write_text(Path('data/catalog.yaml').read_text().replace('Four people', 'Some'))"
    call = "ingest(params.dataset, dataset, raw, manifest)"
    script.write_text(script.read_text().replace(call, call + edit))
    error = run(project, "env PYTHONPATH=src python -P stages/ingest.py data/raw/tiny out.json", expect=1).stderr
    assert error.startswith("data/catalog.yaml: datasets.tiny: edited while the stage ran")


def test_the_instruction_set_is_pinned_before_torch_is_imported(project, run):
    probe = "import os, sys; assert 'torch' not in sys.modules; print({k: os.environ[k] for k in sorted(os.environ) if k.startswith(('ATEN_', 'ONEDNN_', 'MKL_CBWR'))})"
    (project / "stages/probe.py").write_text(EDITS_ITSELF.format(imports=probe, edited="notes.txt"))
    output = run(project, "env PYTHONPATH=src python -P stages/probe.py").stdout
    assert output.strip() == "{'ATEN_CPU_CAPABILITY': 'avx2', 'MKL_CBWR': 'COMPATIBLE', 'ONEDNN_MAX_CPU_ISA': 'AVX2'}"


def test_a_file_that_cannot_be_written_is_one_line(project, run):
    (project / "data/ingested/manifest.json").unlink()
    (project / "data/ingested").rmdir()
    (project / "data/ingested").write_text("in the way")
    command = "env PYTHONPATH=src python -P stages/ingest.py data/raw/tiny data/ingested/manifest.json"
    error = run(project, command, expect=1).stderr
    assert error.splitlines() == ["data/ingested: File exists"]


def test_code_of_another_checkout_is_refused(project, run):
    error = run(
        project, ["env", f"PYTHONPATH={ROOT / 'src'}", "python", "-P", "stages/ingest.py", "a", "b"], expect=1
    ).stderr
    assert "trackstack was imported from another checkout than" in error
    assert len(error.splitlines()) == 1


def test_an_edit_during_a_real_stage_fails_dvc_repro(project, run):
    """The module is edited by the model file that the stage imports last."""
    shutil.copy(project / "src/trackstack/models/mlp.py", project / "src/trackstack/models/late.py")
    with (project / "src/trackstack/models/late.py").open("a") as file:
        file.write("from pathlib import Path\nPath('src/trackstack/windows.py').open('a').write('# x\\n')\n")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("model: cnn", "model: late").replace("  mlp:", "  late:"))
    done = run(project, "dvc repro train", expect=255)
    assert "src/trackstack/windows.py: edited while the stage ran" in done.stderr
    assert "failed to reproduce 'train'" in done.stderr
