"""slurm/repro.sh and its supervisor on a real cluster, pinned to a commit; docs/osc.md is typed in a plain checkout."""

import json
import re
import sys
import time
from pathlib import Path

import pytest
from support.foreign import change
from support.projects import ROOT, command_environment, run_in

CHECK = """
from pathlib import Path

def check():
    yield f"checked {Path('train.py').stat().st_size} bytes"
"""


def test_a_pinned_job_runs_the_commit_of_its_submission_also_after_a_requeue(cluster, linear, tmp_path):
    """In somebody else's repository, whose own check comes first, in a folder of an odd name."""
    project = linear.rename(tmp_path / 'a clone; it\'s "quoted"')
    (project / ".venv-lab").symlink_to(Path(sys.executable).parent.parent)
    (project / "pyproject.toml").write_text('[tool.trackstack]\ncheck = "own_check:check"\n')
    (project / "own_check.py").write_text(CHECK)
    change(project, train={"epochs": 40, "pause": 0.1})
    run_in(project, "git add -A . ':!.venv-lab' && git commit -qm 'To be run'")
    code = {"PYTHONPATH": str(ROOT / "src")}  # in the place of an installation
    job = cluster.run(project, "sbatch --parsable --hold slurm/repro.sh --pinned", **code).stdout.strip()
    commit = run_in(project, "git rev-parse HEAD").stdout.strip()
    size = (project / "train.py").stat().st_size
    (project / "train.py").write_text('raise SystemExit("edited after submission")\n')
    # Git's log and Slurm's times know whole seconds.
    later = command_environment() | {"GIT_COMMITTER_DATE": f"@{int(time.time()) + 2} +0000"}
    run_in(project, "git commit -qam 'To be run another time'", env=later)
    cluster.run(project, ["scontrol", "release", job])
    clone = project / f"runs/.jobs/{job}/clone"
    cluster.until(lambda: list(project.glob("runs/r*/checkpoints/*")), "the training")
    assert run_in(clone, "git rev-parse HEAD").stdout.strip() == commit
    cluster.run(project, ["scontrol", "requeue", job])
    cluster.until(lambda: cluster.job(job)["Restarts"] == "1", "the requeue")
    log = Path(cluster.wait(job)["StdOut"]).read_text()
    assert log.count(f"environment: {project / '.venv-lab'} ") == 2
    assert log.count(f"commit: {commit}\n") == 2
    assert log.count(f"checked {size} bytes\n") == 2
    assert len(re.findall(r"going on from epoch [1-9]", log)) == 1
    (name,) = re.findall(r"^experiment (\S+): dvc exp show", log, re.MULTILINE)
    ref = f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"
    assert "edited" not in run_in(project, ["git", "show", f"{ref}:train.py"]).stdout
    assert json.loads(run_in(project, ["git", "show", f"{ref}:metrics.json"]).stdout)["accuracy"] > 0.8
    assert re.search(r"^run: r[0-9a-f]{12}$", log, re.MULTILINE), log
    assert re.search(r"^stages: (prepare \d+ s, )?train \d+ s, evaluate \d+ s$", log, re.MULTILINE), log
    assert not clone.parent.exists()

    shown = json.loads(cluster.run(project, "trackstack runs show --json", **code).stdout)
    (spent,) = (one for one in shown["spent"] if one["stage"] == "train")
    fields = cluster.job(job)
    held = spent["jobs"][job]
    assert (held["cpus"], held["nodes"], held["gpus"]) == (int(fields["NumCPUs"]), 1, 0)
    limit = sum(int(part) * 60**place for place, part in enumerate(reversed(fields["TimeLimit"].split(":"))))
    assert held["limit_seconds"] == limit
    assert held["queued_seconds"] >= 0
    assert spent["attempts"] == 2, "before the requeue and after it"
    (row, *_) = json.loads(cluster.run(project, "trackstack runs cost --by stage --json", **code).stdout)
    assert row["cpu_efficiency"] == pytest.approx(spent["cpu_seconds"] / spent["seconds"] / held["cpus"], abs=0.01)


def test_this_repositorys_job_scripts_are_those_that_init_writes():
    for script in ("repro.sh", "sweep.sh"):
        template = ROOT / "src/trackstack/templates/slurm" / script
        assert (ROOT / "slurm" / script).read_bytes() == template.read_bytes()
