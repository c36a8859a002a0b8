"""trackstack doctor: on a real cluster and without one, every line a verdict and what to do."""

import json

from trackstack import doctor


def test_on_a_cluster_it_names_limits_places_and_what_would_go_wrong(cluster, project, tmp_path):
    environment = {
        "MLFLOW_TRACKING_URI": "https://somebody:secret@example.org",
        "SBATCH_PARTITION": "nope",
        "TRACKSTACK_SCRATCH": str(tmp_path),
        "WANDB_MODE": "offline",
    }
    done = cluster.run(project, "trackstack doctor --json", 1, **environment)
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert found["SLURM"]["found"].startswith("lab, ")
    assert "batch* 1-00:00:00 gpu:2" in found["partitions"]["found"]
    assert found["requeue"]["verdict"] == "ok"
    assert found["kill wait"]["found"] == "20 s from TERM to KILL"
    assert found["locks"]["verdict"] == "ok"
    assert "symlink" in found["links"]["found"]
    for name, place in (("checkout", project), ("DVC cache", project), ("home", project), ("scratch", tmp_path)):
        assert found[name]["found"].startswith(str(place))
    assert found["submission"]["verdict"] == "fail"
    assert "nvalid partition" in found["submission"]["found"]
    assert found["MLFLOW_TRACKING_URI"]["verdict"] == "warn"
    assert "secret" not in done.stdout
    done = cluster.run(project, "trackstack doctor --json", None, WANDB_MODE="offline")
    verdicts = {finding["what"]: finding["verdict"] for finding in json.loads(done.stdout)}
    assert verdicts["submission"] == "ok"
    assert "MLFLOW_TRACKING_URI" not in verdicts


def test_a_package_of_another_version_fails_and_says_what_to_type(project, monkeypatch):
    lock = project / "requirements.lock"
    lock.write_text(lock.read_text().replace("torch==", "torch==0.0."))
    monkeypatch.chdir(project)
    (packages,) = doctor._packages()
    assert packages.verdict == "fail"
    assert "not 0.0." in packages.found
    assert packages.todo == "make venv"


def test_short_limits_and_a_missing_folder_are_said(tmp_path):
    requeue, wait, _ = doctor._job_limits({"JobRequeue": "0", "KillWait": "5 sec"})
    assert (requeue.verdict, wait.verdict) == ("warn", "warn")
    assert doctor._place("scratch", tmp_path / "none").verdict == "fail"
