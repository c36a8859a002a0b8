"""What names a run outside the pipeline: its name, parameters and data, and the code of the script that records it.

Code is the script itself and every module of the project that it has imported, tracked by git or not; in a notebook
the cells that ran, and of `python -c` its text. Installed packages are in the record, and not in the name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from trackstack.core.digest import digest_file, digest_json
from trackstack.tracking.journal import warn

PACKAGE = Path(__file__).resolve().parents[2]
"""trackstack itself, which names no run: it may lie in the project or not."""
OF_A_PLACE = ("path", "description")
"""What of `data=` says where it lies and how it is called."""
_modules: WeakKeyDictionary[ModuleType, dict[str, str]] = WeakKeyDictionary()
"""By `__main__`: digests of its modules at its first run, so that a second one is named as if it were the first."""


def own_id(name: str, params: dict[str, Any], data: dict[str, Any] | None) -> str:
    """The id of a run: equal name, parameters, data and code are the same run, on any machine."""
    main, script = sys.modules["__main__"], main_file()
    if main not in _modules or not script:  # in a notebook a module that was edited may be loaded again
        _modules[main] = {path: digest_file(file) for path, file in local_modules().items()}
    code: Any = digest_file(script) if script else _cells() or _command()
    if not code:
        warn("this program comes from no file, so equal name, parameters and data are the same run; save it as one")
    parts = [name, params, code]
    more = {"modules": _modules[main], "data": _lasting(data)}
    return "r" + digest_json(parts + ([more] if any(more.values()) else []))[:12]


def late_modules() -> list[str]:
    """The modules of the project that were imported since, and so are not in the id."""
    return sorted(local_modules().keys() - _modules.get(sys.modules["__main__"], {}).keys())


def main_file() -> Path | None:
    """The script; None in a notebook."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    return Path(main).resolve() if main and Path(main).is_file() else None


def local_modules() -> dict[str, Path]:
    """The imported modules that are files of the project, by their path in it, without the script."""
    script = main_file()
    root, environment = _project(script.parent if script else Path.cwd().resolve()), Path(sys.prefix).resolve()
    found = {}
    names = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    # Resolving paths takes long, and nearly all of them are the environment's.
    for name in {name for name in names if name and not name.startswith((sys.prefix, sys.base_prefix))}:
        file = Path(name).resolve()
        is_installed = file.is_relative_to(environment) or "site-packages" in file.parts
        is_own = file.is_relative_to(root) and not is_installed
        if is_own and not file.is_relative_to(PACKAGE) and file != script and file.is_file():
            found[file.relative_to(root).as_posix()] = file
    return dict(sorted(found.items()))


def _project(folder: Path) -> Path:
    """The repository that a folder lies in, or itself where there is none."""
    repositories = (
        place for place in (folder, *folder.parents) if (place / ".git").exists() or (place / ".dvc").is_dir()
    )
    return next(repositories, folder)


def _cells() -> list[str]:
    """The different cells that ran in this notebook, in their order; none outside of one."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    ran = shell.user_ns.get("In", []) if shell else []
    return [cell for cell in dict.fromkeys(cell.strip() for cell in ran) if cell]


def _command() -> str | None:
    """The program of `python -c PROGRAM`; what is typed in, or comes from a pipe, cannot be read again."""
    is_command = sys.argv[:1] == ["-c"] and len(sys.argv) < len(sys.orig_argv)
    return sys.orig_argv[-len(sys.argv)] if is_command else None


def _lasting(data: dict[str, Any] | None) -> dict[str, Any]:
    """What of `data=` is the same on any machine."""
    return {key: value for key, value in (data or {}).items() if key not in OF_A_PLACE}
