"""The documents' commands, typed in one shell in their order, as a person would."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.projects import command_environment

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN_FILE = re.compile(r"^`([^`\s]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What a person reads in a placeholder's place.
REPLACED = {
    "<this repository>": '"$ORIGIN"',
    "/fs/ess/PAS1234": '"$STORE"',
    "range(8)": "range(1)",  # these cost time alone
    "range(4)": "range(2)",
    "range(5)": "range(1)",
    "0.001,0.003": "0.003",
    "--plot sweep.png": "--plot sweep.png --metric val_loss",  # on tiny data the accuracies are equal
    "seed=0,1,2": "seed=0",
    "seed=1,2,3": "seed=1",
    "seed=0,1": "seed=0",
    "seed=1,2": "seed=1",
    "r1234": "$(nth_run 1)",
    "r5678": "$(nth_run 2)",
    "r9abc": "$(nth_run 3)",
}
# What goes on after the command has returned, and is waited for.
UNTIL_DONE = {
    "sbatch": "until_no_job",
    "trackstack submit": "until_no_job",
}
LIMIT_SECONDS = 2400
PRELUDE = r"""
make() { command make -o .venv/.installed -o .venv-lab/.installed "$@"; }   # the environment is there
nth_run() { ls -t "$(git rev-parse --show-toplevel)/runs" | sed -n "$1p;\$p" | head -n 1; }
link_environment() { for name in .venv .venv-lab; do ln -s "$VENV" "$1/$name"; done; }
git() { command git "$@" && { [ "$1" != clone ] || link_environment "${@: -1}"; }; }
step() { printf '\036%s\037' "$1"; eval "$1" </dev/null 2>&1; }
works() { step "$1" || { echo "FAILED: exit code $?"; exit 1; }; }
until_no_job() {
  for _ in {1..2400}; do [ -n "$(squeue --noheader)" ] || return 0; sleep 0.5; done
  squeue; echo "FAILED: it does not end"; exit 1
}
fails() { ! step "$1" || { echo "FAILED: expected an error"; exit 1; }; }
"""
# What a person does in an editor: writes the file that the document shows, or what is written here.
EDITOR = """#!/usr/bin/env python
import json, os, shutil, sys
from pathlib import Path
from ruamel.yaml import YAML

for file in map(Path, sys.argv[1:]):
    shown = Path(os.environ["SHOWN"], file)
    if file.name == "params.yaml":
        edits = Path(os.environ["PARAMS"])
        changes, *later = json.loads(edits.read_text())
        edits.write_text(json.dumps(later))
        yaml = YAML()  # keeps comments, as a person does
        yaml.width = 1000
        params = yaml.load(file)
        for section, values in changes.items():
            params[section].update(values) if isinstance(values, dict) else params.update({section: values})
        yaml.dump(params, file)
    elif file.name == "dvc.yaml":  # a stage goes below the others
        stages, rest = file.read_text().split("\\nparams:\\n")
        file.write_text(f"{stages}\\n{shown.read_text()}\\nparams:\\n{rest}")
    elif shown.exists():
        file.parent.mkdir(exist_ok=True)
        shutil.copy(shown, file)
    elif file.suffix == ".csv":
        file.write_text(file.read_text().replace(",up\\n", ",down\\n", 1))
    else:
        with file.open("a") as opened:
            opened.write("" if file.suffix == ".py" else "# a line\\n")
"""


class Command(NamedTuple):
    """A line of a console block."""

    line: str
    fails: bool


def commands(document: Path) -> Iterator[Command]:
    """The command lines of the console blocks, and whether they are to fail."""
    for kind, text in BLOCK.findall(document.read_text()):
        for line in text.replace("\\\n", "").splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                command, _, comment = re.sub(r"\s{2,}#", "\0", line[2:], count=1).partition("\0")
                yield Command(command.strip(), comment.strip().startswith("fails"))


def type_commands(
    document: Path, typed: Iterable[Command], folder: Path, home: Path, edits: list[dict[str, Any]], **variables: str
) -> list[tuple[str, str]]:
    """Type commands in a folder and return each with what it printed; the first that does not as it should fails.

    Args:
        document: where they stand; the files that it shows are what `$EDITOR` writes.
        home: `~`; what the commands need that is in no document lies in it, too.
        edits: what `$EDITOR params.yaml` changes, one after the other.
        variables: of the environment; `ORIGIN` is the repository that is cloned.
    """
    for name, text in SHOWN_FILE.findall(document.read_text()):
        (home / "shown" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "shown" / name).write_text(text)
    (home / "store/tester").mkdir(parents=True, exist_ok=True)
    (home / "params.json").write_text(json.dumps(edits))
    (home / "editor").write_text(EDITOR)
    (home / "editor").chmod(0o755)
    names = {"SHOWN": "shown", "STORE": "store", "PARAMS": "params.json", "EDITOR": "editor"}
    lines = [PRELUDE]
    for command in typed:
        line = command.line
        for placeholder, value in REPLACED.items():
            line = line.replace(placeholder, value)
        lines.append(f"{'fails' if command.fails else 'works'} {shlex.quote(line)}")
        lines += [wait for start, wait in UNTIL_DONE.items() if line.startswith(start)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=command_environment()
        | {"HOME": str(home), "TRACKSTACK_SINKS": "sqlite", "USER": "tester", "VENV": sys.prefix}
        | {name: str(home / place) for name, place in names.items()}
        | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{document.name}:\n{done.stdout[-5000:]}\n{done.stderr[-2000:]}")
    outputs = [output.partition("\037") for output in done.stdout.split("\036")[1:]]
    return [(line, text) for line, _, text in outputs]


def output_of(outputs: list[tuple[str, str]], start: str, nth: int = 0) -> str:
    """What the nth of the commands that begin so has printed."""
    return [text for line, text in outputs if line.startswith(start)][nth]
