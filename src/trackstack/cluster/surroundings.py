"""What a person, a shell, a cluster's module or an outer job has set, and what that costs; programs that must run.

Only what is there is named: on a machine where nothing is set, this says nothing but `ok`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack.cluster.findings import Finding, finding
from trackstack.core.dvc_yaml import DVC_YAML
from trackstack.system import git as git_module
from trackstack.system.git import is_in_git, try_git, user_name
from trackstack.system.programs import PERSONS_PYTHONPATH, run_program
from trackstack.system.project import unusable_folder
from trackstack.system.slurm import OUTER_JOB

PIP_VARIABLES = tuple(
    f"PIP_{name}" for name in ("USER", "TARGET", "PREFIX", "ROOT", "PYTHON", "DRY_RUN", "NO_DEPS", "REQUIRE_HASHES")
)
USUAL_UMASKS = (0o002, 0o007, 0o022, 0o027)
PATIENCE = 180
VERSIONS = {"git": ["git", "--version"], "sbatch": ["sbatch", "--version"], "scontrol": ["scontrol", "ping"]}
MODULES = {
    "dvc": "import dvc.repo, dvc.rwlock, dvc.stage; print(dvc.__version__)",
    "torch": "import torch; print(torch.__version__)",
}
"""Imported where they are used: a package that is installed and does not start is the usual trouble of a machine."""


def surroundings() -> Iterator[Finding]:
    """The settings of this person's shell, Python, pip, git and folder that change what our programs do."""
    yield from _python_path()
    yield from _user_site()
    yield from _other_python()
    yield from _pip()
    yield from _git()
    yield from _outer_job()
    yield from _folders()
    yield from _umask()
    yield from _user()


def programs() -> Iterator[Finding]:
    """Each program that we start says its version, in a process of its own: what is installed need not run."""
    yield _runs("git", VERSIONS["git"], "install it, or load its module (module load git)")
    for name, code in MODULES.items():
        if name == "dvc" or importlib.util.find_spec(name):
            yield _runs(name, [sys.executable, "-P", "-c", code], f"type: python -P -c 'import {name}'")
    for name in ("sbatch", "scontrol"):
        if shutil.which("sbatch"):
            todo = "without a cluster: dvc repro, trackstack sweep --local, trackstack ui --local"
            yield _runs(name, VERSIONS[name], todo, "warn")


