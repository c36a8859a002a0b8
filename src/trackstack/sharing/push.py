"""`trackstack push`: first the data, then the record, so that a ref never promises what is not there.

Typed again it completes whatever was interrupted. Where somebody else has pushed the same run meanwhile, their record
and this home's are put together, and pushed once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.own_stages import own_entries
from trackstack.records.query import find_run, read_run, run_folders
from trackstack.sharing.folders import files_of
from trackstack.sharing.merging import Files, attempts_of, merge
from trackstack.sharing.needs import Needs
from trackstack.sharing.record import EXPERIMENT, RUN, LeftOut, Record, SharedObject, check_journals, described
from trackstack.sharing.refs import (
    RECORDS,
    SOURCES,
    choose_remote,
    fetch_refs,
    has_commit,
    last_files,
    read_record,
    refs_at,
    refs_here,
    write_record,
)
from trackstack.sharing.transfer import object_of_file, open_repository, outputs_of, push_objects
from trackstack.system.git import git

MOST_TRIES = 8
"""How often a push that others were faster than is begun anew."""


@dataclass
class Shared:
    """What a push or a pull did."""

    runs: dict[str, str] = field(default_factory=dict)
    """What became of each run."""
    objects: int = 0
    size: int = 0
    """Bytes of these objects of DVC."""
    left_out: dict[str, list[LeftOut]] = field(default_factory=dict)
    """By run: what it needs, and its record does not bring."""
    notes: list[str] = field(default_factory=list)
    """What is worth a line, and no fault."""
    problems: list[str] = field(default_factory=list)
    """A line for each thing that did not come through."""


class _Own(NamedTuple):
    """What this home has of a run."""

    folder: Path
    files: Files
    objects: list[SharedObject]
    copies: list[SharedObject]
    """Kept copies that are too large for git."""
    left_out: list[LeftOut]
    source: str | None
    experiments: dict[str, str]
    commits: list[str]
    """That its attempts name."""


def push_runs(
    keys: list[str],
    root: Path,
    home: Path,
    git_remote: str | None = None,
    dvc_remote: str | None = None,
    dry_run: bool = False,
) -> Shared:
    """Push runs of a home by the remotes of a repository; without keys, all that have finished.

    Raises:
        UserError: no such run, no remote, or one that cannot be reached or written.
    """
    done = Shared()
    folders = _chosen(keys, home, done)
    remote = choose_remote(root, git_remote)
    here, there = refs_here(root), refs_at(root, remote)
    with open_repository(root) as repo:
        needs = Needs(root, outputs_of(repo))
        own = {folder.name: _own(folder, root, repo, needs, here, done) for folder in folders}
        wanted = dict.fromkeys(item for one in own.values() for item in one.objects + one.copies)
        moved = push_objects(repo, wanted, dvc_remote, dry_run)
    done.objects, done.size = moved.objects, moved.size
    for run, one in own.items():
        own[run] = _without_missing(run, one, moved.missing, done)
    _push_refs(own, root, remote, here, there, dry_run, done)
    return done


def _chosen(keys: list[str], home: Path, done: Shared) -> list[Path]:
    if keys:
        chosen = list(dict.fromkeys(find_run(home, key).series.folder for key in keys))
    else:
        every = [read_run(folder) for folder in run_folders(home)]
        chosen = [record.folder for record in every if any(one.series.status == "finished" for one in record.series)]
        if rest := len(every) - len(chosen):
            done.notes.append(f"{rest} of {len(every)} runs have not finished, and are pushed by name only")
    bad = [folder.name for folder in chosen if not RUN.fullmatch(folder.name)]
    done.problems += [f"{name}: is no name for a shared run; expected letters, digits, - and _" for name in bad]
    return [folder for folder in chosen if folder.name not in bad]


def _own(folder: Path, root: Path, repo: Any, needs: Needs, here: dict[str, str], done: Shared) -> _Own:
    own = {name: entry for run in read_run(folder).series for name, entry in own_entries(run.series, root).items()}
    files, lines = files_of(folder)
    done.problems += lines
    copies = []
    for name, content in files.items():
        if content.data is None and content.path:
            md5 = object_of_file(repo, content.path)
            files[name] = content._replace(md5=md5)
            copies.append(SharedObject(path=f"runs/{folder.name}/{name}", md5=md5))
    starts = [attempt.start for attempt in attempts_of(files)]
    names = {start["tags"].get("dvc_exp") for start in starts} - {None}
    known = {ref: commit for ref, commit in here.items() if EXPERIMENT.fullmatch(ref)}
    experiments = {ref: commit for ref, commit in known.items() if ref.rpartition("/")[2] in names}
    upstream = [start["upstream"] for start in starts if start.get("upstream")]
    needed, left_out = needs.of(upstream, own, list(experiments.values()))
    source = here.get(f"{SOURCES}{folder.name}")
    said = [start["tags"].get(name) for start in starts for name in ("source", "git_commit")]
    commits = [commit for commit in dict.fromkeys([source, *said]) if has_commit(root, commit)]
    return _Own(folder, files, needed, copies, left_out, source, experiments, commits)


def _without_missing(run: str, own: _Own, missing: dict[SharedObject, str], done: Shared) -> _Own:
    """What nobody has is said in the record, and does not keep the rest of it back."""
    gone = [LeftOut(path=item.path, why=f"nobody had it: {missing[item]}") for item in own.objects if item in missing]
    done.problems += [f"{run}: {item.path}: {missing[item]}" for item in own.objects if item in missing]
    own = own._replace(objects=[item for item in own.objects if item not in missing], left_out=own.left_out + gone)
    if own.left_out:
        done.left_out[run] = own.left_out
    return own


def _push_refs(
    own: dict[str, _Own],
    root: Path,
    remote: str,
    here: dict[str, str],
    there: dict[str, str],
    dry_run: bool,
    done: Shared,
) -> None:
    for _ in range(MOST_TRIES):
        fetch_refs(root, remote, [f"{RECORDS}{run}" for run in own if f"{RECORDS}{run}" in there])
        wanted: dict[str, str] = {}
        for run, one in list(own.items()):
            try:
                refs = _refs_of(run, one, root, here, there, done)
            except UserError as error:  # a record is damaged, theirs or ours: the others go on
                done.problems.append(str(error))
                del own[run]
                continue
            wanted |= refs
            new = any(there.get(ref) != commit for ref, commit in refs.items())
            done.runs.setdefault(run, ("would be pushed" if dry_run else "pushed") if new else "is there already")
        changed = {ref: commit for ref, commit in wanted.items() if there.get(ref) != commit}
        if dry_run:
            return
        try:
            if changed:
                git(root, "push", "--quiet", remote, *[f"{commit}:{ref}" for ref, commit in changed.items()])
            break
        except UserError:
            before, there = there, refs_at(root, remote)
            if before == there:  # nobody was faster: it is refused for another reason
                raise
    else:
        raise UserError(f"{remote}: others push the same runs again and again; type the same again")
    for run, one in own.items():
        tip = wanted[f"{RECORDS}{run}"]
        if tip != here.get(f"{RECORDS}{run}"):
            git(root, "update-ref", f"{RECORDS}{run}", _last_common(run, one, root, tip))


def _last_common(run: str, own: _Own, root: Path, tip: str) -> str:
    """What both sides have now: all that the remote has, or the part of it that this home has."""
    record, files = read_record(root, run, tip)
    if files.keys() == own.files.keys() and all(files[name].sha256 == own.files[name].sha256 for name in files):
        return tip
    record = record.model_copy(update={"files": described(own.files)})
    needed = [commit for commit in (record.source, *record.experiments.values()) if commit]
    return write_record(root, record, own.files, needed, f"Record of run {run}, as far as it is here")


def _refs_of(
    run: str, own: _Own, root: Path, here: dict[str, str], there: dict[str, str], done: Shared
) -> dict[str, str]:
    """The refs that a run is to have at the remote; what others have there stays, or is gone on from."""
    last, tip = here.get(f"{RECORDS}{run}"), there.get(f"{RECORDS}{run}")
    theirs, target = read_record(root, run, tip) if tip else (None, {})
    base = target if last == tip else last_files(root, run, last)
    merged = merge(target, own.files, base)
    known = theirs or Record(run=run, files={}, objects=[], left_out=[], source=None, experiments={})
    objects = sorted({*known.objects, *own.objects}, key=lambda item: (item.path, item.md5))
    paths = {item.path for item in objects}
    record = Record(
        run=run,
        files=described(merged),
        objects=objects,
        left_out=sorted({item for item in (*known.left_out, *own.left_out) if item.path not in paths}, key=str),
        source=known.source or own.source,
        experiments=own.experiments | known.experiments,
    )
    refs = {f"{RECORDS}{run}": tip} if tip and record == theirs else {}
    if not refs:
        check_journals(run, merged, root)  # what nobody would take
        parents = [*([tip] if tip else []), *own.commits, *record.experiments.values()]
        parents += [record.source] if record.source else []
        refs = {f"{RECORDS}{run}": write_record(root, record, merged, parents, f"Record of run {run}")}
    if record.source and f"{SOURCES}{run}" not in there:
        refs[f"{SOURCES}{run}"] = record.source
    for ref, commit in own.experiments.items():
        refs[ref] = there.get(ref, commit)
        line = (
            f"{run}: the remote has another experiment {ref.rpartition('/')[2]}; type: dvc exp rename, and push again"
        )
        if refs[ref] != commit and line not in done.problems:
            done.problems.append(line)
    return refs
