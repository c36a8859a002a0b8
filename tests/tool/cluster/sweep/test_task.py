"""The trials of a sweep on this machine, in repositories of other people: what they share, run, leave and go on with."""

import json
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import yaml
from support.foreign import change, foreign_environment
from support.processes import started, until
from support.projects import run_in
from support.searches import search_in
from support.sweeps import at_work, experiments

from trackstack.cluster.supervisor import JobResult, Supervisor
from trackstack.cluster.sweep.task import forget_own_results, reproduce_shared


def begin(project, *options):
    command = ["trackstack", "sweep", *options, "--local"]
    return started(command, cwd=project, env=foreign_environment())


def interrupted(project, options, moment):
    """Begin, and press Ctrl-C at a moment; the last line that is said, when nothing of the sweep runs any more."""
    with begin(project, *options) as process:
        until(moment, "the moment to press Ctrl-C")
        process.send_signal(signal.SIGINT)
        return last_line(project, process)


def last_line(project, process):
    said = process.communicate(timeout=900)[0].splitlines()
    assert process.returncode == 1
    left = [p for p in psutil.process_iter(["cwd"]) if str(project) in (p.info["cwd"] or "")]
    assert left == [], "no orphan"
    return said[-1]


def logs(project):
    return {file.stem: file.read_text() for file in project.glob("runs/.sweeps/*/logs/*.log")}


