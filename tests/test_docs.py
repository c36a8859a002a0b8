"""The documents keep their word: their commands run, their links lead somewhere, their messages are those of the code."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import (
    ROOT,
    TINY_ENTRY,
    TINY_PARAMS,
    command_environment,
    copy_checkout,
    edit_yaml,
    run_in,
    write_tiny_recordings,
)
from test_own_data import table

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What a test cannot type, and why. An entry that no document needs any more fails.
NOT_RUN = {
    r".*pre-commit install": "needs a repository of the person",
    r"^make (test|lint)": "that is where this runs",
    r"^mlflow ui": "serves until it is ended: tests/test_ui.py",
    r"^tensorboard": "serves until it is ended: tests/test_ui.py",
    r"^trackstack ui": "serves until it is ended: tests/test_ui.py",
    r"^python benchmarks/": "benchmarks take minutes; their short versions are tests",
    r"^trackstack runs promote": "needs a run recorded in MLflow: tests/test_tracking.py",
    r"^trackstack predict .*models:/": "needs a model in MLflow's registry: tests/test_predict.py",
    r"^ssh ": "needs OSC",
    r"^tail -f": "ends with Ctrl-C",
}
# What a person reads in a placeholder's place.
REPLACED = {
    "<this repository>": '"$ORIGIN"',
    "/fs/ess/PAS1234": '"$STORE"',
    "range(8)": "range(1)",  # these cost time alone
    "range(4)": "range(2)",
    "range(5)": "range(1)",
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
    "dvc queue start": "while dvc queue status | grep -qE 'Queued|Running'; do sleep 0.5; done",
    "sbatch": 'while [ -n "$(squeue -h)" ]; do sleep 0.5; done',
    "trackstack submit": 'while [ -n "$(squeue -h)" ]; do sleep 0.5; done',
}
PRELUDE = r"""
make() { command make -o .venv/.installed -o .venv-lab/.installed "$@"; }   # the environment is there
nth_run() { ls -t "$(git rev-parse --show-toplevel)/runs" | sed -n "$1p;\$p" | head -n 1; }
git() { command git "$@" && { [ "$1" != clone ] || { ln -s "$VENV" trackstack/.venv; ln -s "$VENV" trackstack/.venv-lab; }; }; }
step() { echo "\$ $1"; eval "$1" </dev/null 2>&1; }
works() { step "$1" || { echo "FAILED: exit code $?"; exit 1; }; }
fails() { ! step "$1" || { echo "FAILED: expected an error"; exit 1; }; }
"""
# What a person does in an editor, by file.
EDITOR = """#!/bin/sh
for file; do case "$file" in
  params.yaml) printf '%s\\n' 'import sys, yaml, pathlib' 'file = pathlib.Path("params.yaml")' \\
    'params = yaml.safe_load(file.read_text())' 'params["models"]["mine"] = {"hidden": 64, "dropout": 0.3}' \\
    'file.write_text(yaml.safe_dump(params, sort_keys=False))' | python - ;;
  slurm/site.env) echo '# my account' >>"$file" ;;
  *.csv) sed -i '2s/,up$/,down/' "$file" ;;
  *) [ -f "$file" ] ;;
esac; done
"""


def name_of(path):
    return str(path.relative_to(ROOT))


def commands(document):
    """Command lines of the console blocks, and whether they are to fail."""
    for kind, text in BLOCK.findall(document.read_text()):
        for line in text.replace("\\\n", "").splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                command, _, comment = re.sub(r"\s{2,}#", "\0", line[2:], count=1).partition("\0")
                yield command.strip(), comment.strip().startswith("fails")


def not_run(command):
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command)), None)


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """This repository with a tiny dataset under each of the sample's names, committed and reproduced."""
    folder = copy_checkout(tmp_path_factory.mktemp("docs") / "origin", without=("data/bundled", "data/raw"))
    entries = {}
    for name in ("sensor_v1", "sensor_v2"):
        write_recordings(folder / "data/raw" / name)
        entries[name] = TINY_ENTRY | {"path": f"data/raw/{name}"}
    (folder / "data/catalog.yaml").write_text(yaml.safe_dump({"datasets": entries}, sort_keys=False))
    edit_yaml(folder / "params.yaml", TINY_PARAMS | {"dataset": "sensor_v2"})
    run_in(folder, "dvc add -q data/raw/sensor_v1 data/raw/sensor_v2")
    for name in entries:
        pointer = folder / f"data/raw/{name}.dvc"
        content = yaml.safe_load(pointer.read_text())
        content["outs"][0]["remote"] = "bundled"
        pointer.write_text(yaml.safe_dump(content, sort_keys=False))
    run_in(
        folder,
        "dvc push -q -r bundled && TRACKSTACK_SINKS=sqlite dvc repro && git add -A && git commit -qm 'Tiny data'",
    )
    return folder


