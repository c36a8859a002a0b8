"""Which DVC objects a run needs: what it was made from, and what was made with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.core.dvc_yaml import locked_stages, overlap
from trackstack.records.lineage import recorded_items
from trackstack.records.rebuild import locked_stages_of
from trackstack.sharing.record import LeftOut, SharedObject, is_inside
from trackstack.system.git import try_git

Lock = dict[str, dict[str, Any]]
"""The entries of dvc.lock by their stages' addresses."""


class Needs:
    """Asks one checkout, whose dvc.yaml says what is in git and what is not pushed, for the needs of its runs."""

    def __init__(self, root: Path, outputs: dict[str, Any]):
        self._root, self._outputs = root, outputs
        self._present = [locked_stages(root)]
        if head := try_git(root, "rev-parse", "--verify", "--quiet", "HEAD"):
            self._present.append(dict(locked_stages_of(head, root)))

    def of(
        self, upstream: list[dict[str, Any]], own: Lock, experiments: list[str]
    ) -> tuple[list[SharedObject], list[LeftOut]]:
        """The objects of a run, and the outputs that it needs and nobody may push.

        Args:
            upstream: what its attempts recorded; see `trackstack.tracking.upstream`.
            own: the entries of dvc.lock of the stages that recorded it, as far as they are known.
            experiments: commits of its DVC experiments.
        """
        found: dict[tuple[str, str], SharedObject] = {}
        left_out: dict[str, LeftOut] = {}
        for entry in self._entries(upstream, own, experiments):
            path, value = entry["path"], entry["md5"]
            output = self._outputs.get(path)
            if output is not None and not output.use_cache:
                continue  # git has it
            if not is_inside(path):
                left_out[path] = LeftOut(path=path, why="it lies outside of the repository")
                continue
            if not entry.get("push", output is None or output.can_push):
                left_out[path] = LeftOut(path=path, why="push: false in its dvc.yaml; dvc repro makes it again")
                continue
            remote = entry.get("remote") or (output.remote if output is not None else None)
            kind = entry.get("hash", "md5-dos2unix")
            found[path, value] = SharedObject(path=path, md5=value, hash=kind, remote=remote)
        return [found[key] for key in sorted(found)], [left_out[path] for path in sorted(left_out)]

    def _entries(self, upstream: list[dict[str, Any]], own: Lock, experiments: list[str]) -> Iterator[dict[str, Any]]:
        data = {entry["path"]: entry for record in upstream for entry in record.get("data", [])}
        for item in recorded_items(upstream)[0]:
            if not item.what.endswith(": dependency"):
                yield data.get(item.path, {}) | {"path": item.path, "md5": item.value, "hash": item.algorithm}
        yield from (out for entry in own.values() for out in entry.get("outs", []) if "md5" in out)
        for lock in self._present + [dict(locked_stages_of(commit, self._root)) for commit in experiments]:
            yield from (out for out in made_with(own, lock) if "md5" in out)


def made_with(own: Lock, lock: Lock) -> list[dict[str, Any]]:
    """The outputs in a dvc.lock of the stages that go on from those that recorded a run, directly or not.

    Nothing, unless the lock is of this very run: it has their entries.
    """
    found = waiting = [address for address, entry in own.items() if lock.get(address) == entry]
    while waiting:
        made = [out for name in waiting for out in lock[name].get("outs", [])]
        waiting = [name for name, entry in lock.items() if name not in found and _goes_on(entry, made)]
        found = found + waiting
    return [out for name in found for out in lock[name].get("outs", [])]


def _goes_on(entry: dict[str, Any], made: list[dict[str, Any]]) -> bool:
    """Whether a stage read one of these outputs, as it was made."""
    return any(
        dep.get("md5") == out.get("md5") if dep["path"] == out["path"] else overlap(dep["path"], out["path"])
        for dep in entry.get("deps", [])
        for out in made
    )