def _runs(name: str, command: list[str], todo: str, otherwise: str = "fail") -> Finding:
    try:
        done = run_program(command, env={**os.environ, "PYTHONPATH": _persons_python_path()}, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "not found" if isinstance(error, FileNotFoundError) else "does not answer"
        return Finding(name, otherwise, f"{command[0]}: {why}", todo)
    answer = (done.stdout.strip() or done.stderr.strip() or "says nothing").splitlines()[-1]
    return finding(name, done.returncode == 0, answer[:200], todo, otherwise)


def _python_path() -> Iterator[Finding]:
    """Folders of another Python, which many modules of clusters set; our own `src/` is there on purpose."""
    own = Path(__file__).resolve().parents[2]
    folders = [Path(entry) for entry in _persons_python_path().split(os.pathsep) if entry]
    foreign = [folder for folder in folders if folder.resolve() != own]
    if foreign:
        hidden = sorted({name for folder in foreign for name in _modules(folder)} & _importable())
        found = f"{os.pathsep.join(map(str, foreign))}" + (f" hides {', '.join(hidden[:5])}" if hidden else "")
        yield Finding("PYTHONPATH", "fail" if hidden else "warn", found, "unset PYTHONPATH; its packages come first")


def _persons_python_path() -> str:
    return os.environ.get(PERSONS_PYTHONPATH) or os.environ.get("PYTHONPATH", "")


def _user_site() -> Iterator[Finding]:
    """Packages below the person's home are found before those of an environment that looks there."""
    folder = Path(site.getusersitepackages())
    if site.ENABLE_USER_SITE and str(folder) in sys.path:
        hidden = sorted(_modules(folder) & _installed_modules())
        if hidden:
            found = f"{folder} holds {', '.join(hidden[:5])}"
            yield Finding("user site", "warn", found, "export PYTHONNOUSERSITE=1, or make venv")


def _modules(folder: Path) -> set[str]:
    """The names that Python can import from a folder."""
    try:
        entries = [entry for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()]
    except OSError:
        return set()
    return {entry.stem for entry in entries}


def _installed_modules() -> set[str]:
    return set(importlib.metadata.packages_distributions()) | {"trackstack", "dvc", "psutil"}


def _importable() -> set[str]:
    """What a module of the same name on PYTHONPATH hides: packages, and Python's own modules."""
    return _installed_modules() | sys.stdlib_module_names


def _other_python() -> Iterator[Finding]:
    """Stages are shell lines, and `python` there is the first on PATH."""
    if found := shutil.which("python"):
        other = Path(found).parent.resolve() != Path(sys.executable).parent.resolve()
        if other:
            todo = f"put {Path(sys.executable).parent} first on PATH (activate it)"
            yield Finding("python on PATH", "warn", f"{found}, not that of {sys.prefix}", todo)
    conda = os.environ.get("CONDA_PREFIX")
    if conda and Path(conda).resolve() != Path(sys.prefix).resolve():
        name = os.environ.get("CONDA_DEFAULT_ENV", "")
        yield Finding("conda", "warn", f"{name} in {conda} is active beside {sys.prefix}", "conda deactivate")
    if home := os.environ.get("PYTHONHOME"):
        yield Finding("PYTHONHOME", "warn", home, "unset PYTHONHOME: it names another Python's library")


def _pip() -> Iterator[Finding]:
    """Settings by which pip installs elsewhere; `make venv` overrules them, a `pip install` by hand does not."""
    found = [f"{name}={value}" for name in PIP_VARIABLES if (value := os.environ.get(name))]
    environment = {**os.environ, "PIP_USER": "0"}  # else it would list the user's file alone
    listing = run_program([sys.executable, "-P", "-m", "pip", "config", "list"], env=environment, timeout=PATIENCE)
    keys = tuple(f".{name.removeprefix('PIP_').lower().replace('_', '-')}=" for name in PIP_VARIABLES)
    found += [line for line in listing.stdout.splitlines() if any(k in line for k in keys) and ":env:" not in line]
    if found := [entry for entry in found if entry.partition("=")[2].strip("'") not in ("0", "false", "no", "off")]:
        yield Finding("pip", "warn", "; ".join(found), "make venv overrules it; pip by hand: PIP_USER=0 pip install")


def _git() -> Iterator[Finding]:
    """Variables and settings of the person's git; ours runs without them."""
    if git_module.forgotten:
        found = f"{', '.join(dict.fromkeys(git_module.forgotten))}: not used by trackstack"
        yield Finding("git variables", "warn", found, "unset them before git and dvc are typed by hand")
    if not is_in_git(Path()):
        yield Finding("repository", "warn", f"{Path.cwd()} is in none of git", "git init: sweeps and records need it")
        return
    yield from _attributes()
    autocrlf = try_git(Path(), "config", "core.autocrlf", env={"GIT_CONFIG_COUNT": "0"})  # without our settings
    scripts = [path for path in Path("slurm").glob("*") if path.is_file() and b"\r\n" in path.read_bytes()]
    if scripts:
        todo = "trackstack init writes .gitattributes; then sed -i 's/\\r$//' slurm/*"
        yield Finding("line ends", "fail", f"{scripts[0]} has those of Windows, and no shell runs it", todo)
    elif autocrlf == "true" and not Path(".gitattributes").exists():
        todo = "trackstack init writes .gitattributes, or git config core.autocrlf false"
        yield Finding("line ends", "warn", "core.autocrlf=true: other bytes than a colleague's", todo)


def _attributes() -> Iterator[Finding]:
    """Line ends that a person has set for this checkout alone; git lets them outrank those of .gitattributes."""
    file = Path(try_git(Path(), "rev-parse", "--git-path", "info/attributes") or "")
    answer = try_git(Path(), "check-attr", "eol", "--", DVC_YAML) or ""
    if file.is_file() and "eol" in file.read_text(errors="replace") and answer.endswith(": crlf"):
        found = f"{file} asks for those of Windows and outranks .gitattributes: every stage would run again"
        todo = "remove its eol=crlf and commit; then: git rm -rq --cached . && git reset -q --hard"
        yield Finding("line ends", "fail", found, todo)


def _outer_job() -> Iterator[Finding]:
    """Variables of a job around this one."""
    names = sorted(name for name in os.environ if OUTER_JOB.match(name))
    if names and (job := os.environ.get("SLURM_JOB_ID")):
        found = f"in job {job}: {len(names)} variables, which submit and sweep hand on to no job"
        yield Finding("outer job", "warn", found, "a plain sbatch or srun gets them: unset ${!SLURM_@} first")


def _folders() -> Iterator[Finding]:
    """What the names of folders cost, and whether the person's own can be written."""
    if why := unusable_folder(Path.cwd()):
        yield Finding("folder name", "fail", str(Path.cwd()), why)
    elif any(sign in str(Path.cwd()) for sign in "#%?\n"):
        found = f"{str(Path.cwd())!r}: dvc exp run --temp and --queue fail here"
        yield Finding("folder name", "warn", found, "dvc exp run and trackstack sweep work; or rename it")
    elif os.pathsep in str(Path.cwd()):
        yield Finding("folder name", "warn", str(Path.cwd()), "a colon cannot stand in PATH: make venv fails here")
    seen = Path(os.environ.get("PWD", "."))
    if seen.is_absolute() and seen != Path.cwd() and seen.exists() and seen.samefile(Path.cwd()):
        yield Finding("folder name", "ok", f"{seen} is a symbolic link; jobs and records name {Path.cwd()}")
    person = Path.home()
    if not (person.is_dir() and os.access(person, os.W_OK)):
        todo = "export HOME to a folder of yours; DVC, MLflow and matplotlib keep settings and caches there"
        yield Finding("HOME", "warn", f"{person}: cannot be written", todo)


def _umask() -> Iterator[Finding]:
    mask = os.umask(0o022)
    os.umask(mask)
    if mask & 0o700:
        yield Finding("umask", "fail", f"{mask:04o}: you cannot read or write what you make", "umask 022")
    elif mask not in USUAL_UMASKS:
        found = (
            f"{mask:04o}: "
            + ("anyone may change" if mask & 0o002 == 0 else "nobody else can read")
            + " what you make"
        )
        yield Finding("umask", "warn", found, "umask 027, and dvc config cache.shared group for a shared cache")


def _user() -> Iterator[Finding]:
    """DVC asks for the person's name, and fails where the machine knows none."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        found = f"user {os.getuid()} has no name on this machine; trackstack takes {user_name()}"
        yield Finding("user name", "warn", found, "export USER=NAME before dvc is typed by hand")
