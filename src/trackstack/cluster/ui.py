"""MLflow's and TensorBoard's pages: on a laptop on 127.0.0.1, on a cluster as a job behind Unix sockets.

A TCP port of a cluster's node is open to every user of it, so there is none: the sockets lie in a folder that only
its owner may enter, and `ssh -L` reaches them through the login node.

    python -P -m trackstack.cluster.ui          serve in a job, until it ends (slurm/ui.sh does it)
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from trackstack import UserError, describe_error
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system import slurm
from trackstack.system.git import user_name
from trackstack.system.programs import begin_process
from trackstack.tracking.addresses import database_to_open, mlflow_uri, refuse_closed_database, with_password
from trackstack.tracking.environment import home
from trackstack.tracking.sinks.views import path_of_runs, runs_by_name

SCRIPT, NOTES = Path("slurm/ui.sh"), Path("runs/.ui")
LONGEST_SOCKET = 100  # Linux ends the name of a Unix socket at 107 bytes
PORTS = {"mlflow": 5000, "tensorboard": 6006}
PATIENCE = 180.0
OF_ANOTHER_SERVER = re.compile(
    "MLFLOW_(SERVER|STATIC|GUNICORN|UVICORN|ARTIFACTS|REGISTRY_STORE|READ_REPLICA|ENABLE_WORK)"
)
"""Options of `mlflow server` that a person may have set for one: another address, no page, other hosts alone."""
Processes = dict[str, subprocess.Popen]


def installed_pages() -> list[str]:
    """The pages whose packages are installed: `mlflow`, `tensorboard`.

    Raises:
        UserError: neither is.
    """
    pages = [name for name in PORTS if importlib.util.find_spec(name) is not None]
    if not pages:
        raise UserError("neither mlflow nor tensorboard is installed; type: pip install 'trackstack[mlflow]'")
    return pages


def mlflow_command(place: Path, *address: str) -> list[str]:
    """The command of MLflow's server, without the database's address; UserError where nothing was recorded."""
    uri = mlflow_uri(place)
    if uri.startswith("http"):
        raise UserError(f"MLFLOW_TRACKING_URI is {uri}: that server has its own page")
    if (database := database_to_open(uri)) and not database.exists():
        raise UserError(f"{database}: no such database yet; dvc repro or trackstack sync makes it")
    artifacts = ["--default-artifact-root", str(place / "mlartifacts")]
    return [sys.executable, "-P", "-m", "mlflow", "server", "--workers", "1", *artifacts, *address]


def serve_locally(open_browser: Callable[[str], Any]) -> None:
    """Serve on 127.0.0.1 until Ctrl-C, and open the pages."""
    place, pages = home(), installed_pages()
    ports = {name: _free_port(PORTS[name]) for name in pages}
    addresses = {name: ["--host", "127.0.0.1", "--port", str(port)] for name, port in ports.items()}
    commands = {}
    if "mlflow" in pages:
        commands["mlflow"] = mlflow_command(place, *addresses["mlflow"])
    if "tensorboard" in pages:
        board = [sys.executable, "-P", "-m", "tensorboard.main", "--load_fast=false"]
        commands["tensorboard"] = [*board, "--logdir", str(runs_by_name(place)), *addresses["tensorboard"]]
    with _serving(commands, place / NOTES / "local") as processes:
        for name, port in ports.items():
            _wait_for(name, processes[name], partial(listens, processes[name].pid, port))
            address = f"http://127.0.0.1:{port}{path_of_runs(place) if name == 'mlflow' else ''}"
            print(f"{name}: {address}", flush=True)
            open_browser(address)
        print("Ctrl-C ends it", flush=True)
        _wait_for_end(processes)


def serve_in_job() -> None:
    """Serve on Unix sockets of this node until the job ends; a note in the home says where."""
    place, job = home(), slurm.job_name() or str(os.getpid())
    folder = socket_folder(job)
    sockets = {name: folder / f"{name}.sock" for name in installed_pages()}
    commands = {}
    if "mlflow" in sockets:
        commands["mlflow"] = mlflow_command(place, "--uvicorn-opts", f"--uds {shlex.quote(str(sockets['mlflow']))}")
    if "tensorboard" in sockets:
        board = [sys.executable, "-P", "-m", "trackstack.cluster.ui"]
        commands["tensorboard"] = [*board, str(sockets["tensorboard"]), str(runs_by_name(place))]
    folder.mkdir(mode=0o700)  # an error when it exists: it might be somebody else's
    path = place / NOTES / f"{job}.json"
    try:
        with _serving(commands, place / NOTES / job) as processes:
            for name, address in sockets.items():
                _wait_for(name, processes[name], partial(_answers, str(address)))
            where = {"node": socket.gethostname(), "login": os.environ.get("SLURM_SUBMIT_HOST")}
            note = {"job": job, **where, "sockets": {name: str(address) for name, address in sockets.items()}}
            note["pages"] = {"mlflow": path_of_runs(place)} if "mlflow" in sockets else {}
            write_json(path, sealed(note))
            print("\n".join(how_to_connect(note)), flush=True)
            _wait_for_end(processes)
    finally:
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def socket_folder(job: str) -> Path:
    """Where the sockets of a job lie; UserError when their names would be too long for a Unix socket."""
    folder = Path(os.environ.get("TRACKSTACK_UI_DIR", "/tmp"), f"ts-{user_name()}-{job}")
    longest = max(len(os.fsencode(folder / f"{name}.sock")) for name in PORTS)
    if longest > LONGEST_SOCKET:
        raise UserError(
            f"{folder}: too long for a Unix socket by {longest - LONGEST_SOCKET} bytes; "
            "set TRACKSTACK_UI_DIR to a shorter folder that is local to the node"
        )
    return folder


def start_job() -> dict[str, Any]:
    """Submit the job, unless there is one, and return its note as soon as it serves."""
    slurm.refuse_without_script(SCRIPT)
    if "mlflow" in installed_pages():
        mlflow_command(home())
    socket_folder("1234567")
    Path("logs").mkdir(exist_ok=True)
    job = next((note["job"] for note in jobs()), None) or _submit()
    is_first_look = True
    while job in slurm.active_tasks([job]):
        if notes := [note for note in jobs() if note["job"] == job and "sockets" in note]:
            return notes[0]
        if is_first_look:
            print(f"job {job}: waiting for a node; Ctrl-C leaves it in the queue (trackstack ui status)", flush=True)
        is_first_look = False
        time.sleep(0.5)
    raise UserError(f"job {job} has ended; its log says why: {slurm.job_field(job, 'StdOut') or 'logs/'}")


def _submit() -> str:
    command = slurm.sbatch_command(str(SCRIPT), hold=True)  # until its note is there
    job = slurm.submit(command, without=[slurm.GPU_REQUEST])
    write_json(home() / NOTES / f"{job}.json", sealed({"job": job}))
    slurm.release(job)
    return job


def jobs() -> list[dict[str, Any]]:
    """The notes of the jobs that serve this home's pages, with `sockets`, or wait to do so."""
    files = {file: _read_note(file) for file in sorted((home() / NOTES).glob("*.json"))}
    alive = slurm.active_tasks(note["job"] for note in files.values())
    for file, note in files.items():
        if note["job"] not in alive:  # killed, or cancelled in the queue
            file.unlink(missing_ok=True)
    return [note for note in files.values() if note["job"] in alive]


