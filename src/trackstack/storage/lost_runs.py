"""Run folders that are gone come back from what git has: a shared record, an experiment, or a branch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.records.rebuild import rebuild
from trackstack.sharing.folders import write_files
from trackstack.sharing.record import RUN, SharedObject
from trackstack.sharing.refs import RECORDS, SOURCES, read_record
from trackstack.sharing.transfer import fetch_objects, place_of
from trackstack.storage.garbage import REMOVED
from trackstack.storage.needs import Checkout
from trackstack.storage.references import is_experiment, refs_of
from trackstack.tracking.environment import destinations
from trackstack.tracking.journal import journals


def lost_runs(checkout: Checkout, refs: dict[str, str]) -> list[str]:
    """The ids of runs of which git keeps source or record, and the home has nothing."""
    runs = {ref.removeprefix(prefix) for prefix in (SOURCES, RECORDS) for ref in refs if ref.startswith(prefix)}
    folders = {run: checkout.home / "runs" / run for run in runs if RUN.fullmatch(run)}
    return sorted(run for run, folder in folders.items() if not (folder.is_dir() and journals(folder)))


def restore_runs(checkout: Checkout, repo: Any, report: Callable[[str], None]) -> Iterator[str]:
    """Write the folders of lost runs anew; yield a line for each of which nobody has the record.

    Args:
        repo: the checkout as DVC sees it.
        report: is given a line for each that came back.
    """
    refs = refs_of(checkout.root)
    for run in lost_runs(checkout, refs):
        if commit := refs.get(f"{RECORDS}{run}"):
            try:
                _write_from_record(run, commit, checkout, repo)
                report(f"run {run}: written anew from the record that was shared")
            except UserError as error:
                yield str(error)
    if lost_runs(checkout, refs):
        branches = [ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/")]
        for revision in [*(ref.rpartition("/")[2] for ref in refs if is_experiment(ref)), *branches]:
            with (
                contextlib.suppress(UserError),
                contextlib.chdir(checkout.root),
            ):  # of no run, or its figures are gone
                run, is_new = rebuild(revision, checkout.home)
                if is_new:
                    report(f"run {run}: rebuilt from {revision}, as far as DVC has it")
    for run in lost_runs(checkout, refs):
        if (checkout.home / "runs" / REMOVED / run).exists():
            yield f"run {run}: its removal was interrupted; type: trackstack gc"
        else:
            yield f"run {run}: nobody has its record; git keeps its source: git show {SOURCES}{run}"


def _write_from_record(run: str, commit: str, checkout: Checkout, repo: Any) -> None:
    files = read_record(checkout.root, run, commit)[1]
    large = [SharedObject(path=name, md5=file.md5) for name, file in files.items() if file.md5]
    for remote in sorted(repo.config["remote"]) if large else ():
        fetch_objects(repo, large, remote)
    folder: Path = checkout.home / "runs" / run
    write_files(folder, files, {}, destinations(checkout.home), lambda md5: place_of(repo, md5))
