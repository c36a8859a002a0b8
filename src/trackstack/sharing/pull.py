"""`trackstack pull`: what others have pushed is checked, then put beside what this home has.

Nothing is overwritten; typed again it completes whatever was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError, describe_error
from trackstack.sharing.folders import files_of, write_files
from trackstack.sharing.merging import Files, attempts_of, merge
from trackstack.sharing.push import Shared
from trackstack.sharing.record import RUN, Record, SharedObject
from trackstack.sharing.refs import (
    RECORDS,
    SOURCES,
    choose_remote,
    fetch_refs,
    last_files,
    read_record,
    refs_at,
    refs_here,
)
from trackstack.sharing.transfer import fetch_objects, open_repository, place_of
from trackstack.system.git import git
from trackstack.tracking.environment import destinations
from trackstack.tracking.journal import journals


class _Theirs(NamedTuple):
    """What a remote has of a run, checked."""

    commit: str
    record: Record
    files: Files


def pull_runs(
    keys: list[str], root: Path, home: Path, git_remote: str | None = None, dvc_remote: str | None = None
) -> Shared:
    """Pull runs into a home by the remotes of a repository; without keys, all that were pushed.

    Args:
        keys: ids, their beginnings, or names of runs.

    Raises:
        UserError: no such run, no remote, or one that cannot be reached.
    """
    done = Shared()
    remote = choose_remote(root, git_remote)
    there = {
        ref.removeprefix(RECORDS): commit for ref, commit in refs_at(root, remote).items() if ref.startswith(RECORDS)
    }
    here = refs_here(root)
    theirs = _chosen(keys, root, home, remote, here, there, done)
    with open_repository(root) as repo:
        wanted = dict.fromkeys(item for one in theirs.values() for item in _objects(one.record))
        moved = fetch_objects(repo, wanted, dvc_remote)
        done.objects, done.size = moved.objects, moved.size
        for run, one in theirs.items():
            missing = [item for item in _objects(one.record) if item in moved.missing]
            done.problems += [f"{run}: {item.path}: {moved.missing[item]}" for item in missing]
            if one.record.left_out:
                done.left_out[run] = one.record.left_out
            try:
                new = _take(run, one, root, home, here, lambda md5: place_of(repo, md5))
            except (UserError, OSError) as error:
                done.problems.append(f"{run}: {describe_error(error)}")
                continue
            done.runs[run] = "pulled" if new else "is here already"
            _take_refs(run, one, root, here, done)
            if not missing:
                git(root, "update-ref", f"{RECORDS}{run}", one.commit)
    return done


def _chosen(
    keys: list[str],
    root: Path,
    home: Path,
    remote: str,
    here: dict[str, str],
    there: dict[str, str],
    done: Shared,
) -> dict[str, _Theirs]:
    """The runs that were asked for; of all those, the ones of which something may be missing here."""
    runs = [run for run in sorted(there) if RUN.fullmatch(run)]
    done.problems += [f"{run!r} at {remote} is no name for a run" for run in sorted({*there} - {*runs})]
    if not keys:
        same = [run for run in runs if here.get(f"{RECORDS}{run}") == there[run] and _is_in(home, run)]
        done.runs |= dict.fromkeys(same, "is here already")
        runs = [run for run in runs if run not in same]
    by_key = {
        key: [run for run in runs if run == key] or [run for run in runs if run.startswith(key)] for key in keys
    }
    by_id = [run for found in by_key.values() for run in found]
    looked_at = runs if not all(by_key.values()) or not keys else by_id
    fetch_refs(root, remote, [f"{RECORDS}{run}" for run in looked_at])
    found: dict[str, _Theirs] = {}
    for run in dict.fromkeys(looked_at):
        try:
            found[run] = _Theirs(there[run], *read_record(root, run, there[run]))
        except UserError as error:
            if not keys or run in by_id:
                done.problems.append(str(error))
    for key, matching in by_key.items():
        if len(matching) > 1:
            raise UserError(
                f"{key}: {len(matching)} runs at {remote} match ({', '.join(matching[:5])}); type more of the id"
            )
        if not matching:
            named = [run for run, one in found.items() if any(a.start["name"] == key for a in attempts_of(one.files))]
            if not named:
                raise UserError(f"{key}: no such run at {remote}; whoever has it: trackstack push")
            by_id += named
    return {run: one for run, one in found.items() if run in by_id} if keys else found


def _is_in(home: Path, run: str) -> bool:
    folder = home / "runs" / run
    return folder.is_dir() and bool(journals(folder))


def _objects(record: Record) -> list[SharedObject]:
    """All that the run needs of DVC, its own large files among it."""
    known = {item.md5 for item in record.objects}
    kept = [(name, file.md5) for name, file in record.files.items() if file.md5 and file.md5 not in known]
    return record.objects + [SharedObject(path=f"runs/{record.run}/{name}", md5=md5) for name, md5 in kept]


def _take(
    run: str, theirs: _Theirs, root: Path, home: Path, here: dict[str, str], find: Callable[[str], Path]
) -> int:
    """Put a record into the home; how many files of it were new."""
    folder = home / "runs" / run
    base = last_files(root, run, here.get(f"{RECORDS}{run}"))
    before, _ = files_of(folder, with_digests=False)
    merged = merge(before, theirs.files, base)
    return write_files(folder, merged, before, destinations(home), find)


def _take_refs(run: str, theirs: _Theirs, root: Path, here: dict[str, str], done: Shared) -> None:
    """Make the refs of its source and its experiments, where there are none of that name."""
    refs = {f"{SOURCES}{run}": theirs.record.source} | theirs.record.experiments
    for ref, commit in refs.items():
        known = here.get(ref)
        if commit and known is None:
            git(root, "update-ref", ref, commit)
        elif commit and known != commit and not ref.startswith(SOURCES):
            done.problems.append(
                f"{run}: another experiment {ref.rpartition('/')[2]} is here; its own is commit {commit[:10]}"
            )
