"""What runs have cost: sums, waste and advice, from journals."""

import json

import pytest
import yaml
from support.choosing import write_run
from support.recording import trackstack
from support.sinks import START

from trackstack import UserError
from trackstack.records.cost import advise, bills_of, sum_up
from trackstack.records.index.index import read_index
from trackstack.records.query import list_runs
from trackstack.tracking.journal import Journal

JOB = {"job": "7", "nodes": 1, "cpus": 4, "memory_mb": 4096.0, "gpus": 1, "limit_seconds": 3600, "queued_seconds": 60}
GPU = {"name": "A100", "percent": 80.0, "memory_peak_mb": 9000.0, "energy_joules": 3.6e6}


def write_attempt(home, run="r0123456789ab", status="finished", seconds=3600.0, usage=None, samples=(), **more):
    """An attempt at a run; without a status it was killed."""
    journal = Journal(home / "runs" / run)
    series = more.pop("series", journal.attempt)
    journal.write(START | {"run": run, "attempt": journal.attempt, "series": series, "stage": "train"} | more)
    for at, values in samples:
        journal.write({"type": "system", "time": START["time"] + at, "values": values})
    if status:
        end = {"type": "end", "time": START["time"] + seconds, "status": status, "error": None}
        journal.write(end | ({"usage": usage} if usage else {}))
    journal.close()


def usage(cpu=7200.0, memory=2048.0, gpus=(), cores=None):
    return {"cpu_seconds": cpu, "cores_peak": cores, "memory_peak_mb": memory, "gpus": list(gpus)}


def sums(home, by="user"):
    return sum_up(bills_of(read_index(home)), by)


def test_hours_cores_gpus_energy_and_waiting_are_summed_and_each_job_waits_once(tmp_path):
    write_attempt(tmp_path, "r000000000001", usage=usage(gpus=[GPU]), job=JOB, tags={"sweep": "s1"})
    write_attempt(tmp_path, "r000000000002", usage=usage(gpus=[GPU]), job=JOB, tags={"sweep": "s1"})
    write_attempt(tmp_path, "r000000000003", "failed", 1800.0, usage(cpu=900.0), tags={"sweep": "s2"})
    first, second, everything = sums(tmp_path, "sweep")
    assert first == {
        "sweep": "s1",
        "runs": 2,
        "hours": 2.0,
        "core_hours": 4.0,
        "allocated_core_hours": 8.0,
        "cpu_efficiency": 0.5,
        "memory_gib": 2.0,
        "gpu_hours": 2.0,
        "kwh": 2.0,
        "queued_hours": 0.0167,
        "wasted_hours": 0.0,
    }
    assert (second["wasted_hours"], second["kwh"], second["cpu_efficiency"]) == (0.5, None, None)
    assert (everything["sweep"], everything["runs"], everything["core_hours"]) == ("all", 3, 4.25)
    with pytest.raises(UserError, match="--by colour: expected one of sweep, user, stage, name"):
        sums(tmp_path, "colour")


def test_what_was_killed_counts_by_its_samples_and_is_wasted_unless_something_went_on_from_it(tmp_path):
    samples = [(10, {"cpu_percent": 200.0, "memory_mb": 700.0}), (20, {"cpu_percent": 100.0, "memory_mb": 900.0})]
    write_attempt(tmp_path, status=None, samples=samples)
    (row,) = sums(tmp_path)
    assert row["wasted_hours"] == row["hours"] == round(20 / 3600, 4)
    assert row["core_hours"] == round(30 / 3600, 4)
    write_attempt(tmp_path, seconds=100.0, usage=usage(cpu=70.0), series=1)
    ((spent,),) = (one["spent"] for one in list_runs(tmp_path))
    assert (spent["attempts"], spent["seconds"], spent["cpu_seconds"]) == (2, 120.0, 100.0)
    assert sums(tmp_path)[0]["wasted_hours"] == 0


def test_an_execution_that_gave_the_same_again_is_paid_for_too(tmp_path):
    for _ in range(2):
        write_attempt(tmp_path, usage=usage())
    (row,) = list_runs(tmp_path)
    assert (row["reproduced"], len(row["spent"])) == (1, 2)
    assert sums(tmp_path)[0]["hours"] == 2.0


def test_advice_is_what_meta_slurm_takes_with_room_to_spare(tmp_path):
    write_attempt(tmp_path, "r000000000001", usage=usage(cpu=5000.0, memory=2500.0, cores=3.4), job=JOB)
    write_attempt(tmp_path, "r000000000002", usage=usage(cpu=9000.0, gpus=[GPU]), seconds=3000.0)
    write_attempt(tmp_path, "r000000000003", "failed", usage=usage(cpu=99999.0))
    (advice,) = advise(bills_of(read_index(tmp_path)))
    assert advice["slurm"] == {"cpus-per-task": 4, "mem": "4G", "time": "01:30:00"}
    assert (advice["runs"], advice["cores"], advice["gpu_percent"]) == (2, 3.4, 80.0)
    assert advice["held"] == {"cpus": 4, "memory_mb": 4096.0}


def test_an_end_of_another_version_that_says_less_hides_no_run(tmp_path):
    write_attempt(tmp_path, usage={"cpu_seconds": 3600.0})
    (row,) = sums(tmp_path)
    assert (row["core_hours"], row["memory_gib"]) == (1.0, None)


def test_runs_without_figures_of_use_are_counted_and_give_no_advice(tmp_path):
    write_run(tmp_path, {"seed": 1}, {"val_accuracy": 0.5})
    (row,) = sums(tmp_path)
    assert (row["runs"], row["core_hours"], row["memory_gib"]) == (1, None, None)
    assert advise(bills_of(read_index(tmp_path))) == []


def test_the_command_prints_a_table_json_and_yaml(tmp_path):
    write_attempt(tmp_path, usage=usage(gpus=[GPU]), job=JOB)
    assert "50 % of 4" in trackstack(tmp_path, "runs", "cost")
    assert json.loads(trackstack(tmp_path, "runs", "cost", "--json"))[0]["cpu_efficiency"] == 0.5
    first, *rest = trackstack(tmp_path, "runs", "cost", "--advice").splitlines()
    assert first == (
        "train: 1 finished, at most 2.0 cores busy, 2.0 GiB and 3600 s; its GPU 80 % busy; its jobs held 4 cores and 4 GiB"
    )
    slurm = {"cpus-per-task": 2, "mem": "3G", "time": "01:30:00"}
    assert yaml.safe_load("\n".join(rest)) == {"meta": {"slurm": slurm}}
    shown = trackstack(tmp_path, "runs", "show")
    assert "7200.0 s of CPU in 3600.0 s (2.0 cores), 2.00 GiB at most; A100 80 % busy, 8.8 GiB, 1000.0 Wh" in shown
    assert "4 cores (50 % busy), 4 GiB (50 % used), 1 GPUs, limit 60 min, waited 60 s" in shown
