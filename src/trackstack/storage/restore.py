"""`trackstack storage repair`: what was deleted comes back from the working tree, a kept copy, a remote or a re-run.

Nothing is overwritten: an edited file stays as it is, and only what points nowhere is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.cluster.clones import DVC
from trackstack.core.dvc_yaml import locked_stages
from trackstack.records.lineage import Item, hash_of
from trackstack.sharing.record import SharedObject
from trackstack.sharing.transfer import fetch_objects, open_repository, outputs_of
from trackstack.storage.lost_runs import restore_runs
from trackstack.storage.needs import Audit, Cache, Checkout, audit, needed_objects
from trackstack.storage.references import Needed
from trackstack.system.programs import run_program

Report = Callable[[str], None]


def repair_storage(checkout: Checkout, rerun: bool, report: Report) -> list[str]:
    """Bring back what is missing of objects, of run folders and of the working tree.

    Args:
        rerun: run the stages again whose outputs nobody has.
        report: is given a line for each thing that came back.

    Returns:
        A line for each thing that nobody has, and what to type.

    Raises:
        UserError: DVC's files cannot be read.
    """
    lost: list[str] = []
    with open_repository(checkout.root) as repo:
        lost += restore_runs(checkout, repo, report)
        cache = Cache(repo)
        needed, problems = needed_objects(checkout)
        found = audit(cache, needed)
        if found.missing:
            found = _restore_objects(repo, cache, checkout, needed, found, report)
        _relink(repo, cache, report)
    if rerun and (stages := _stages_of(found.missing, checkout.root)):
        report(f"running again: {', '.join(stages)}")
        lost += _run_again(stages, checkout.root)
        needed, problems = needed_objects(checkout)
        found = audit(cache, needed)
    return lost + problems + list(_lost(found.missing, checkout.root))


def _restore_objects(
    repo: Any, cache: Cache, checkout: Checkout, needed: list[Needed], found: Audit, report: Report
) -> Audit:
    """Take objects from the working tree, from copies that runs have kept, and from each remote in turn."""
    before = set(cache.objects().values())
    outputs = outputs_of(repo)
    for one in found.missing:
        _take_from_workspace(repo, outputs.get(one.item.path), one.item, found.needed - before)
    found = audit(cache, needed)
    if still := found.needed - set(cache.objects().values()):
        for file in (checkout.home / "runs").glob("[!.]*/artifacts/**/*"):  # the bytes of an output, often
            _take(repo, file, still)
    for remote in sorted(repo.config["remote"]):
        found = audit(cache, needed)
        wanted = [one.item.model_copy(update={"remote": None}) for one in found.missing]
        if not wanted:
            break
        try:
            fetch_objects(repo, wanted, remote)
        except UserError as error:
            report(f"remote {remote}: {error}")
    if came := set(cache.objects().values()) - before:
        report(f"DVC's cache has again, objects: {len(came)}")
    return audit(cache, needed)


def _take_from_workspace(repo: Any, output: Any, item: SharedObject, missing: set[str]) -> None:
    """What lies in the working tree as it was recorded is put into the cache again, a folder's list with it."""
    if output is None or item.hash != "md5" or not output.exists:
        return
    if hash_of(repo, Item("", item.path, item.hash, item.md5)) == item.md5:
        output.commit()
        return
    place = Path(output.fs_path)
    for file in place.rglob("*") if place.is_dir() else ():
        _take(repo, file, missing)


def _take(repo: Any, file: Path, missing: set[str]) -> None:
    """Put a file into the cache if it is one of the missing objects."""
    from dvc_data.hashfile.hash import hash_file

    if file.is_file():
        name = hash_file(str(file), repo.cache.local.fs, "md5", repo.cache.local.state)[1].value
        if name in missing:
            repo.cache.local.add(str(file), repo.cache.local.fs, name)


def _relink(repo: Any, cache: Cache, report: Report) -> None:
    """Give the working tree back what it has no file for, or a link that leads nowhere; never instead of an edit."""
    for path, out in outputs_of(repo).items():
        if not out.use_cache or not out.hash_info:
            continue
        place = Path(out.fs_path)
        item = SharedObject(path=path, md5=out.hash_info.value, hash=out.hash_info.name)
        names = cache.files(item) or {}
        for file in [file for file in (place, *place.rglob("*")) if file.is_symlink() and not file.exists()]:
            file.unlink()
            name = names.get("" if file == place else file.relative_to(place).as_posix())
            if name and cache.path(item, name).exists():
                file.symlink_to(cache.path(item, name))  # the cache has moved
        gone = [name for name in names if not (place / name).exists()]
        is_whole = bool(names) and all(cache.path(item, name).exists() for name in names.values())
        if not place.exists() and is_whole:
            out.checkout()
            report(f"{path}: is in the working tree again")
        elif place.exists() and gone and is_whole:
            report(f"{path}: files that are not in the working tree: {len(gone)}; type: dvc checkout {path}")


def _stages_of(missing: list[Needed], root: Path) -> list[str]:
    """The stages whose outputs in the working tree are missing."""
    lost = {one.item.md5 for one in missing if one.by == "the working tree"}
    stages = locked_stages(root).items()
    return [name for name, entry in stages if any(out.get("md5") in lost for out in entry.get("outs", []))]


def _run_again(stages: list[str], root: Path) -> Iterator[str]:
    """Run the stages whose outputs are gone; yield a line for each output that came out differently."""
    before = locked_stages(root)
    done = run_program([*DVC, "repro", *stages], cwd=root)
    if done.returncode:
        yield f"dvc repro: {' '.join(done.stderr.split())[-300:]}"
    for name, entry in locked_stages(root).items():
        was = {out["path"]: out.get("md5") for out in before.get(name, {}).get("outs", [])}
        for out in entry.get("outs", []):
            if was.get(out["path"]) not in (None, out.get("md5")):
                yield f"{out['path']}: made again by stage {name}, it is not what it was; type: git diff dvc.lock"


def _lost(missing: list[Needed], root: Path) -> Iterator[str]:
    stages = locked_stages(root).items()
    made = {(out["path"], out.get("md5")): name for name, entry in stages for out in entry.get("outs", [])}
    for one in missing:
        stage = made.get((one.item.path, one.item.md5))
        run = one.by.removeprefix("run ")
        if stage:
            todo = f"type: trackstack storage repair --rerun, which runs stage {stage}"
        elif run != one.by:
            todo = f"trackstack reproduce {run} makes it again"
        else:
            todo = "put the file back, and type: dvc add"
        yield f"{one.item.path} of {one.by} (md5 {one.item.md5}): nobody has it; {todo}"
