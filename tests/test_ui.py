"""trackstack ui: on a real cluster behind sockets, seen in a real browser; on a laptop on 127.0.0.1."""

import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import browser
import pytest
from conftest import command_environment, run_in


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


@pytest.fixture
def recorded(project):
    """The tiny project with one run in MLflow."""
    run_in(
        project, "trackstack sync --all-exps", env=command_environment() | {"TRACKSTACK_SINKS": "mlflow,tensorboard"}
    )
    assert (project / "mlflow.db").exists()
    return project


def test_on_a_cluster_only_the_owner_reaches_the_pages(cluster, recorded, tmp_path):
    said = cluster.run(recorded, "trackstack ui").stdout
    forward = re.search(r"ssh -N -L 5000:(\S+) -L 6006:(\S+) -J root@\S+ root@\S+", said)
    mlflow, board = Path(forward[1]), Path(forward[2])
    assert mlflow.parent.stat().st_mode & 0o777 == 0o700
    for path in (mlflow, board):
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else shutil.which("perl")
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", connect]
        refused = subprocess.run(as_nobody, capture_output=True, text=True, check=False)
        assert "PermissionError" in refused.stderr, refused.stderr
    assert cluster.run(recorded, "trackstack ui").stdout.count("ssh -N") == 1, "a second call starts no second job"
    with forwarded(board) as url:
        assert json.loads(get(f"{url}/data/runs"))
    with forwarded(mlflow) as url:
        found = get(f"{url}/api/2.0/mlflow/experiments/search?max_results=10")
        assert "trackstack" in found
        if browser.BROWSER is None:
            pytest.skip("the page itself needs chromium")
        see_chart(url, found, recorded, tmp_path)
    job = re.search(r"ends with job (\d+)", said)[1]
    assert sockets_of_job(job), "the job's processes are seen"
    assert not sockets_of_job(job) & set(listening()), "no TCP port"
    assert cluster.run(recorded, "trackstack ui stop").stdout == f"stopped: job {job}\n"
    cluster.wait(job, "CANCELLED")
    cluster.until(lambda: not mlflow.parent.exists(), 30, "the sockets to be gone")
    assert "Nothing is served" in cluster.run(recorded, "trackstack ui status").stdout


def see_chart(url, experiments, project, tmp_path):
    """The page of a run's curves as a real browser shows it."""
    by_name = {one["name"]: one["experiment_id"] for one in json.loads(experiments)["experiments"]}
    runs = json.loads(run_in(project, "trackstack runs list --json").stdout)
    query = json.dumps({"experiment_ids": [by_name["trackstack"]]}).encode()
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/runs/search", query, {"Content-Type": "application/json"})
    run_id = json.loads(get(request))["runs"][0]["info"]["run_id"]
    picture = tmp_path / "mlflow.png"
    with browser.page(tmp_path / "profile") as page:
        page.open(f"{url}/#/experiments/{by_name['trackstack']}/runs/{run_id}/model-metrics")
        page.until("document.querySelectorAll('.js-plotly-plot').length > 2")
        text = page.evaluate("document.body.innerText")
        page.picture(picture)
    assert runs[0]["name"] in text
    assert "test_accuracy" in text
    assert picture.stat().st_size > 20_000


def test_a_laptop_gets_both_pages_on_its_own_address_alone(recorded):
    process = subprocess.Popen(
        ["trackstack", "ui", "--local"],
        cwd=recorded,
        env=command_environment() | {"BROWSER": "true"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        urls = dict(process.stdout.readline().strip().split(": ", 1) for _ in range(2))
        assert set(urls) == {"mlflow", "tensorboard"}
        assert all(url.startswith("http://127.0.0.1:") for url in urls.values())
        assert "trackstack" in get(f"{urls['mlflow']}/api/2.0/mlflow/experiments/search?max_results=10")
        assert json.loads(get(f"{urls['tensorboard']}/data/runs"))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    ports = {int(url.rsplit(":", 1)[1]) for url in urls.values()}
    assert not ports & set(listening().values()), "both servers have ended"


def test_nothing_recorded_and_too_long_a_path_are_one_line(recorded, tmp_path):
    long = tmp_path / ("x" * 90)
    script = "from trackstack.ui import socket_folder; socket_folder('123')"
    env = command_environment() | {"TRACKSTACK_UI_DIR": str(long), "PYTHONPATH": "src"}
    assert "too long for a Unix socket" in run_in(recorded, ["python", "-c", script], 1, env=env).stderr
    (recorded / "mlflow.db").unlink()
    errors = run_in(recorded, "trackstack ui --local", 1).stderr
    assert errors.endswith("no such database yet; dvc repro or trackstack sync makes it\n")
    assert errors.count("\n") == 1
