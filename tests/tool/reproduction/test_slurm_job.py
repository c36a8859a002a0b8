"""A reproduction as a job of a real Slurm, with the resources of the stages that recorded the run."""

import json
import shutil

from support.foreign import foreign_environment
from support.projects import run_in


def test_the_verdict_is_in_the_job_s_log_and_in_the_record(cluster, linear, tmp_path):
    linear = shutil.copytree(linear, tmp_path / "somebody's", symlinks=True)
    run = next(path.name for path in (linear / "runs").glob("r*"))
    variables = foreign_environment()
    said = cluster.run(linear, ["trackstack", "reproduce", run, "--on-slurm"], PYTHONPATH=variables["PYTHONPATH"])
    job = said.stdout.split("job ")[1].split(";")[0]
    found = cluster.wait(job)
    assert (found["JobName"], found["CPUs/Task"]) == ("reproduce", "2")
    assert f"{run}: identical" in (linear / f"logs/reproduce_{job}.out").read_text()
    shown = json.loads(run_in(linear, ["trackstack", "runs", "show", run, "--json"], env=variables).stdout)
    assert [verdict["verdict"] for verdict in shown["verdicts"]] == ["identical"]
