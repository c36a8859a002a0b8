"""trackstack ui: on a real cluster behind sockets, seen in a real browser; on a laptop on 127.0.0.1."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from support import browser
from support.processes import started
from support.projects import command_environment, run_in

from trackstack import UserError
from trackstack.cluster.init import set_up
from trackstack.cluster.ui import listens, mlflow_command, serve_locally, server_environment, socket_folder, start_job

pytestmark = pytest.mark.xdist_group("ui")  # one server for all


@contextmanager
def forwarded(path):
    """What `ssh -L` does: a port of 127.0.0.1 that leads to a Unix socket."""

    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        target.close()

    def accept():
        while True:
            try:
                near = server.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(path))
            far.settimeout(120)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def listening():
    """TCP sockets on which somebody listens, by inode, with their ports: the kernel's own tables."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    return {parts[9]: int(parts[1].split(":")[1], 16) for parts in lines if parts[3] == "0A"}


def sockets_of_job(job):
    """The sockets that any process of a SLURM job holds, by inode."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"SLURM_JOB_ID={job}\0".encode() in (process / "environ").read_bytes():
                links = [str(link.readlink()) for link in (process / "fd").iterdir()]
                found |= {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    return found


RECORD = """
import trackstack
with trackstack.start_run("linear", {"alpha": 0.1}) as run:
    for step in range(5):
        run.log({"train_loss": 1 / (1 + step), "val_accuracy": step / 5, "test_accuracy": 0.5}, step=step)
"""


@pytest.fixture(scope="module")
def recorded(empty_repository, tmp_path_factory):
    """A repository that is not ours, with one run in MLflow and TensorBoard; shared."""
    folder = shutil.copytree(empty_repository, tmp_path_factory.mktemp("recorded") / "a project")
    list(set_up(folder))
    environment = command_environment() | {"TRACKSTACK_SINKS": "mlflow,tensorboard"}
    run_in(folder, [sys.executable, "-P", "-c", RECORD], env=environment)
    assert (folder / "mlflow.db").exists()
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a real browser; for all tests that look at one."""
    if browser.BROWSER is None:
        pytest.skip("needs chromium")
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


class Served(NamedTuple):
    """A job that serves."""

    job: str
    mlflow: Path
    board: Path


@pytest.fixture(scope="module")
def served(booted_cluster, recorded):
    """The pages from a job of the cluster; for all tests that look at them."""
    said = booted_cluster.run(recorded, "trackstack ui").stdout
    forward = re.search(r"ssh -N -L 5000:(\S+) -L 6006:(\S+) -J root@\S+ root@\S+", said)
    yield Served(re.search(r"ends with job (\d+)", said)[1], Path(forward[1]), Path(forward[2]))
    booted_cluster.run(recorded, "trackstack ui stop")


