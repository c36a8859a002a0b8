"""What one of several processes gets of a batch."""

import pytest

from trackstack import UserError
from trackstack.training.distributed import Ranks, join
from trackstack.training.launch import launch

JOB = """
import os
import sys
from pathlib import Path

from trackstack.training.distributed import join


def threads():
    return " ".join(file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")) + "\\n"


with join(2):
    import torch.distributed.nn.functional
    within = threads()
Path(sys.argv[1], os.environ["RANK"]).write_text(within + threads())
"""


@pytest.mark.parametrize("world", range(1, 6))
def test_the_shares_of_a_batch_are_the_batch_in_its_order(world):
    for total in range(12):
        shares = [list(range(total))[Ranks(rank, world).share(total)] for rank in range(world)]
        assert [row for share in shares for row in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_windows_in_a_batch_is_one_line(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError) as caught, join(batch_size=1):
        pass
    assert str(caught.value) == "params.yaml: train.batch_size is 1; expected at least 2, the number of processes"


def test_no_thread_of_the_group_outlives_it(tmp_path, monkeypatch):
    """Whatever torch imports meanwhile: at the end of Python such a thread may abort a process that has done its work."""
    (tmp_path / "job.py").write_text(JOB)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_NPROC", "2")
    monkeypatch.setenv("TRACKSTACK_DEVICE", "cpu")
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    launch(["-m", "job", str(tmp_path)])
    for rank in "01":
        within, after = (tmp_path / rank).read_text().splitlines()
        assert "gloo" in within
        assert "gloo" not in after
