"""examples/explore.ipynb runs from top to bottom in a home with runs, and is kept without what it printed."""

import pytest
from support.choosing import write_sweep
from support.projects import ROOT

NOTEBOOK = ROOT / "examples/explore.ipynb"


def test_the_notebook_shows_runs_settings_curves_and_sql(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    write_sweep(tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    for name, value in {
        "TRACKSTACK_HOME": tmp_path,
        "PYTHONPATH": ROOT / "src",
        "IPYTHONDIR": tmp_path / "i",
    }.items():
        monkeypatch.setenv(name, str(value))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    tables = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 4
    assert all("cnn-quick-fox" in tables[place] for place in (0, 3))
    assert "train.lr" in tables[1]
    assert "mean" in tables[2]
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
