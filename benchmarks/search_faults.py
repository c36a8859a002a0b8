"""Faults at random instants of a search: does it decide as an undisturbed one, and what is computed twice?

    python benchmarks/search_faults.py [--trials 30] [--faults 20] [--seed 0] [--jobs 1] [--slurm]

A small training that keeps a checkpoint of each epoch is searched over with TPE and ASHA in a DVC repository of its
own, on this machine or on a Slurm of two nodes that is booted for it. Faults are kill -9 of the stage, of DVC, of the
task, of the command, or of all of them; `search stop`; the command typed while it runs; on Slurm also a requeue, a
kill of a job and a node set down. Then the command is typed until nothing is left.

Compared are the decisions with those of an undisturbed search on this machine (with one trial at a time), each figure
at a rung and each model with a training of the same values that nothing has paused or killed, and the epochs that
were begun with those that were needed. Exit code 1 when something differs, or more than 2 % was computed twice.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.foreign import commit_files, foreign_environment
from support.projects import run_in
from support.slurm_cluster import Cluster, running_cluster

from trackstack.cluster.search import is_search, load_search
from trackstack.cluster.search.looks import is_over

TRAIN = """
    import json, math, os, random, time
    from pathlib import Path

    import trackstack

    params = json.loads(Path("params.json").read_text())
    draw = random.Random(0)
    rows = [(draw.gauss(label, 1.5), draw.gauss(-label, 1.5), label) for label in (0, 1) * 100]
    with trackstack.Stop() as stop, trackstack.start_run("linear", params) as run:
        kept = run.folder / "checkpoints/epoch.json"
        state = json.loads(kept.read_text()) if kept.exists() else {"epoch": 0, "weights": [0, 0, 0]}
        a, b, c = state["weights"]
        begun = os.open(os.environ["BEGUN_EPOCHS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for epoch in range(state["epoch"], params["epochs"]):
            os.write(begun, f"{run.id} {epoch}\\n".encode())
            time.sleep(params["pause"])
            loss = 0.0
            for x, y, label in random.Random(epoch).sample(rows, 20):
                guess = 1 / (1 + math.exp(-max(-30, min(30, a * x + b * y + c))))
                step = params["lr"] / (1 + params["decay"] * epoch) * (label - guess)
                a, b, c, loss = a + step * x, b + step * y, c + step, loss + (label - guess) ** 2
            run.log({"val_loss": loss}, step=epoch)
            kept.parent.mkdir(exist_ok=True)
            kept.with_suffix(".new").write_text(json.dumps({"epoch": epoch + 1, "weights": [a, b, c]}))
            kept.with_suffix(".new").rename(kept)
            if reason := stop.reason():
                raise trackstack.Interrupted(reason)
    Path("model.json").write_text(json.dumps([a, b, c]))
"""
STAGE = {"cmd": "python train.py", "deps": ["train.py"], "outs": ["model.json"]}
PIPELINE = {"stages": {"train": STAGE | {"params": [{"params.json": ["lr", "decay"]}]}}}
PARAMS = {"lr": 0.1, "decay": 0.1, "epochs": 200, "pause": 0.03}
SPACE = "params.json:lr: {log: [1e-3, 1.0]}\nparams.json:decay: {range: [0.0, 1.0]}\n"
COMMAND = ["trackstack", "search", "space.yaml", "--metric", "val_loss", "--prune", "asha", "--rungs", "20,60"]
VICTIMS = {
    "stage": ["train.py"],
    "dvc": ["cluster.experiment"],
    "task": ["sweep.task"],
    "command": ["trackstack search"],
}
VICTIMS["all"] = [word for words in VICTIMS.values() for word in words]
MOST_STARTS = 40


class SearchAtWork:
    """A search in a copy of the repository, on this machine or on a cluster."""

    def __init__(self, folder: Path, arguments: argparse.Namespace, cluster: Cluster | None):
        self.folder, self.cluster = folder, cluster
        more = {"SLURM_CONF": cluster.environment["SLURM_CONF"]} if cluster else {}
        self.environment = foreign_environment(BEGUN_EPOCHS=f"{folder}.epochs", **more)
        where = ["--max-parallel", str(arguments.jobs)] if cluster else ["--local", "-j", str(arguments.jobs)]
        self.command = [*COMMAND, "--trials", str(arguments.trials), *where]
        self.log = (folder.parent / f"{folder.name}.log").open("w")
        self.process: subprocess.Popen | None = None

    def type_command(self) -> None:
        """Type the search's command; under Slurm it only submits."""
        options = {"cwd": self.folder, "env": self.environment, "stdout": self.log, "stderr": self.log}
        self.process = subprocess.Popen(self.command, **options, start_new_session=True)
        if self.cluster:
            self.process.wait()

    def is_at_work(self) -> bool:
        """Whether the command, or a job, has yet to end."""
        if self.cluster:
            return bool(self.run("squeue", "-h"))
        return self.process is not None and self.process.poll() is None

    def complete(self) -> None:
        """Type the command until nothing is left."""
        for _ in range(MOST_STARTS):
            while self.is_at_work():
                time.sleep(0.2)
            if self.is_over():
                return
            self.type_command()
        sys.exit(f"{self.folder}: not over after {MOST_STARTS} starts; see {self.log.name}")

    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        folder = self.folder / "runs/.sweeps/space"
        return is_search(folder) and is_over(load_search(folder))

    def trials(self) -> list[dict[str, Any]]:
        """What `search status` says of each."""
        return json.loads(self.run("trackstack", "search", "status", "--json"))["trials"]

    def events(self) -> list[dict[str, Any]]:
        """What was decided and what came of it, without hours and numbers of lines."""
        lines = map(json.loads, (self.folder / "runs/.sweeps/space/decisions.jsonl").open())
        kept = [line for line in lines if line["event"] in ("suggest", "promote", "rung", "end", "fail")]
        return [{name: value for name, value in line.items() if name != "seen"} for line in kept]

    def run(self, *command: str) -> str:
        """What a command says, whatever its exit code."""
        done = run_in(self.folder, list(command), expect=None, env=self.environment)
        return f"{done.stdout}{done.stderr}".strip()

    def epochs(self) -> list[str]:
        """A line for each that was begun: its run and its number."""
        file = Path(self.environment["BEGUN_EPOCHS"])
        return file.read_text().splitlines() if file.exists() else []

    def is_training(self) -> bool:
        """Whether an epoch begins just now."""
        before = len(self.epochs())
        time.sleep(1.5 * PARAMS["pause"])
        return len(self.epochs()) > before

    def kill(self, what: str) -> str:
        """Kill -9 some of its processes; how many there were, empty where there were none."""
        victims = self.processes(VICTIMS[what])
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        return f"{len(victims)} processes" if victims else ""

    def processes(self, words: list[str]) -> list[psutil.Process]:
        """Those at work in the repository that have one of some words in their command."""
        found = psutil.process_iter(["cwd", "cmdline"])
        mine = [process for process in found if (process.info["cwd"] or "").startswith(f"{self.folder}")]
        return [process for process in mine if any(word in " ".join(process.info["cmdline"] or []) for word in words)]


def faults_of(search: SearchAtWork) -> dict[str, Callable[[], str]]:
    """What can happen to a search, by name; each says to whom it happened, or nothing where nobody was there."""

    def to_job(*command: str) -> str:
        jobs = search.run("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()
        if jobs:
            search.run(*command, jobs[0])
        return jobs[0] if jobs else ""

    def node_down() -> str:
        if node := search.run("squeue", "-h", "-t", "RUNNING", "-o", "%N").partition("\n")[0]:
            search.run("scontrol", "update", f"nodename={node}", "state=down", "reason=fault")
            time.sleep(1)
            search.run("scontrol", "update", f"nodename={node}", "state=resume")
        return node

    faults = {name: functools.partial(search.kill, name) for name in VICTIMS}
    faults["stop"] = lambda: search.run("trackstack", "search", "stop")
    faults["typed again"] = lambda: search.run(*search.command)
    if search.cluster:
        del faults["command"]  # it has ended when its jobs run
        faults["requeue"] = lambda: to_job("scontrol", "requeue")
        faults["kill of a job"] = lambda: to_job("scancel", "--signal=KILL", "--full")
        faults["node down"] = node_down
    return faults


def disturb(search: SearchAtWork, num_faults: int, seconds: float, draw: random.Random) -> collections.Counter[str]:
    """Faults at random instants until there were enough, each on its own; how many of each came."""
    faults, came = faults_of(search), collections.Counter[str]()
    waiting = list[str]()
    while came.total() < num_faults:
        if not search.is_at_work():
            if search.is_over():
                break
            search.type_command()
        time.sleep(draw.uniform(0, seconds / num_faults))  # the instant, not a wait
        if draw.random() < 0.5:  # half of them in a training, as far as there is one
            while search.is_at_work() and not search.is_training():
                pass
            time.sleep(draw.uniform(0, 0.5))
        waiting = waiting or draw.sample(list(faults), len(faults))
        if not search.is_at_work() or not search.processes(VICTIMS["all"]):
            continue
        where, name = "in training" if search.is_training() else "around it", waiting.pop()
        if happened := faults[name]():
            came[name] += 1
            print(f"{came.total():3d}  {name:14s} {where:12s} {happened.splitlines()[-1][:90]}", flush=True)
    search.complete()
    return came


def problems_of(search: SearchAtWork, reference: Path) -> Iterator[str]:
    """What is not as it has to be, be there one worker or several."""
    said = run_in(search.folder, "trackstack search replay", expect=None, env=search.environment)
    if said.returncode:
        yield f"replay: {said.stderr}"
    if stale := [trial for trial in search.trials() if trial["state"] not in ("finished", "paused")]:
        yield f"stale: {stale}"
    ends = collections.Counter(event["trial"] for event in search.events() if event["event"] == "end")
    refs = run_in(search.folder, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    experiments = {ref.rpartition("/")[2]: ref for ref in refs if ref.count("/") == 4}
    if any(count > 1 for count in ends.values()) or set(experiments) != {f"space-{trial:04d}" for trial in ends}:
        yield f"finished: {dict(ends)}, experiments: {sorted(experiments)}"
    runs = json.loads(search.run("trackstack", "runs", "list", "--sweep", "space", "--json"))
    names = collections.Counter(run["name"] for run in runs)
    states = collections.Counter(run["status"] for run in runs)
    if set(names.values()) != {1} or len(names) != len(search.trials()) or set(states) - {"finished", "paused"}:
        yield f"runs in the record: {dict(names)}, {dict(states)}"
    yield from _other_figures(search, experiments, reference)


def _other_figures(search: SearchAtWork, experiments: dict[str, str], reference: Path) -> Iterator[str]:
    """Figures at rungs and models that are not those of a training that nothing paused or killed."""
    for trial in search.trials():
        values = {name.partition(":")[2]: value for name, value in trial["values"].items()}
        (reference / "params.json").write_text(json.dumps(PARAMS | values | {"pause": 0}))
        shutil.rmtree(reference / "runs", ignore_errors=True)
        run_in(reference, "python train.py", env=foreign_environment(BEGUN_EPOCHS="/dev/null"))
        (journal,) = reference.glob("runs/r*/journal-1.jsonl")
        losses = [row["values"]["val_loss"] for row in map(json.loads, journal.open()) if row["type"] == "metrics"]
        for event in search.events():
            if event["event"] == "rung" and event["trial"] == trial["trial"]:
                steps = (20, 60)[event["rung"]]
                if event["value"] != losses[steps - 1]:
                    yield f"trial {trial['trial']}: {event['value']} at {steps} epochs, not {losses[steps - 1]}"
        if ref := experiments.get(f"space-{trial['trial']:04d}"):
            lock = yaml.safe_load(run_in(search.folder, ["git", "show", f"{ref}:dvc.lock"]).stdout)
            if (
                lock["stages"]["train"]["outs"][0]["md5"]
                != hashlib.md5((reference / "model.json").read_bytes()).hexdigest()
            ):
                yield f"trial {trial['trial']}: another model"


def main() -> None:
    """Search undisturbed, search with faults, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    parser.add_argument("--slurm", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = {"train.py": TRAIN, "space.yaml": SPACE, "params.json": json.dumps(PARAMS)}
        commit_files(place / "undisturbed", files | {"dvc.yaml": yaml.safe_dump(PIPELINE)})
        for name in ("disturbed", "reference"):
            shutil.copytree(place / "undisturbed", place / name, symlinks=True)
        cluster = stack.enter_context(running_cluster()) if arguments.slurm else None
        undisturbed, started = SearchAtWork(place / "undisturbed", arguments, None), time.monotonic()
        stack.callback(undisturbed.kill, "all")
        undisturbed.complete()
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.0f} s, {len(undisturbed.epochs())} epochs", flush=True)
        search = SearchAtWork(place / "disturbed", arguments, cluster)
        stack.callback(search.kill, "all")
        came = disturb(search, arguments.faults, seconds, random.Random(arguments.seed))
        problems = list(problems_of(search, place / "reference"))
        if arguments.jobs == 1 and search.events() != undisturbed.events():
            problems.append("other decisions than undisturbed")
        begun, needed = len(search.epochs()), len(set(search.epochs()))
        states = collections.Counter(trial["state"] for trial in search.trials())
    print(f"{came.total()} faults: {dict(came)}")
    print(f"{len(problems)} problems; trials: {dict(states)}")
    print(f"{begun} epochs begun, {needed} needed: {begun / needed - 1:.1%} twice")
    print("\n".join(problems))
    sys.exit(bool(problems) or begun > 1.02 * needed)


if __name__ == "__main__":
    main()