def _read_note(file: Path) -> dict[str, Any]:
    """A job's note; of a damaged one only the job is known, which its name says."""
    try:
        return read_json(file, "trackstack ui stop, then trackstack ui, makes another")
    except (FileNotFoundError, UserError) as error:
        print(f"warning: {describe_error(error)}", file=sys.stderr)
        return {"job": file.stem}


def how_to_connect(note: dict[str, Any]) -> list[str]:
    """What to type on one's own machine, and what to open there."""
    if "sockets" not in note:
        return [f"job {note['job']}: waits for a node; trackstack ui stop takes it out of the queue"]
    user, login, node, pages = user_name(), note["login"] or "LOGIN-NODE", note["node"], note.get("pages", {})
    forwards = [f"-L {PORTS[name]}:{shlex.quote(path)}" for name, path in note["sockets"].items()]
    return [
        "On your own machine, and leave it open (LOGIN is the name that you log in with):".replace("LOGIN", login),
        f"  ssh -N {' '.join(forwards)} -J {user}@{login} {user}@{node}",
        *(f"  {name}: http://localhost:{PORTS[name]}{pages.get(name, '')}" for name in note["sockets"]),
        f"It ends with job {note['job']}; trackstack ui stop ends it now.",
    ]


def stop_jobs() -> list[str]:
    """Cancel the jobs that serve, or wait to; return their ids."""
    ids = [note["job"] for note in jobs()]
    for job in ids:
        slurm.cancel(job)
    return ids


