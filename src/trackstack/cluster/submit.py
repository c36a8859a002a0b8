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

from trackstack import UserError
from trackstack.cluster.pipeline import open_repo, with_followers
from trackstack.system import slurm

SCRIPT = Path("slurm/repro.sh")
OPTION = re.compile(r"[a-z][a-z-]*")
Options = dict[str, str | int | bool]


class Job(NamedTuple):
    """A stage and the options of its job."""

    stage: str
    options: Options


def stale_jobs(targets: list[str] | None = None) -> list[Job]:
    """The jobs that bring the pipeline, or the targets and what they need, up to date: in order.

    Raises:
        UserError: no pipeline here, an unknown target, or resources that are no options of sbatch.
    """
    with open_repo(Path.cwd()) as repo:
        graph = repo.index.graph
        wanted = {stage for target in targets or () for stage in repo.stage.collect(target, with_deps=True)}
        changed = set(repo.status())
        stale = with_followers(graph, [stage for stage in graph if stage.addressing in changed])
        chosen = [stage for stage in stale if stage.cmd and (not targets or stage in wanted)]
        return [Job(stage.addressing, sbatch_options(resources(stage))) for stage in chosen]


def chain(jobs: list[Job], dry_run: bool = False) -> Iterator[str]:
    """Submit the jobs, each behind the one before; yield a line for each, with `dry_run` the exact command.

    A job that fails ends what depends on it: nothing stays in the queue for ever.
    """
    slurm.refuse_without_script(SCRIPT)
    if jobs and not dry_run:
        slurm.refuse_without_slurm("use dvc repro, or --dry-run to see what would be submitted")
        Path("logs").mkdir(exist_ok=True)
    before = ""
    for number, job in enumerate(jobs, 1):
        arguments = ["--single-item", job.stage]
        command = slurm.sbatch_command(str(SCRIPT), arguments, job_name=re.sub(r"\W+", "-", job.stage), **job.options)
        after = f"afterok:{before}" if before else ""
        if dry_run:
            yield slurm.show_submission(f"job{number}", command, after, without=[slurm.GPU_REQUEST])
            before = f"$job{number}"
        else:
            before = slurm.submit(command, after, without=[slurm.GPU_REQUEST])
            yield f"{job.stage}: job {before}"


def resources(stage: Any) -> Options:
    """What `meta.slurm` of a stage of DVC's asks for; UserError when those are no options of sbatch."""
    meta = stage.meta if isinstance(stage.meta, dict) else {}
    options = meta.get("slurm") or {}
    place = f"{stage.addressing if ':' in stage.addressing else f'dvc.yaml: {stage.addressing}'}: meta.slurm"
    if not isinstance(options, dict):
        raise UserError(f"{place}: expected options of sbatch, such as cpus-per-task: 4")
    for name, value in options.items():
        if not OPTION.fullmatch(str(name)) or not isinstance(value, str | int):
            raise UserError(f"{place}.{name}: expected an option of sbatch and a plain value")
    return dict(options)


def sbatch_options(options: Options) -> Options:
    """Resources with the site's own request in the place of `gpu`."""
    request = os.environ.get(slurm.GPU_REQUEST) if options.get("gpu") else None
    gpu = {"gpus-per-node": request} if request else {}
    return gpu | {name: value for name, value in options.items() if name != "gpu"}
