"""The child of a run imports what its parent could."""

from support.recording import SCRIPT, record, wait_until_nobody_delivers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

WITH_MODEL = (
    SCRIPT
    + """
    from pathlib import Path
    run.log_artifact(Path("script.py"), kind="model", loader="mypkg.model:load")
"""
)
LOADER = """
import numpy as np
import torch
from evaluate import LIBRARY


def load(path):
    return torch.nn.Linear(3, 2), np.zeros((1, 3), np.float32)
"""


def test_the_loader_of_a_model_comes_from_the_repository_of_the_script(tmp_path):
    """And a module beside the script hides no package of the same name."""
    (tmp_path / "lib/mypkg").mkdir(parents=True)
    (tmp_path / "lib/mypkg/model.py").write_text(LOADER)
    (tmp_path / "lib/evaluate.py").write_text("LIBRARY = True\n")
    (tmp_path / "evaluate.py").write_text("raise SystemExit('this is a script')\n")
    script = f"import sys\nsys.path.append({str(tmp_path / 'lib')!r})\n{WITH_MODEL}"
    assert record(tmp_path, "tensorboard", "mine", "1", script=script) == ""
    wait_until_nobody_delivers(tmp_path)
    (folder,) = tmp_path.glob("runs/*/tensorboard")
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "graph": 0}).Reload()
    assert "model_graph/text_summary" not in events.Tags()["tensors"]
    assert events.Graph().node
