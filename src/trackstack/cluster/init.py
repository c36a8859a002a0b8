"""Make a DVC repository ready for SLURM and for the record of its runs: job scripts and ignore lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from trackstack import UserError
from trackstack.page.vega import dvc_template, is_installed
from trackstack.system.git import is_in_git
from trackstack.system.project import refuse_unusable_folder

SCRIPTS = ("slurm/repro.sh", "slurm/sweep.sh", "slurm/ui.sh", "slurm/site.env")
PLOTS_PAGE = ".dvc/plots.html"
IGNORE_FILES = {".gitignore": "gitignore", ".dvcignore": "dvcignore", ".gitattributes": "gitattributes"}
"""The templates whose lines are added to a file, unless it has them."""


def template(name: str) -> str:
    """The text of a file that comes with trackstack."""
    return (files("trackstack") / "templates" / name).read_text(encoding="utf-8")


def set_up(root: Path, dry_run: bool = False) -> Iterator[str]:
    """Write what is missing, and yield a line for each file that is written or kept. No file is overwritten.

    Raises:
        UserError: the folder is not the root of a DVC repository in git.
    """
    _refuse_other_folders(root)
    for name in (*SCRIPTS, "logs/.gitkeep"):
        text = "" if name == "logs/.gitkeep" else template(name)
        if (root / name).exists():
            if (root / name).read_text(encoding="utf-8", errors="replace") != text:
                yield f"kept {name}, which differs from trackstack's own"
            continue
        if not dry_run:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
            (root / name).chmod(0o755 if name.endswith(".sh") else 0o644)
        yield f"{'would write' if dry_run else 'wrote'} {name}"
    yield from _bring_plots_page(root, dry_run)
    for name, source in IGNORE_FILES.items():
        yield from _add_lines(root / name, template(source).splitlines(), dry_run)


def _bring_plots_page(root: Path, dry_run: bool) -> Iterator[str]:
    """Have `dvc plots show` write a page that needs no network, unless the repository has a page of its own."""
    from configobj import ConfigObj

    config = ConfigObj(str(root / ".dvc/config"), interpolation=False, encoding="utf-8")
    if not is_installed() or "html_template" in config.get("plots", {}):
        return
    if not dry_run:
        (root / PLOTS_PAGE).write_text(dvc_template(), encoding="utf-8")
        config.setdefault("plots", {})["html_template"] = Path(PLOTS_PAGE).name
        config.write()
    yield f"{'would write' if dry_run else 'wrote'} {PLOTS_PAGE}, the page of dvc plots show; .dvc/config names it"


def _add_lines(path: Path, lines: list[str], dry_run: bool) -> Iterator[str]:
    """Append the patterns that an ignore file lacks, with their comment."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    present = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in lines if line.startswith("#") or line.strip("/") not in present]
    added = [line for line in missing if not line.startswith("#")]
    if not added:
        return
    if not dry_run:
        with path.open("a", encoding="utf-8") as file:
            file.write(("" if not text else "\n" if text.endswith("\n") else "\n\n") + "\n".join(missing) + "\n")
    yield f"{path.name}: {'would add' if dry_run else 'added'} {' '.join(added)}"


def _refuse_other_folders(root: Path) -> None:
    refuse_unusable_folder(root)
    if not (root / ".dvc").is_dir():
        above = next((folder for folder in root.resolve().parents if (folder / ".dvc/config").is_file()), None)
        instead = f"type: cd {shlex.quote(str(above))}" if above else "type: git init && dvc init"
        raise UserError(f"{root.resolve()}: not the root of a DVC repository; {instead}")
    if not is_in_git(root):
        raise UserError(f"{root.resolve()}: not in a git repository, which records and sweeps need; type: git init")
