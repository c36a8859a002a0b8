"""Versions of named models, in git's tags as DVC and GTO read them.

`NAME@v2.0.0` is a version: its message names the run and the digest of the model. `NAME#champion#3` says that the
alias was given to a version, and `NAME#champion!#4` that it was taken away; the greatest number counts. Tags are the
history: we move and remove none.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.system.git import git, try_git, user_name

CHAMPION = "champion"
NAME = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?"
"""What git, DVC and MLflow all accept."""
VERSION_TAG = re.compile(rf"(?P<name>{NAME})@v(?P<numbers>\d+\.\d+\.\d+)")
ALIAS_TAG = re.compile(rf"(?P<name>{NAME})#(?P<alias>{NAME})(?P<removed>!?)#(?P<counter>\d+)")
FIELDS = ("refname:strip=2", "*objectname", "taggername", "taggerdate:unix", "contents")


class Version(NamedTuple):
    """A version of a model."""

    name: str
    version: str
    """Such as `v2.0.0`: each promotion of another model is a new first number."""
    commit: str
    """Whose dvc.yaml has the artifact of that name."""
    user: str
    time: float
    why: str
    run: str
    """The id of its run; empty where another program made the tag, as for the two that follow."""
    series: int
    digest: str
    """Of the model's file or folder, see `trackstack.core.digest.digest_path`."""

    @property
    def tag(self) -> str:
        """As people and git name it."""
        return f"{self.name}@{self.version}"

    @property
    def key(self) -> str:
        """The run, as `trackstack runs list` shows it."""
        return self.run if self.series == 1 else f"{self.run}-{self.series}"

    @property
    def major(self) -> int:
        """The first number."""
        return int(self.version[1:].partition(".")[0])


class Assignment(NamedTuple):
    """An alias was given to a version, or taken away from it."""

    alias: str
    version: Version
    is_removal: bool
    user: str
    time: float
    why: str


class NamedModel(NamedTuple):
    """All that git has of one name."""

    name: str
    versions: list[Version]
    """Lowest first."""
    assignments: list[Assignment]
    """Oldest first."""
    counter: int
    """The greatest number of an alias's tag."""

    def holders(self) -> dict[str, Version]:
        """The version that has each alias."""
        newest = {assignment.alias: assignment for assignment in self.assignments}
        return {alias: found.version for alias, found in newest.items() if not found.is_removal}

    def aliases_of(self, version: Version) -> list[str]:
        """The aliases that a version has."""
        return sorted(alias for alias, holder in self.holders().items() if holder == version)


class _Tag(NamedTuple):
    name: str
    commit: str
    user: str
    time: float
    why: str
    trailers: dict[str, str]


def check_name(name: str) -> None:
    """UserError at a name for a model that git, DVC or MLflow would refuse."""
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"NAME is {name!r}; expected letters, digits, - and _, at most 100, a letter or digit first and last"
        )


def check_alias(alias: str) -> None:
    """UserError at an alias that git, DVC or MLflow would refuse, or that would be taken for a version."""
    if not re.fullmatch(NAME, alias) or re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise UserError(f"--alias is {alias!r}; expected letters, digits, - and _, and neither latest nor a version")


def read_models(root: Path, name: str = "*") -> dict[str, NamedModel]:
    """What git's tags say of all named models, or of one; UserError where there is no git repository."""
    tags = _read_tags(root, name)
    versions: dict[str, list[Version]] = defaultdict(list)
    for tag in tags:
        if found := VERSION_TAG.fullmatch(tag.name):
            run, digest = tag.trailers.get("Run", ""), tag.trailers.get("Model", "")
            series = tag.trailers.get("Series", "1")
            about = (tag.commit, tag.user, tag.time, tag.why, run, int(series) if series.isdigit() else 1, digest)
            versions[found["name"]].append(Version(found["name"], f"v{found['numbers']}", *about))
    return {
        of: _named_model(of, sorted(found, key=lambda version: list(map(int, version.version[1:].split(".")))), tags)
        for of, found in sorted(versions.items())
    }


def read_model(root: Path, name: str) -> NamedModel:
    """What git's tags say of one name; nothing of one that is not used yet."""
    return read_models(root, name).get(name) or NamedModel(name, [], [], 0)


