"""The stale stages and what follows from them as a chain of jobs, each with the resources of its stage.

`meta: {slurm: {...}}` of a stage in dvc.yaml, which DVC ignores, holds options of `sbatch` by their long names.
`gpu: true` stands for the request that slurm/site.env makes in SBATCH_GPUS_PER_NODE, on clusters that have GPUs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError, slurm
from trackstack.params import load_yaml

SCRIPT = Path("slurm/repro.sh")
GPU_REQUEST = "SBATCH_GPUS_PER_NODE"
OPTION = re.compile(r"[a-z][a-z-]*")


class Job(NamedTuple):
    """A stage and the options of its job."""

    stage: str
    options: dict[str, str | int | bool]


def stale_jobs(targets: list[str] | None = None) -> list[Job]:
    """The jobs that bring the pipeline, or the targets and what they need, up to date: in order.

    Raises:
        UserError: no pipeline here, an unknown target, or resources that are no options of sbatch.
    """
    from dvc.exceptions import DvcException  # a second to import
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            import networkx

            graph = repo.index.graph  # an edge leads from a stage to one that it needs
            names = {stage: stage.addressing for stage in graph}
            wanted = {found for target in targets or () for found in repo.stage.collect(target, with_deps=True)}
            changed = set(repo.status())
            stale = {stage for stage in graph if names[stage] in changed}
            stale |= {follower for stage in stale for follower in networkx.ancestors(graph, stage)}
            order = reversed(list(networkx.topological_sort(graph)))
            chosen = [stage for stage in order if stage in stale and stage.cmd and (not targets or stage in wanted)]
            return [Job(names[stage], stage_options(names[stage])) for stage in chosen]
    except DvcException as error:
        raise UserError(f"dvc: {' '.join(str(error).split())}") from None


def chain(jobs: list[Job], dry_run: bool = False) -> Iterator[str]:
    """Submit the jobs, each behind the one before; yield a line for each, with `dry_run` the exact command.

    A job that fails ends what depends on it: nothing stays in the queue for ever.
    """
    slurm.refuse_without_script(SCRIPT)
    if not dry_run:
        slurm.refuse_without_slurm("use dvc repro, or --dry-run to see what would be submitted")
    Path("logs").mkdir(exist_ok=True)
    before = ""
    for number, job in enumerate(jobs, 1):
        arguments = ["--single-item", job.stage]
        command = slurm.sbatch_command(str(SCRIPT), arguments, job_name=re.sub(r"\W+", "-", job.stage), **job.options)
        after = f"afterok:{before}" if before else ""
        if dry_run:
            yield slurm.show_submission(f"job{number}", command, after, without=[GPU_REQUEST])
            before = f"$job{number}"
        else:
            before = slurm.submit(command, after, without=[GPU_REQUEST])
            yield f"{job.stage}: job {before}"


def stage_options(stage: str) -> dict[str, str | int | bool]:
    """The options of a stage's job, from `meta` in dvc.yaml."""
    return _options(stage, load_yaml(Path("dvc.yaml"))["stages"][stage].get("meta"))


def _options(stage: str, meta: Any) -> dict[str, str | int | bool]:
    wanted = (meta or {}).get("slurm") or {} if isinstance(meta or {}, dict) else {}
    if not isinstance(wanted, dict):
        raise UserError(f"dvc.yaml: {stage}: meta.slurm: expected options of sbatch, such as cpus-per-task: 4")
    options: dict[str, str | int | bool] = {}
    for name, value in wanted.items():
        if name == "gpu":
            options |= {"gpus-per-node": os.environ[GPU_REQUEST]} if value and os.environ.get(GPU_REQUEST) else {}
        elif not OPTION.fullmatch(str(name)) or not isinstance(value, str | int):
            raise UserError(f"dvc.yaml: {stage}: meta.slurm.{name}: expected an option of sbatch and a plain value")
        else:
            options[name] = value
    return options
