"""Many processes that start at once on an empty home: does every run arrive, once?

    python benchmarks/many_writers.py [--processes 64] [--epochs 50]

Each logs three metrics per epoch to SQLite and MLflow, whose databases do not exist yet. The tests do it with 8.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
SCRIPT = """
import sys
import trackstack

epochs = int(sys.argv[2])
with trackstack.start_run(sys.argv[1], {"name": sys.argv[1]}) as run:
    for epoch in range(epochs):
        run.log({"train_loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1), "val_accuracy": epoch / epochs}, epoch)
"""


def main() -> None:
    """Start the processes, wait for the last, and count what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "script.py").write_text(SCRIPT)
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TRACKSTACK_HOME": str(home)}
        environment |= {"TRACKSTACK_SINKS": "sqlite,mlflow", "TRACKSTACK_SYNC_WAIT": "1800"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        began = time.monotonic()
        processes = [
            subprocess.Popen(
                [sys.executable, "-P", "script.py", f"run-{number}", str(options.epochs)],
                cwd=home,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(options.processes)
        ]
        errors = [process.communicate()[1] for process in processes]
        seconds = time.monotonic() - began
        print(f"{options.processes} processes, {seconds:.0f} s until the last had exited")
        print(f"exit codes: {sorted({process.returncode for process in processes})}, printed: {sorted(set(errors))}")
        count(home / "project.db", "SELECT count(*), status FROM runs GROUP BY status", "SQLite runs")
        count(home / "project.db", "SELECT count(*) FROM metrics", "SQLite points")
        count(home / "mlflow.db", "SELECT count(*), status FROM runs GROUP BY status", "MLflow runs")
        count(home / "mlflow.db", "SELECT count(*) FROM metrics WHERE key NOT LIKE 'system/%'", "MLflow points")


def count(database: Path, sql: str, what: str) -> None:
    """Print what a query finds."""
    connection = sqlite3.connect(database)
    print(f"{what}: {connection.execute(sql).fetchall()}")
    connection.close()


if __name__ == "__main__":
    main()
