"""What the benchmarks share: peers that take turns, each in a process of its own, and tables of what came out."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
PACKAGES = ("polars", "pyarrow", "pandas", "duckdb", "torch", "safetensors", "numpy")

# A child runs one way once and prints what it took; imports are not counted. Peak memory is the whole process's;
# getrusage would tell that of the process which started it, if that was larger.
CHILD = """
import json, re, runpy, sys, time
module = runpy.run_path(sys.argv[1])
work = module["prepare"](*sys.argv[2:])
began, cpu = time.perf_counter(), time.process_time()
work()
seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak}))
"""


def machine() -> str:
    """The machine and the versions that a figure belongs to."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Python {platform.python_version()}; "
        f"{packages}; load {os.getloadavg()[0]:.1f}"
    )


def in_child(script: str, *arguments: object) -> dict:
    """Run `prepare(*arguments)()` of a script in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", CHILD, script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script} {' '.join(map(str, arguments))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def alternate(ways: dict[str, Callable[[], dict]], rounds: int) -> dict[str, list[dict]]:
    """Let the ways take turns, so that a busy moment of the machine hits them alike."""
    found: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def best(results: list[dict], what: str = "seconds") -> float:
    """The smallest of a figure: what the machine can do when nothing else wants it."""
    return min(result[what] for result in results)


def ratio(ours: list[dict], peer: list[dict], what: str = "seconds") -> float:
    """The median over the rounds of ours divided by the peer's of the same round."""
    return statistics.median(one[what] / other[what] for one, other in zip(ours, peer, strict=True))


def timed(work: Callable[[], object], repeats: int = 1) -> dict:
    """Time a call in this process: seconds for one of several repeats."""
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return {"seconds": (time.perf_counter() - began) / repeats}


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table in Markdown, as docs/performance.md shows it."""
    print(f"\n### {title}\n")
    for line in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(line) + " |")
    sys.stdout.flush()
