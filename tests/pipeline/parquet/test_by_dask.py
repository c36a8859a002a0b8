"""Parts made by Dask's workers on a real Slurm of two nodes: the bytes are those of threads, whatever dies."""

import contextlib
import sys
from itertools import chain, repeat
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from support.conversion import MANY_REJECTED, contents, entry
from support.processes import until
from support.projects import ROOT, command_environment, run_in

from pipeline.ingest.manifest import build_manifest, read_manifest
from pipeline.parquet import by_dask
from pipeline.parquet.stage import convert
from trackstack import UserError
from trackstack.core.files import write_json

FILES, ROWS = 24, 50_000  # so many that a test comes in the middle
CONVERT = """
import sys
from pathlib import Path
from trackstack import UserError

if __name__ == "__main__":
    from pipeline.ingest.manifest import read_manifest
    from pipeline.parquet.params import Params
    from pipeline.parquet.stage import convert

    try:
        convert(read_manifest(Path("manifest.json")), Path("raw"), Path("out"), Params(compression="zstd", max_rejected=99))
    except UserError as error:
        sys.exit(str(error))
"""
ANOTHER_USER = """
import logging, os, sys
from distributed import Client
from distributed.security import Security

logging.disable(logging.CRITICAL)
own_keys = Security.temporary()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    os.listdir(sys.argv[1])
except PermissionError:
    print("no key")
for port in sys.argv[2:]:
    for kind, security in (("tcp", None), ("tls", own_keys)):
        try:
            Client(f"{kind}://127.0.0.1:{port}", security=security, timeout=5, set_as_default=False)
        except OSError:
            print("refused")
"""


@pytest.fixture
def place(tmp_path, run):
    """Some files, and what threads make of them in `right`."""
    (tmp_path / "raw").mkdir()
    for number in range(FILES):
        lines = [f"{row // 500},{number},{row / 7:.6f},{number}.5,2,up" for row in range(ROWS)]
        lines[777] = "bad"
        text = "\n".join(["recording,subject,ax,ay,az,label", *lines, ""])
        (tmp_path / f"raw/{number}.csv").write_text(text)
    manifest = build_manifest("tiny", entry(FILES * ROWS), tmp_path / "raw")
    write_json(tmp_path / "manifest.json", manifest.model_dump(mode="json"))
    (tmp_path / "convert.py").write_text(CONVERT)
    environment = command_environment() | {"PYTHONPATH": str(ROOT / "src")}
    run_in(tmp_path, "python -P convert.py && mv out right", env=environment)
    return tmp_path


def test_the_workers_of_a_persons_own_scheduler_make_the_same_files(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    settings = {"processes": False, "threads_per_worker": 3, "protocol": "tcp", "dashboard_address": None}
    with LocalCluster(1, local_directory=str(place), **settings) as own:
        for name in (own.scheduler_address, "scheduler.json"):
            write_json(place / "scheduler.json", {"address": own.scheduler_address})
            monkeypatch.setenv("TRACKSTACK_DASK", name)
            convert(read_manifest(Path("manifest.json")), Path("raw"), Path("out"), MANY_REJECTED)
            assert capsys.readouterr().err == (
                f"{own.scheduler_address}: without TLS, whoever reaches it can run code as you; see docs/osc.md\n"
            )
            assert_right(place)
        monkeypatch.setattr(by_dask, "code_digest", chain(["new"], repeat("old")).__next__)
        with pytest.raises(UserError) as caught:
            convert(read_manifest(Path("manifest.json")), Path("raw"), Path("out"), MANY_REJECTED)
    assert str(caught.value) == (
        "a Dask worker has other code than this checkout; start it again here, with PYTHONPATH=src"
    )


def submit(cluster, place, *options):
    command = ["sbatch", "--parsable", "--nodes=2", "--output=log", *options, "--wrap=exec python -P convert.py"]
    settings = {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(place)}
    return cluster.run(place, command, **settings).stdout.strip()


def processes(place, *words):
    """Those of a conversion whose command line has all these words."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if all(word in command for word in words) and process.cwd() == str(place) and "srun" not in command[:9]:
                found.append(process)
    return found


def workers(place):
    """Those that make parts, not those that watch over them."""
    return processes(place, "spawn_main")


def finished_parts(place):
    return [folder for folder in place.glob(".out.parts.partial/*/*") if len(folder.name) == 64]


def assert_right(place):
    assert contents(place / "out") == contents(place / "right")
    assert not list(place.glob(".out.*"))


def test_a_worker_that_is_killed_changes_nothing_and_nobody_else_can_connect(cluster, place):
    job = submit(cluster, place)
    until(lambda: finished_parts(place), "a part")
    stopped = workers(place)
    for worker in stopped:
        worker.suspend()
    assert len(finished_parts(place)) < FILES, "in the middle"
    servers = processes(place, "trackstack.system.dask_node")
    ports = {one.laddr.port for server in servers for one in server.net_connections() if one.status == "LISTEN"}
    (keys,) = place.glob(".out.parts.partial/*/dask-*")
    assert keys.stat().st_mode & 0o777 == 0o700
    command = [sys.executable, "-c", ANOTHER_USER, str(keys), *map(str, ports)]
    assert run_in(place, command).stdout.split("\n") == ["no key", *["refused"] * 2 * len(ports), ""]
    stopped[0].kill()
    for worker in stopped[1:]:
        worker.resume()
    cluster.wait(job)
    assert_right(place)
    assert (place / "log").read_text() == ""


def test_a_killed_stage_ends_its_four_workers_and_the_next_one_goes_on_from_its_parts(cluster, place):
    job = submit(cluster, place, "--ntasks-per-node=2")
    until(lambda: processes(place, "convert.py"), "the stage")
    (stage,) = processes(place, "convert.py")
    until(lambda: finished_parts(place), "a part")
    stage.kill()
    cluster.wait(job, "FAILED")
    until(lambda: not (processes(place, "dask_node") or workers(place)), "the end of the workers")
    kept = {(folder / "rows.parquet").stat().st_ino for folder in finished_parts(place)}
    assert 0 < len(kept) < FILES
    cluster.wait(submit(cluster, place, "--ntasks-per-node=2"))
    assert kept <= {file.stat().st_ino for file in (place / "out/rows").iterdir()}
    assert_right(place)
