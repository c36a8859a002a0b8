"""What every stage does around its work: run its own workspace's code, and only what dvc.yaml knows of.

A stage imports its module inside `with stage()`: everything that follows the snapshot of the sources is then known
to be what ran, and a fault in an import is reported like any other.
"""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError, describe_error
from trackstack.core.code_deps import changes_no_output
from trackstack.core.digest import digest_file
from trackstack.core.dvc_yaml import dvc_root, running_stage, stage_definition
from trackstack.core.params import Parameters
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.programs import begin_process

LOCKS = Path(".dvc/tmp/trackstack")
ORPHAN_SECONDS = 20.0
"""How long a stage whose `dvc` is gone may take to notice it and to end."""
_entered: str | None = None
"""The stage that this process executes; None outside of a stage."""


@contextlib.contextmanager
def stage() -> Iterator[Parameters]:
    """Guard the body of a stage script and give it the parameters.

    Exits with 1 and one line on stderr when trackstack comes from another checkout, when the body raises `UserError`,
    when a source file or a parameter that was used changed before the end (DVC hashes dependencies after the command,
    and would record an edit as if it had run), or when a module was imported that is not in the stage's deps.
    """
    begin_process()
    try:
        _refuse_foreign_code()
        with guarded(Path(sys.argv[0]).stem):
            params = Parameters.load()
            yield params
            params.refuse_changes()
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        sys.exit(1)


@contextlib.contextmanager
def guarded(name: str | None) -> Iterator[None]:
    """Hold a stage's lock during the block; at its end refuse code that was edited or is not in the stage's deps.

    The lock keeps the orphan of a killed `dvc` from overwriting the outputs of a later run. Of several processes
    that train together the first one stands for all.

    Args:
        name: the stage; None where its function is called from elsewhere, such as a notebook: nothing is guarded.

    Raises:
        UserError: another process executes the stage, or the code is refused.
    """
    global _entered
    if name is None or ("TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0"):
        yield
        return
    take_lease(_root() / LOCKS / name, f"stage {name}", ORPHAN_SECONDS)
    _entered = name
    try:
        before = _source_digests()
        yield
        _refuse_edits(before)
        refuse_undeclared_modules()
    finally:
        release_stage_lock()
        _entered = None


def entered_stage() -> str | None:
    """The stage that this process executes, for the processes that it starts; None outside of a stage."""
    return _entered


def release_stage_lock() -> None:
    """Let a process that this one starts be the one that executes the stage; nothing outside of a stage."""
    if _entered:
        give_back_lease(_root() / LOCKS / _entered)


def refuse_undeclared_modules() -> None:
    """UserError when a module of this project is imported that the stage's deps do not cover.

    A stage asks at its end. One that computes for hours asks as soon as its modules are imported, too. Outside of a
    stage there is nothing to refuse.
    """
    if _entered is None:
        return
    root, folder = _root(), Path.cwd().resolve()
    address = running_stage() or _entered
    # DVC's address is relative to the folder in which `dvc` was started, which may be any.
    definition = stage_definition(root, address, folder) or stage_definition(root, address.split(":")[-1], folder)
    if definition is None:  # a script that dvc.yaml does not know
        return
    for file in _imported_files(root):
        path = file.relative_to(root)
        covered = any(path.is_relative_to(dep) for dep in definition.deps)
        if not covered and not changes_no_output(path) and not _has_only_a_docstring(file):
            raise UserError(
                f"{path}: stage {definition.name} imports it, but dvc.yaml does not list it, so that an edit of it "
                f"would run nothing; add {path} to the deps of {definition.name}"
            )


def _root() -> Path:
    """Of the project: of its DVC repository, or the working folder where there is none."""
    folder = Path.cwd().resolve()
    return dvc_root(folder) or folder


def _imported_files(root: Path) -> list[Path]:
    """The modules of this process that are files of the project; an environment may lie in its folder, too."""
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # Resolving paths takes long, and nearly all of them are the environment's.
    files = {Path(file).resolve() for file in modules if file and not file.startswith(sys.prefix)}
    environment = Path(sys.prefix).resolve()
    own = (file for file in files if file.is_relative_to(root) and not file.is_relative_to(environment))
    return sorted(file for file in own if file.is_file())  # torch has modules that say they are files


def _has_only_a_docstring(file: Path) -> bool:
    """Whether the file is a package's `__init__.py` without code."""
    if file.name != "__init__.py":
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def _refuse_foreign_code() -> None:
    root, package = _root(), Path(__file__).resolve().parents[1]
    own = (root / "src" / "trackstack").resolve()
    if own.is_dir() and package != own:
        raise UserError(
            f"{package}: trackstack was imported from another checkout than {root}; "
            "run it as dvc.yaml does: env PYTHONPATH=src python -P stages/..."
        )


def _source_digests() -> dict[Path, str]:
    """Of the code below `src/`, and beside the script."""
    files = {*(_root() / "src").rglob("*.py"), *Path(sys.argv[0]).absolute().parent.glob("*.py")}
    return {file.resolve(): digest_file(file) for file in files}


def _refuse_edits(before: dict[Path, str]) -> None:
    """Compare the sources that this process imported with how they were at the start."""
    root = _root()
    for file in _imported_files(root):
        if file not in before or changes_no_output(file.relative_to(root)):
            continue
        if not file.exists() or digest_file(file) != before[file]:
            raise UserError(
                f"{file.relative_to(root)}: edited while the stage ran, so its outputs would "
                "be recorded under the wrong code; run dvc repro again"
            )
