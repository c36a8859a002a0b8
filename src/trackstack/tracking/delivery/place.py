"""Where the runs of a home wait for their deliverer: `runs/.delivery/USER/SETTINGS/HOST/`.

    lock           held by the deliverer as long as it lives
    starting.lock  held by the run that has started one, until that has its lock
    deliverer.json its process
    log            what it, and the back ends in it, print
    waiting/RUN.N  attempt N at a run: whether it has ended, and where its modules are imported from

One deliverer serves one host, since what a process on another host sees of a file that grows lags behind by up to a
minute on a network file system, and an ending run waits for its points. It serves one user, as whose it writes, and
runs whose back ends are set up alike: their variables hold passwords, which no record may keep, so they are handed
from the run that starts a deliverer to it and to nobody else. As the name of SETTINGS comes from them, a user's
folder is nobody else's to read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trackstack.system.locks import is_locked

FOLDER = ".delivery"
SETTINGS = re.compile(
    r"(MLFLOW|WANDB|AWS|AZURE|GOOGLE|DATABRICKS|PG|SSL|REQUESTS|CURL)_?\w*|(HTTPS?|NO|ALL)_PROXY|HOME|NETRC"
    r"|TRACKSTACK_LOG_MODELS",
    re.IGNORECASE,
)
"""The environment variables that a back end reads while it delivers."""
MOUNTS = Path("/proc/self/ns/mnt")
PACKAGE = str(Path(__file__).resolve().parents[3])
"""Where this very trackstack is imported from."""
OF_ONE_RUN = {"MLFLOW_RUN_NAME", "MLFLOW_EXPERIMENT_NAME"}
"""Those that are in a run's own record."""


class Waiting(NamedTuple):
    """An attempt at a run that waits for its delivery."""

    file: Path
    run: str
    ended: bool
    """Whether its writer said that it has ended; one that was killed did not."""
    import_folders: list[str]


class Place:
    """One deliverer's folder."""

    def __init__(self, home: Path, folder: Path):
        self.home, self.folder = home, folder
        self.lock, self.starting = folder / "lock", folder / "starting.lock"
        self.note, self.log, self.waiting = folder / "deliverer.json", folder / "log", folder / "waiting"

    def _make(self) -> None:
        user = self.folder.parents[1]
        user.parent.mkdir(parents=True, exist_ok=True)
        user.mkdir(mode=0o700, exist_ok=True)
        self.waiting.mkdir(parents=True, exist_ok=True)

    def is_served(self) -> bool:
        """Whether a deliverer lives; not for itself to ask."""
        return self.lock.exists() and is_locked(self.lock)

    def deliverer(self) -> int | None:
        """The process that is or was the deliverer."""
        try:
            return json.loads(self.note.read_bytes())["pid"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, run: str, attempt: int, import_folders: list[str], ended: bool = False) -> None:
        """Let an attempt wait, or say that it has ended."""
        self._make()
        partial = self.waiting / f".{run}.{attempt}"
        partial.write_text(json.dumps({"ended": ended, "import_folders": import_folders}))
        partial.replace(self.waiting / f"{run}.{attempt}")

    def list_waiting(self) -> Iterator[Waiting]:
        """What waits here."""
        for file in sorted(self.waiting.glob("[!.]*")):
            try:
                content: dict[str, Any] = json.loads(file.read_bytes())
                yield Waiting(
                    file, file.name.rpartition(".")[0], bool(content["ended"]), list(content["import_folders"])
                )
            except (OSError, ValueError, KeyError, TypeError):  # damaged: what it says is of use, but not needed
                yield Waiting(file, file.name.rpartition(".")[0], False, [])

    def others(self) -> list[Place]:
        """The places of other hosts' deliverers for runs like those here."""
        folders = self.folder.parent.glob("*/")
        return [Place(self.home, folder) for folder in folders if folder != self.folder]


def own_place(home: Path) -> Place:
    """Where the runs of this process wait."""
    host = socket.gethostname()
    with contextlib.suppress(OSError):  # what is mounted in one container or job is not there in another one
        host += re.sub(r"[^0-9]+", ".", str(MOUNTS.readlink())).rstrip(".")
    return Place(home, home / "runs" / FOLDER / str(os.getuid()) / settings_digest(os.environ) / host)


def settings_digest(environment: Mapping[str, str]) -> str:
    """Equal for processes whose back ends do the same: by interpreter, package and the variables that they read."""
    chosen = sorted(
        (name, value) for name, value in environment.items() if SETTINGS.fullmatch(name) and name not in OF_ONE_RUN
    )
    text = json.dumps([sys.executable, PACKAGE, chosen])  # which is ASCII
    return hashlib.sha256(text.encode()).hexdigest()[:12]