def error_of_nobody(path):
    """What another user of the machine gets who connects to a socket."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            socket.socket(socket.AF_UNIX).connect(str(path))
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    return os.read(read, 100).decode()


def test_on_a_cluster_only_the_owner_reaches_the_pages(served, recorded, booted_cluster):
    assert served.mlflow.parent.stat().st_mode & 0o777 == 0o700
    assert [error_of_nobody(path) for path in (served.mlflow, served.board)] == ["PermissionError"] * 2
    assert served.job in booted_cluster.run(recorded, "trackstack ui").stdout, "a second call starts no second job"
    with forwarded(served.board) as url:
        assert json.loads(get(f"{url}/data/runs"))
    assert sockets_of_job(served.job), "the job's processes are seen"
    assert not sockets_of_job(served.job) & set(listening()), "no TCP port"


def test_the_owner_sees_a_runs_chart_in_a_browser(served, page, tmp_path):
    """The page of a run's curves as a real browser shows it."""
    with forwarded(served.mlflow) as url:
        experiments = json.loads(get(f"{url}/api/2.0/mlflow/experiments/search?max_results=10"))["experiments"]
        (experiment,) = (one["experiment_id"] for one in experiments if one["name"] == "trackstack")
        query = json.dumps({"experiment_ids": [experiment]}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/api/2.0/mlflow/runs/search", query, headers)
        run_id = json.loads(get(request))["runs"][0]["info"]["run_id"]
        page.open(f"{url}/#/experiments/{experiment}/runs/{run_id}/model-metrics")
        page.until("document.querySelectorAll('.js-plotly-plot').length > 2")
        text = page.evaluate("document.body.innerText")
        page.picture(tmp_path / "mlflow.png")
    assert "linear" in text
    assert "test_accuracy" in text
    assert (tmp_path / "mlflow.png").stat().st_size > 20_000


def test_a_job_that_serves_and_one_that_waits_are_seen_and_stopped(served, recorded, booted_cluster):
    cluster = booted_cluster
    assert cluster.run(recorded, "trackstack ui stop").stdout == f"stopped: job {served.job}\n"
    cluster.wait(served.job, "CANCELLED")
    cluster.until(lambda: not served.mlflow.parent.exists(), "the sockets to be gone")
    assert "Nothing is served" in cluster.run(recorded, "trackstack ui status").stdout
    cluster.run(recorded, "scontrol update PartitionName=batch State=DOWN")
    try:
        with started(["trackstack", "ui"], cwd=recorded, env=cluster.environment, stderr=subprocess.PIPE) as waiting:
            cluster.until(lambda: list(recorded.glob("runs/.ui/*.json")), "the submission")
            status = cluster.run(recorded, "trackstack ui status").stdout
            job = re.fullmatch(r"job (\d+): waits for a node; trackstack ui stop .*\n", status)[1]
            assert cluster.run(recorded, "trackstack ui stop").stdout == f"stopped: job {job}\n"
            assert waiting.stderr.read().startswith(f"job {job} has ended")
        assert "Nothing is served" in cluster.run(recorded, "trackstack ui status").stdout
    finally:
        cluster.run(recorded, "scontrol update PartitionName=batch State=UP")


@pytest.fixture(scope="module")
def local_urls(recorded):
    """The addresses of `trackstack ui --local`, which Ctrl-C ends; afterwards nobody listens there."""
    environment = command_environment() | {"BROWSER": "true"}
    with started(["trackstack", "ui", "--local"], cwd=recorded, env=environment) as process:
        urls = dict(process.stdout.readline().strip().split(": ", 1) for _ in range(2))
        yield {name: url.partition("/#")[0] for name, url in urls.items()} | {"runs": urls["mlflow"]}
        process.send_signal(signal.SIGINT)
        assert process.wait(900) == 0  # two servers, on a busy machine
    ports = {int(re.search(r":(\d+)", url)[1]) for url in urls.values()}
    assert not ports & set(listening().values()), "both servers have ended"


def test_a_laptop_gets_both_pages_on_its_own_address_alone(local_urls):
    assert all(url.startswith("http://127.0.0.1:") for url in local_urls.values())
    assert "trackstack" in get(f"{local_urls['mlflow']}/api/2.0/mlflow/experiments/search?max_results=10")
    assert json.loads(get(f"{local_urls['tensorboard']}/data/runs"))


def test_mlflow_opens_on_the_runs_with_columns_of_their_metrics(local_urls, page):
    page.open(local_urls["runs"])
    page.until("document.body.innerText.includes('linear') && document.body.innerText.includes('val_accuracy')")
    assert "train_loss" in page.evaluate("document.body.innerText")


def test_a_laptop_shows_curves_in_tensorboard(local_urls, page):
    page.open(f"{local_urls['tensorboard']}/?tagFilter=val_accuracy#timeseries")
    page.until("document.querySelectorAll('scalar-card svg').length > 0")
    assert "val_accuracy" in page.evaluate("document.body.innerText")


def test_nothing_recorded_and_too_long_a_path_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_UI_DIR", str(tmp_path / ("x" * 90)))
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    with pytest.raises(UserError, match="too long for a Unix socket by "):
        socket_folder("123")
    with pytest.raises(UserError, match=r"mlflow.db: no such database yet; dvc repro or trackstack sync makes it"):
        serve_locally(open_browser=print)


def test_a_databases_password_is_in_the_servers_environment_and_not_on_its_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://ml:S3cret%40@db.example/tracking")
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", "/of-another-server")
    command = " ".join(mlflow_command(tmp_path))
    assert "S3cret" not in command
    assert "db.example" not in command
    assert server_environment()["MLFLOW_BACKEND_STORE_URI"] == os.environ["MLFLOW_TRACKING_URI"]
    assert "MLFLOW_STATIC_PREFIX" not in server_environment()


def test_a_server_of_somebody_else_on_the_same_port_is_not_taken_for_ours():
    with socket.create_server(("127.0.0.1", 0)) as server, started(["sleep", "60"]) as ours:
        port = server.getsockname()[1]
        assert listens(os.getpid(), port)
        assert not listens(ours.pid, port)


def test_a_repository_without_the_job_script_is_told_what_writes_it(repository, monkeypatch):
    monkeypatch.chdir(repository)
    with pytest.raises(UserError, match=r"slurm/ui.sh: no such file here; trackstack init writes it"):
        start_job()
