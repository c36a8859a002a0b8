"""What every stage does around its work: run its own workspace's code, and only that.

A stage imports its module inside `with stage(...)`: everything that follows the snapshot of the sources is
then known to be what ran, and a fault in an import is reported like any other.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError, collect_rarely, describe_error
from trackstack.digest import digest_file
from trackstack.params import PARAMS_FILE, Params, load_params
from trackstack.tracking.lease import give_back_lease, take_lease

# Torch's kernels differ in their last bits between instruction sets and MKL's number of threads, and on a GPU between
# calls. AVX2 is what every x86-64 cluster node of the last ten years has; elsewhere these variables do nothing.
PINNED_ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_DYNAMIC": "FALSE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
LEASES = Path(".dvc/tmp/trackstack")
ORPHAN_SECONDS = 20.0  # that one whose `dvc` is gone may take to notice and to end


@contextlib.contextmanager
def stage(*sections: str) -> Iterator[Params]:
    """Guard the body of a stage script and hand it the validated parameters.

    Exits with 1 and one line on stderr when trackstack comes from another checkout, when `params.yaml` is
    invalid, when the body raises `UserError`, or when a source file or a section that was used changed before the
    end: DVC hashes dependencies after the command, and would record an edit as if it had run.

    Args:
        sections: what of `params.yaml` the stage depends on, as in `dvc.yaml`.
    """
    pin_environment()
    collect_rarely()
    try:
        _refuse_foreign_code(Path.cwd())
        with _the_only_one():
            before = _source_digests(Path.cwd())
            params = load_params()
            yield params
            _refuse_edits(before)
            _refuse_changed_sections(params, load_params(), sections)
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        sys.exit(1)


def pin_environment() -> None:
    """Set what torch reads when it is imported."""
    os.environ.update(PINNED_ENVIRONMENT)
    # A thread that waits asleep makes small steps half as fast, and one that spins on takes the core from others.
    # GNU's OpenMP, which torch brings on Linux, can do a moment of the one, then the other.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@contextlib.contextmanager
def _the_only_one() -> Iterator[None]:
    """Wait until no other process executes this stage here, such as one that its killed `dvc` left behind.

    What an orphan writes would otherwise overwrite the outputs of a later run. Of several processes that train
    together the first one stands for all.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
        yield
        return
    take_lease(LEASES / _name(), f"stage {_name()}", ORPHAN_SECONDS)
    try:
        yield
    finally:
        give_back_lease(LEASES / _name())


def leave_it_to_another() -> None:
    """Let a process that this one starts be the one that executes the stage."""
    give_back_lease(LEASES / _name())


def _name() -> str:
    return Path(sys.argv[0]).stem


def _refuse_foreign_code(root: Path) -> None:
    package = Path(__file__).resolve().parent
    expected = (root / "src" / "trackstack").resolve()
    if package != expected:
        raise UserError(
            f"{package}: trackstack was imported from another checkout than {root}; "
            "run it as dvc.yaml does: env PYTHONPATH=src python -P stages/..."
        )


def _refuse_changed_sections(before: Params, after: Params, sections: tuple[str, ...]) -> None:
    for section in sections:
        if _used(before, section) != _used(after, section):
            raise UserError(f"{PARAMS_FILE}: {section}: edited while the stage ran; run dvc repro again")


def _used(params: Params, section: str) -> object:
    # Of the models' sections only the chosen one's counts, and so for losses and metrics.
    chosen = {"models": params.train.model, "losses": params.train.loss, "metrics": params.train.metric}
    found = getattr(params, section)
    return found.get(chosen[section]) if section in chosen else found


def _source_digests(root: Path) -> dict[Path, str]:
    files = [*(root / "src" / "trackstack").rglob("*.py"), *(root / "stages").glob("*.py")]
    return {file.resolve(): digest_file(file) for file in files}


def _refuse_edits(before: dict[Path, str]) -> None:
    """Compare the sources that this process imported, trackers excepted, with how they were at the start."""
    for name, module in sorted(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/").resolve()
        if file not in before or name.startswith("trackstack.tracking"):
            continue
        if not file.exists() or digest_file(file) != before[file]:
            raise UserError(
                f"{file.relative_to(Path.cwd().resolve())}: edited while the stage ran, so its outputs would "
                "be recorded under the wrong code; run dvc repro again"
            )
