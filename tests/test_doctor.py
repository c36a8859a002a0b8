"""trackstack doctor: on a real cluster and without one, every line a verdict and what to do."""

import json

from conftest import run_in


def findings(done):
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


def test_on_a_cluster_it_names_limits_places_and_what_a_submission_would_get(cluster, project):
    found = findings(cluster.run(project, "trackstack doctor --json", None, WANDB_MODE="offline"))
    assert found["SLURM"]["found"].startswith("lab, ")
    assert "batch* 1-00:00:00 gpu:2" in found["partitions"]["found"]
    assert found["submission"]["verdict"] == "ok"
    assert found["requeue"]["verdict"] == "ok"
    assert found["kill wait"]["found"] == "20 s from TERM to KILL"
    assert found["locks"]["verdict"] == "ok"
    assert "symlink" in found["links"]["found"]
    for place in ("checkout", "DVC cache", "home"):
        assert str(project) in found[place]["found"]


def test_a_refused_submission_and_a_foreign_tracking_uri_are_said(cluster, project):
    uri = "https://somebody:secret@example.org"
    environment = {"WANDB_MODE": "offline", "SBATCH_PARTITION": "nope", "MLFLOW_TRACKING_URI": uri}
    done = cluster.run(project, "trackstack doctor --json", 1, **environment)
    found = findings(done)
    assert found["submission"]["verdict"] == "fail"
    assert "nvalid partition" in found["submission"]["found"]
    assert found["MLFLOW_TRACKING_URI"]["verdict"] == "warn"
    assert "secret" not in done.stdout


def test_a_package_of_another_version_fails_and_says_what_to_type(project):
    lock = project / "requirements.lock"
    lock.write_text(lock.read_text().replace("torch==", "torch==0.0."))
    done = run_in(project, "env WANDB_MODE=offline trackstack doctor", 1)
    line = next(line for line in done.stdout.splitlines() if "packages" in line)
    assert line.startswith("fail")
    assert "not 0.0." in line
    assert line.rstrip().endswith("make venv")
