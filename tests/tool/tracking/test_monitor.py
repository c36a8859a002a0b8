"""What a run used: by the kernel's own counters, children among them."""

import importlib.abc
import multiprocessing
import subprocess
import sys
import threading

import psutil
import pytest

from trackstack.tracking.monitor import Monitor

BURN = "import time\nx = bytearray({mib} << 20)\nwhile time.process_time() < {seconds}: pass"


def test_children_that_have_ended_count_and_those_with_a_session_of_their_own_do_not():
    monitor = Monitor(lambda sample: None)
    before = psutil.Process().cpu_times()
    burn = [sys.executable, "-S", "-c", BURN.format(mib=0, seconds=0.6)]
    with subprocess.Popen([*burn[:-1], BURN.format(mib=0, seconds=60)], start_new_session=True) as apart:
        subprocess.run(burn, check=True)
        usage = monitor.stop()
        apart.kill()
    after = psutil.Process().cpu_times()
    expected = sum(after[:4]) - sum(before[:4]) - (apart_seconds(after, before))
    assert usage["cpu_seconds"] == pytest.approx(expected, abs=0.15)
    assert usage["cpu_seconds"] >= 0.6
    assert usage["gpus"] == [] or usage["gpus"][0]["name"]


def apart_seconds(after, before):
    """Of the process that was killed: once it was waited for, the kernel counts it with the children."""
    return sum(after[2:4]) - sum(before[2:4]) - 0.6


def test_memory_is_that_of_all_processes_together_at_the_most():
    monitor = Monitor(lambda sample: None)
    script = BURN.format(mib=300, seconds=0) + "\nprint('there', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        own = psutil.Process().memory_info().rss / 2**20
        usage = monitor.stop()
        child.communicate("\n")
    assert usage["memory_peak_mb"] > own + 290


def test_workers_that_a_run_forks_count():
    monitor = Monitor(lambda sample: None)
    worker = multiprocessing.get_context("fork").Process(target=exec, args=(BURN.format(mib=0, seconds=0.5),))
    worker.start()
    worker.join()
    assert monitor.stop()["cpu_seconds"] >= 0.45


def test_a_process_that_is_forked_while_a_run_begins_finds_no_import_under_way(monkeypatch):
    """It would wait for it for ever, as a pool of processes that record runs of their own did."""
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    threads = []

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            threads.extend([threading.current_thread().name] if name == "pynvml" else [])

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    Monitor(lambda values: None).stop()
    assert set(threads) == {threading.main_thread().name}
