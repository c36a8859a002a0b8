"""A reproduction as a job: the same command, with the resources of the stages that recorded the run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from trackstack.cluster.pipeline import open_repo
from trackstack.cluster.submit import Options, resources, sbatch_options
from trackstack.system import slurm

LOG = "logs/%x_%j.out"


def submit_reproduction(stages: list[str], arguments: list[str], root: Path) -> str:
    """Submit `trackstack reproduce` with these arguments; returns the job's id.

    Args:
        stages: whose `meta.slurm` in dvc.yaml says what the job needs; a later one's options count.

    Raises:
        UserError: there is no Slurm here, or it refuses.
    """
    slurm.refuse_without_script(root / slurm.SITE)
    slurm.refuse_without_slurm("leave out --on-slurm")
    asked: Options = {}
    with open_repo(root) as repo:
        for stage in repo.index.graph:
            if stage.addressing in stages:
                asked |= resources(stage)
    (root / "logs").mkdir(exist_ok=True)
    steps = [
        f"cd {shlex.quote(str(root))}",
        f"source {slurm.SITE}",
        f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        shlex.join(["exec", "python", "-P", "-m", "trackstack.cli", "reproduce", *arguments]),
    ]
    script = shlex.join(["bash", "-c", f"set -eo pipefail; {' && '.join(steps)}"])
    command = slurm.sbatch_command(f"--wrap={script}", (), job_name="reproduce", output=LOG, **sbatch_options(asked))
    return slurm.submit(command, without=[slurm.GPU_REQUEST])