def reference(project, name):
    refs = run_in(project, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    return next(ref for ref in refs if ref.endswith(f"/{name}"))


def show(project, name, file):
    return run_in(project, ["git", "show", f"{reference(project, name)}:./{file}"]).stdout


HOLDS = """
import sys
from pathlib import Path
from trackstack.system.lease import take_lease

take_lease(Path(sys.argv[1]))
print("at work", flush=True)
sys.stdin.read()
"""


def test_what_trials_share_is_made_by_one_process_at_a_time_and_waiting_for_it_can_be_stopped(
    tmp_path, monkeypatch, capsys
):
    """Of a command that was killed, the process goes on: DVC would refuse the next one, and name a lock."""
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    sweep, supervisor = search_in(tmp_path).sweep, Supervisor()
    supervisor.folder.mkdir(parents=True)
    command = [sys.executable, "-P", "-c", HOLDS, str(sweep.folder / "workers/shared")]
    with started(command, env=foreign_environment(), stdin=subprocess.PIPE) as lost:
        assert lost.stdout.readline() == "at work\n"
        found = []
        waiting = threading.Thread(target=lambda: found.append(reproduce_shared(sweep, supervisor)))
        waiting.start()
        until(lambda: "waiting for another process" in capsys.readouterr().out, "it to wait")
        supervisor.stop_file.touch()
        waiting.join(60)
        assert found == [JobResult("interrupted", "stopped before it began")]
        lost.stdin.close()
        lost.stdin = None


def test_a_sweep_is_stopped_and_resumed_and_runs_nothing_twice(linear):
    """Ctrl-C ends what runs, be it what the trials share; typed again, the command goes on."""
    prepare = linear / "prepare.py"
    prepare.write_text("import time\nprint('slow', flush=True)\ntime.sleep(2)\n" + prepare.read_text())
    change(linear, train={"pause": 0.1, "epochs": 30})
    run_in(linear, "git commit -qam 'Slower'")
    options = ["-S", "params.json:train.seed=0,1"]
    assert interrupted(linear, options, lambda: "slow" in logs(linear).get("shared", "")) == "2 waiting"
    assert interrupted(linear, options, lambda: at_work(linear)) == "1 interrupted, 1 waiting"
    command = ["trackstack", "sweep", *options, "--local"]
    said = run_in(linear, command, env=foreign_environment()).stdout
    assert said.splitlines()[-1] == "2 finished, 1 resumed"
    said = run_in(linear, command, env=foreign_environment()).stdout
    assert said.splitlines()[-1] == "2 finished"
    names = experiments(linear)
    assert len(names) == 2
    for name in names:
        assert json.loads(show(linear, name, "metrics.json"))["accuracy"] > 0.8
        assert "Running stage 'prepare'" not in logs(linear)[name]
    seeds = {json.loads(show(linear, name, "params.json"))["train"]["seed"] for name in names}
    assert seeds == {0, 1}

    # A trial that equals the commit is run where nobody has its outputs.
    run_in(linear, ["git", "checkout", "-q", reference(linear, names[0]), "--", "."])
    run_in(linear, "git commit -qm 'A good one'")
    shutil.rmtree(linear / ".dvc/cache/runs")
    (model,) = yaml.safe_load((linear / "dvc.lock").read_text())["stages"]["train"]["outs"]
    (linear / f".dvc/cache/files/md5/{model['md5'][:2]}/{model['md5'][2:]}").unlink()
    seed = json.loads((linear / "params.json").read_text())["train"]["seed"]
    command = ["trackstack", "sweep", "-S", f"params.json:train.seed={seed}", "-n", "same", "--local"]
    assert run_in(linear, command, env=foreign_environment()).stdout.splitlines()[-1] == "1 finished"
    (log,) = (text for name, text in logs(linear).items() if name.startswith("same-"))
    assert "Running stage 'train'" in log
    assert "Running stage 'prepare'" not in log


def test_trials_change_toml_bash_stages_a_matrix_and_a_second_pipeline(shapes):
    """Scale and digits change stages; another list of shapes changes which stages there are."""
    settings = ["-S", "conf/shapes.toml:shapes=[circle],[triangle,square]", "-S", "report/settings.toml:digits=0,1"]
    said = run_in(shapes, ["trackstack", "sweep", *settings, "--local", "-j", "2"], env=foreign_environment()).stdout
    assert said.splitlines()[-1] == "4 finished"
    results = {show(shapes, name, "report/summary.txt") for name in experiments(shapes)}
    assert results == {
        "circle 88.0\n",
        "circle 87.9\n",
        "square 28.0\ntriangle 14.0\n",
    }
    text = logs(shapes)
    assert text["shared"].count("Running stage") == 1, "draw, which no trial changes"
    for name in experiments(shapes):
        assert "Running stage 'draw'" not in text[name]
        assert "# measure has a stage for each" in show(shapes, name, "conf/shapes.toml"), "comments are kept"
        stages = yaml.safe_load(show(shapes, name, "dvc.lock"))["stages"]
        assert set(stages) == {"draw", *(f"measure@{shape}" for shape in shapes_of(shapes, name))}
    assert run_in(shapes, "git status --porcelain").stdout == "", "the checkout is untouched"


def shapes_of(project, name):
    return [line.split()[0] for line in show(project, name, "report/summary.txt").splitlines()]


def test_a_stage_that_does_not_stop_by_itself_ends_when_ctrl_c_is_pressed_again(shapes):
    """A script in bash knows of no checkpoint: it is started again."""
    (shapes / "scripts/measure.sh").write_text("echo begun >&2\nsleep 300\n")
    run_in(shapes, "git commit -qam 'Slow'")
    with begin(shapes, "-S", "conf/shapes.toml:numbers.scale=5") as process:
        until(lambda: any("begun" in log for name, log in logs(shapes).items() if name != "shared"), "its stage")
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in next((line for line in process.stdout if "stopping" in line), "it has not said it")
        process.send_signal(signal.SIGINT)
        assert last_line(shapes, process) == "1 interrupted"
    (status,) = (file for file in shapes.glob("runs/.sweeps/*/trials/s*.json") if file.stem != "shared")
    assert json.loads(status.read_text())["reason"].startswith("stopped in stage measure@square")


def test_a_trials_own_stages_are_forgotten_in_every_lock_file(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, stages in (("dvc.lock", ["a", "b", "m@1", "m@2", "mm@1"]), ("sub/dvc.lock", ["a", "b"])):
        (tmp_path / name).write_text(yaml.safe_dump({"schema": "2.0", "stages": {stage: {} for stage in stages}}))
    forget_own_results(["a", "m@1", "sub/dvc.yaml:b", "other/dvc.yaml:x"], tmp_path)
    kept = {name: yaml.safe_load((tmp_path / name).read_text()) for name in ("dvc.lock", "sub/dvc.lock")}
    assert kept == {
        "dvc.lock": {"schema": "2.0", "stages": {"b": {}, "mm@1": {}}},
        "sub/dvc.lock": {"schema": "2.0", "stages": {"a": {}}},
    }