def write_recordings(folder):
    """Named as the sample's files are."""
    write_tiny_recordings(folder)
    for file in folder.iterdir():
        file.rename(file.with_name(file.name.replace("_", "_0")))


def write_own_files(folder):
    """What docs/own-data.md begins with."""
    path, _ = table("european_wine", folder)
    text = path.read_bytes().replace(b"Raum;", b"Verkostung;", 1)
    (folder / "december").mkdir()
    for file in (folder / "weine.csv", folder / "december/weine.csv"):
        file.write_bytes(text)
    lines = ["file,activity,person"]
    for person in ("p01", "p02", "p03", "p04"):
        (folder / "recordings" / person).mkdir(parents=True)
        for number, activity in enumerate(("run", "walk")):
            rows = [f"{(-1) ** (row * (2 - number) // 2)}.5,{row % 7}.25,{number}.125" for row in range(40)]
            (folder / f"recordings/{person}/{activity}_1.csv").write_text("\n".join(["x,y,z", *rows]) + "\n")
            lines.append(f"{person}/{activity}_1.csv,{activity},{person}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document):
    text = document.read_text()
    for target in LINK.findall(text) + PICTURE.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


def anchors(file):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_can_be_found_from_the_readme():
    named = set(LINK.findall((ROOT / "README.md").read_text()))
    missing = {name_of(document) for document in DOCUMENTS} - named - {"README.md"}
    assert not missing


def test_nothing_is_left_out_without_need():
    used = {not_run(command) for document in DOCUMENTS for command, _ in commands(document)}
    assert set(NOT_RUN) <= used


def script_of(document):
    lines = [PRELUDE]
    for command, fails in commands(document):
        if not not_run(command):
            for placeholder, value in REPLACED.items():
                command = command.replace(placeholder, value)
            lines.append(f"{'fails' if fails else 'works'} {shlex.quote(command)}")
            lines += [wait for start, wait in UNTIL_DONE.items() if command.startswith(start)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if d.name != "cli.md" and any(not not_run(command) for command, _ in commands(d))],
    ids=name_of,
)
def test_every_command_runs(document, origin, tmp_path, request):
    environment = command_environment()
    if "$ sbatch" in document.read_text():
        environment |= request.getfixturevalue("cluster").environment
    folder = tmp_path
    if "git clone" not in document.read_text():
        folder = tmp_path / "trackstack"
        shutil.copytree(origin, folder, symlinks=True)
    for file in (tmp_path / "editor", tmp_path / "store/tester/x"):
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(EDITOR)
        file.chmod(0o755)
    write_recordings(tmp_path / "recordings")
    if document.name == "own-data.md":
        write_own_files(folder)
    environment |= {
        "HOME": str(tmp_path),
        "TRACKSTACK_SINKS": "sqlite",
        "USER": "tester",
        "EDITOR": str(tmp_path / "editor"),
        "VENV": sys.prefix,
        "ORIGIN": str(origin),
        "STORE": str(tmp_path / "store"),
    }
    done = subprocess.run(
        ["bash", "-c", script_of(document)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_command_reference_is_what_the_commands_say(tmp_path, run):
    written = tmp_path / "cli.md"
    run(ROOT, ["typer", "trackstack.cli", "utils", "docs", "--name", "trackstack", "--output", str(written)])
    assert (ROOT / "docs/cli.md").read_text() == written.read_text(), "make reference"


def test_messages_in_the_table_of_troubles_are_those_of_the_code():
    sources = " ".join(file.read_text() for file in (ROOT / "src/trackstack").rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # strings that go on in the next line
    section = (ROOT / "docs/troubleshooting.md").read_text().split("## Data\n")[1]
    quoted = re.findall(r"^\| `([^`]+)`", section.split("## Record")[0], re.MULTILINE)
    assert len(quoted) >= 6
    for message in quoted:
        for part in filter(None, (part.strip(" ,") for part in message.split("..."))):
            assert part in sources, part
