"""The record of a run as it is shared: what files it has, which DVC objects it needs, and where its source is.

What others wrote is checked before anything of it is used: each name, each digest, and that all of it is about the
run whose name the ref has.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from trackstack import UserError
from trackstack.sharing.attempts import SharedAttempt
from trackstack.sharing.merging import ARTIFACT, NOTE, Files
from trackstack.tracking.journal import JOURNAL

RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
LARGEST_IN_GIT = 1_000_000
"""Bytes of a kept copy; larger ones are DVC objects."""
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,62}/[\w.@+-]+")
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SharedFile(_Strict):
    """A file of the run's folder."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    md5: Md5 | None = None
    """Of the DVC object that holds it; without, it lies in the record."""


class SharedObject(_Strict):
    """A file or folder that the run needs, as DVC knows it."""

    path: str
    md5: Md5
    hash: Literal["md5", "md5-dos2unix"] = "md5"
    remote: str | None = None
    """The DVC remote that this output has for itself; else the repository's."""


class LeftOut(_Strict):
    """What the run needs, and its record does not bring."""

    path: str
    why: str


class _Start(BaseModel):
    name: str
    time: float
    stage: str
    series: int
    params: dict[str, Any]
    tags: dict[str, str]
    environment: dict[str, Any]
    data: dict[str, Any] | None = None
    upstream: dict[str, Any] | None = None


class _Metrics(BaseModel):
    step: float
    values: dict[str, float]


class _Artifact(BaseModel):
    path: str
    kind: str
    name: str
    digest: Sha256
    loader: str | None = None
    exporter: str | None = None


class _Other(BaseModel):
    time: float


FORMS: dict[str, type[BaseModel]] = {"start": _Start, "metrics": _Metrics, "artifact": _Artifact}
"""What all that reads journals counts on, by type of record."""


class Record(_Strict):
    """What `record.json` says."""

    format: Literal[1] = 1
    run: str
    files: dict[str, SharedFile]
    objects: list[SharedObject]
    left_out: list[LeftOut]
    source: Commit | None
    """What `refs/trackstack/RUN` is."""
    experiments: dict[str, Commit]
    """DVC's experiments of this run, by ref."""


def described(files: Files) -> dict[str, SharedFile]:
    """Digest and size of each file."""
    return {name: SharedFile(sha256=file.sha256, size=file.size, md5=file.md5) for name, file in files.items()}


def is_safe(name: str) -> bool:
    """Whether a file of this name belongs into a run's folder, and lies in it."""
    plain = name.isprintable() and "\\" not in name
    parts = name.split("/")
    inside = not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
    return plain and inside and bool(JOURNAL.fullmatch(name) or ARTIFACT.fullmatch(name) or NOTE.fullmatch(name))


def checked_record(run: str, value: object) -> Record:
    """The description of a run's record, checked.

    Raises:
        UserError: it is not what `trackstack push` writes.
    """
    try:
        record = Record.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "record.json"
        raise refused(run, f"{field}: {first['msg']}") from None
    names = [name for name in record.files if not is_safe(name)]
    names += [path for item in record.objects if not is_inside(path := item.path)]
    if names:
        raise refused(run, f"{names[0]!r} is no path inside it")
    if refs := [ref for ref in record.experiments if not EXPERIMENT.fullmatch(ref)]:
        raise refused(run, f"{refs[0]!r} is no DVC experiment")
    if record.run != run or not RUN.fullmatch(run):
        raise refused(run, f"it says that it is the record of {record.run!r}")
    return record


def check_journals(run: str, files: Files, root: Path) -> None:
    """Refuse journals of another run, and such as make us call code that is not of this repository.

    Raises:
        UserError: which file, and why.
    """
    for name, content in files.items():
        if (match := JOURNAL.fullmatch(name)) and content.data is not None:
            try:
                attempt = SharedAttempt(int(match[1]), content.data)
            except ValueError as error:
                raise refused(run, str(error)) from None
            if attempt.start["run"] != run or attempt.start["attempt"] != attempt.number:
                raise refused(run, f"{name} is of {attempt.start['run']!r}, attempt {attempt.start['attempt']}")
            for record in attempt.records():
                _check_form(run, name, record)
                if record["type"] == "artifact":
                    _check_artifact(run, name, record, root)


def _check_form(run: str, journal: str, record: dict[str, Any]) -> None:
    try:
        FORMS.get(str(record["type"]), _Other).model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise refused(run, f"{journal}: {record['type']}: {field}: {first['msg']}") from None


def _check_artifact(run: str, journal: str, record: dict[str, Any], root: Path) -> None:
    if not ARTIFACT.fullmatch(record["path"]) or not is_safe(record["path"]):
        raise refused(run, f"{journal}: {record['path']!r} is no path inside it")
    for key in ("loader", "exporter"):  # MLflow's delivery calls what these name
        if (name := record.get(key)) and not _is_own_code(name, root):
            raise refused(run, f"{journal}: {key} {name!r} is no code of this repository")


def _is_own_code(name: str, root: Path) -> bool:
    module, _, function = name.partition(":")
    top = module.partition(".")[0]
    if top in {*sys.stdlib_module_names, "__main__"} or not all(
        part.isidentifier() for part in (*module.split("."), function)
    ):
        return False
    own = any((place / top).is_dir() or (place / f"{top}.py").is_file() for place in (root, root / "src"))
    return own or find_spec(top) is None


def is_inside(path: str) -> bool:
    """Whether a path from the root of a repository stays in it."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def refused(run: str, why: str) -> UserError:
    """The error that says why a record is neither taken nor given to others."""
    return UserError(f"{run}: its shared record is refused, with all of it: {why}")
