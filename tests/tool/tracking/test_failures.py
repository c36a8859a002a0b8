"""Back ends that fail while a real process trains: it ends well with one warning, and nothing is lost or doubled."""

import contextlib
import shlex
import socket
import socketserver
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from support.recording import (
    SCRIPT,
    but_for_delays,
    environment,
    in_back_ends,
    in_journals,
    in_mlflow,
    start,
    trackstack,
    wait_until_nobody_delivers,
)
from support.servers import failing, hanging, refusing


def warnings_of(output):
    lines = output.splitlines()
    assert all(line.startswith("warning: ") and "trackstack sync delivers it" in line for line in lines), output
    return [line.removeprefix("warning: ").partition(":")[0] for line in lines]


def train_in_namespace(home, sinks, mount):
    """Train where something is mounted that nobody else sees and that is gone with the last process."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=900, check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    (home / "script.py").write_text(SCRIPT)
    command = f"{mount} && exec {shlex.quote(sys.executable)} -P script.py mine 5"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        cwd=home,
        env=environment(home, sinks),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_until_nobody_delivers(home)
    return done.stderr


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount --bind disk disk && mount -o remount,bind,ro disk", "Read-only file system"),
        ("mount -t tmpfs -o size=16k tmpfs disk", "database or disk is full"),
    ],
    ids=["read-only", "full"],
)
def test_a_disk_that_is_read_only_or_full_costs_one_warning(tmp_path, mount, reason):
    (tmp_path / "disk").mkdir()
    (tmp_path / "project.db").symlink_to("disk/project.db")
    output = train_in_namespace(tmp_path, "sqlite,tensorboard", mount)
    assert warnings_of(output) == ["sqlite"]
    assert reason in output
    assert in_back_ends(tmp_path, ("tensorboard",)) == {"tensorboard": sorted(in_journals(tmp_path))}
    for _ in range(2):
        trackstack(tmp_path, "sync")
        assert in_back_ends(tmp_path, ("sqlite",)) == {"sqlite": sorted(in_journals(tmp_path))}


@contextlib.contextmanager
def forwarding(port, to):
    """What comes to a port goes on to another one: the server that was down is back."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", to)) as other:
                back = threading.Thread(target=copy, args=(other, self.request), daemon=True)
                back.start()
                copy(self.request, other)
                back.join()

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", port), Forward) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.xdist_group("mlflow_server")
def test_a_bad_tracking_server_costs_one_warning_and_a_good_one_gets_everything(tmp_path, mlflow_server):
    sinks = "sqlite,mlflow,tensorboard"
    with refusing() as closed, hanging() as silent, failing() as broken:
        ports = [closed, silent, broken]
        processes = [
            start(tmp_path, sinks, f"run-{port}", "5", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
            for port in ports
        ]
        outputs = [process.communicate(timeout=900) for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert [warnings_of(error).count("mlflow") for _, error in outputs] == [1, 1, 1]
        assert all(warnings_of(but_for_delays(error)) in ([], ["mlflow"]) for _, error in outputs)
        wait_until_nobody_delivers(tmp_path)
    expected = sorted(in_journals(tmp_path))
    assert in_back_ends(tmp_path, ("sqlite", "tensorboard")) == {"sqlite": expected, "tensorboard": expected}
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(forwarding(port, urlsplit(mlflow_server).port))
        for _ in range(2):
            trackstack(tmp_path, "sync")
        assert sorted(in_mlflow(tmp_path, mlflow_server)) == expected