def find_version(root: Path, wanted: str) -> Version:
    """The version that `NAME`, `NAME@champion` or another alias, `NAME@v2` or `NAME@v2.0.0` stands for.

    Raises:
        UserError: no such model, version or alias; or no git repository.
    """
    name, _, which = wanted.partition("@")
    model = read_models(root, name).get(name) if re.fullmatch(NAME, name) else None
    if model is None:
        raise UserError(f"{name}: no such promoted model; trackstack runs promoted lists those there are")
    holders = model.holders()
    if found := holders.get(which or CHAMPION):
        return found
    for version in model.versions:
        if which in (version.version, version.version.removesuffix(".0.0")):
            return version
    known = [*(f"{name}@{alias}" for alias in sorted(holders)), *(version.tag for version in model.versions)]
    raise UserError(f"{name}: no {which or CHAMPION}; expected one of {', '.join(known)}")


def history(root: Path, name: str | None) -> list[dict[str, Any]]:
    """A row for each time that an alias was given or taken away, oldest first; and for a version that had none."""
    rows = []
    for model in read_models(root, name or "*").values():
        had = {assignment.version for assignment in model.assignments}
        events: list[tuple[Version, str, Version | Assignment]] = [
            (version, "", version) for version in model.versions if version not in had
        ]
        for assignment in model.assignments:
            # By identity: within a second the same choice may be made twice.
            is_last = assignment is [one for one in model.assignments if one.alias == assignment.alias][-1]
            what = f"no longer {assignment.alias}" if assignment.is_removal else assignment.alias
            events.append((assignment.version, f"{what}, now" if is_last else what, assignment))
        for version, what, event in events:
            about = {"model": model.name, "version": version.version, "run": version.key, "what": what}
            rows.append(about | {"user": event.user, "time": event.time, "why": event.why})
    return rows


def create_tag(root: Path, name: str, commit: str, text: str, why: str, trailers: dict[str, str]) -> str:
    """Write an annotated tag; the line for `git update-ref --stdin` that gives it its name.

    Args:
        text: the message's first line.
        trailers: its last lines, for programs.
    """
    known = os.environ.get("GIT_COMMITTER_NAME") or try_git(root, "config", "user.name")
    tagger = git(root, "var", "GIT_COMMITTER_IDENT", env={} if known else {"GIT_COMMITTER_NAME": user_name()})
    last = "\n".join(f"{key}: {value}" for key, value in trailers.items())
    message = "\n\n".join(filter(None, (text, " ".join(why.split()), last)))
    made = git(root, "mktag", stdin=f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message}\n")
    return f"create refs/tags/{name} {made}"


def _named_model(name: str, versions: list[Version], tags: list[_Tag]) -> NamedModel:
    found = [(match, tag) for tag in tags if (match := ALIAS_TAG.fullmatch(tag.name)) and match["name"] == name]
    found.sort(key=lambda item: int(item[0]["counter"]))
    assignments = []
    for match, tag in found:
        named = [version for version in versions if version.version == tag.trailers.get("Version")]
        for version in (named or [version for version in versions if version.commit == tag.commit])[-1:]:
            removed = bool(match["removed"])
            assignments.append(Assignment(match["alias"], version, removed, tag.user, tag.time, tag.why))
    return NamedModel(name, versions, assignments, int(found[-1][0]["counter"]) if found else 0)


def _read_tags(root: Path, name: str) -> list[_Tag]:
    form = "%00".join(f"%({field})" for field in FIELDS) + "%00"
    patterns = [f"refs/tags/{name}@v*", f"refs/tags/{name}#*"]
    values = git(root, "for-each-ref", f"--format={form}", *patterns).split("\0")
    tags = []
    for first in range(0, len(values) - 1, len(FIELDS)):
        refname, commit, user, time, message = values[first : first + len(FIELDS)]
        if commit:  # a lightweight tag, which no program of these makes
            paragraphs = message.strip().split("\n\n")
            trailers = dict(line.split(": ", 1) for line in paragraphs[-1].splitlines() if ": " in line)
            why = " ".join("\n\n".join(paragraphs[1:-1]).split())
            tags.append(_Tag(refname.lstrip("\n"), commit, user, float(time or 0), why, trailers))
    return tags