def serve_tensorboard(path: str, logs: str) -> None:
    """TensorBoard as the WSGI application that it is, on a Unix socket, without its data server's TCP port."""
    from tensorboard import default, program
    from werkzeug.serving import make_server

    class OnSocket(program.TensorBoardServer):
        def __init__(self, application: Any, _flags: Any):
            self._server = make_server(f"unix://{path}", 0, application, threaded=True)

        def serve_forever(self) -> None:
            self._server.serve_forever()

        def get_url(self) -> str:
            return path

    board = program.TensorBoard(default.get_plugins(), server_class=OnSocket)
    board.configure([sys.argv[0], "--logdir", logs, "--load_fast=false"])
    board.launch()  # unlike main(), it leaves no note with a port in the temporary folder
    signal.pause()


def server_environment() -> dict[str, str]:
    """The variables of the servers; a database's address may hold a password, and command lines are public."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    ours = {**quiet, "MLFLOW_BACKEND_STORE_URI": with_password(mlflow_uri(home()))}
    return {name: value for name, value in os.environ.items() if not OF_ANOTHER_SERVER.match(name)} | ours


@contextlib.contextmanager
def _serving(commands: dict[str, list[str]], logs: Path) -> Iterator[Processes]:
    """Run the servers during the block, and end them with all that they have started."""
    if "mlflow" in commands:
        refuse_closed_database(with_password(mlflow_uri(home())))
    logs.mkdir(parents=True, exist_ok=True)
    processes: Processes = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for name, command in commands.items():
            with (logs / f"{name}.log").open("w") as log:
                processes[name] = subprocess.Popen(
                    command, env=server_environment(), stdout=log, stderr=log, start_new_session=True
                )
        yield processes
    except KeyboardInterrupt:
        pass
    finally:
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(name: str, process: subprocess.Popen, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_ready():
        if time.monotonic() > deadline or process.poll() is not None:
            raise UserError(f"{name}: does not answer; its log lies in {home() / NOTES}")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(address) == 0


def listens(process: int, port: int) -> bool:
    """Whether this server has the port, or a child of it: since we chose it, somebody else's may have taken it."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process)
        for one in (parent, *parent.children(recursive=True)):
            listening = (item for item in one.net_connections("tcp4") if item.status == psutil.CONN_LISTEN)
            if any(item.laddr == ("127.0.0.1", port) for item in listening):
                return True
    return False


def _wait_for_end(processes: Processes) -> None:
    """Wait for a signal, or for a server that ends by itself, which is an error."""
    while not (ended := [name for name, process in processes.items() if process.poll() is not None]):
        time.sleep(0.5)
    raise UserError(f"{ended[0]}: ended by itself; its log lies in {home() / NOTES}")


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as server, contextlib.suppress(OSError):
            server.bind(("127.0.0.1", port))
            return server.getsockname()[1]
    raise UserError("127.0.0.1: no port is free")


if __name__ == "__main__":
    begin_process()
    try:
        serve_tensorboard(*sys.argv[1:]) if sys.argv[1:] else serve_in_job()
    except (UserError, OSError) as error:
        sys.exit(describe_error(error))
