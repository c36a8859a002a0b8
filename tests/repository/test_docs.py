"""The documents can be trusted: their commands run, their links lead somewhere, their messages are those of the code."""

import re
import shutil

import pytest
import yaml
from support.documents import commands, type_commands
from support.projects import ROOT, TINY_ENTRY, TINY_PARAMS, copy_checkout, edit_yaml, run_in, write_tiny_recordings
from support.shared import built_once
from support.tables import table

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")

# What a test cannot type, and why. An entry that no document needs any more fails.
NOT_RUN = {
    r".*pre-commit install": "needs a repository of the person",
    r"^make (test|lint)": "that is where this runs",
    r"^mlflow ui": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^tensorboard": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^trackstack ui": "serves until it is ended: tests/tool/cluster/test_ui.py",
    r"^python benchmarks/": "benchmarks take minutes; their short versions are tests",
    r"^trackstack runs promote": "needs a run recorded in MLflow: tests/pipeline/test_recorded_runs.py",
    r"^trackstack predict .*models:/": "needs a model in MLflow's registry: tests/pipeline/predict/test_pyfunc.py",
    r"^ssh ": "needs OSC",
    r"^tail -f": "ends with Ctrl-C",
}
# Commands that take long and stand in several documents: by document, how they begin and where they are typed instead.
TYPED_ELSEWHERE = {
    "README.md": {
        "sbatch": "osc.md",
        "trackstack submit": "osc.md",
        "trackstack sweep": "osc.md",
        "dvc exp run --queue": "experiments.md",
        "dvc queue": "experiments.md",
    },
    "tutorial.md": {"trackstack sweep": "experiments.md"},
}
# Typed by tests of their own.
OTHERS = {"cli.md", "your-project.md"}


def name_of(path):
    return str(path.relative_to(ROOT))


def not_run(command):
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command.line)), None)


def typed(document):
    """The commands of a document that are typed for it."""
    elsewhere = tuple(TYPED_ELSEWHERE.get(document.name, ()))
    return [
        command for command in commands(document) if not not_run(command) and not command.line.startswith(elsewhere)
    ]


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """This repository with a tiny dataset under each of the sample's names, committed and reproduced."""

    def build(place):
        folder = copy_checkout(place / "origin", without=("data/bundled", "data/raw"))
        entries = {}
        for name in ("sensor_v1", "sensor_v2"):
            write_recordings(folder / "data/raw" / name)
            entries[name] = TINY_ENTRY | {"path": f"data/raw/{name}"}
        (folder / "data/catalog.yaml").write_text(yaml.safe_dump({"datasets": entries}, sort_keys=False))
        cheap = {"dataset": "sensor_v2", "train": TINY_PARAMS["train"] | {"epochs": 1}}
        edit_yaml(folder / "params.yaml", TINY_PARAMS | cheap)
        run_in(folder, "dvc add -q data/raw/sensor_v1 data/raw/sensor_v2 && dvc remote add -f bundled data/bundled")
        for name in entries:
            pointer = folder / f"data/raw/{name}.dvc"
            content = yaml.safe_load(pointer.read_text())
            content["outs"][0]["remote"] = "bundled"
            pointer.write_text(yaml.safe_dump(content, sort_keys=False))
        run_in(folder, "dvc push -q -r bundled && TRACKSTACK_SINKS=sqlite dvc repro")
        run_in(folder, "git add -A && git commit -qm 'Tiny data'")

    return built_once(tmp_path_factory, "docs", build) / "origin"


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


PATH = re.compile(r"`((?:src|tests|stages|docs|slurm|benchmarks|data)/[\w./-]+\.(?:py|md|ya?ml|sh|env))`")
MADE_UP = re.compile(r"NAME|export|(mine|ours)\.py")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_that_is_named_exists(document):
    paths = [path for path in PATH.findall(document.read_text()) if not MADE_UP.search(path)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_document_can_be_found_from_the_readme():
    named = set(LINK.findall((ROOT / "README.md").read_text()))
    missing = {name_of(document) for document in DOCUMENTS} - named - {"README.md"}
    assert not missing


def test_nothing_is_left_out_without_need():
    used = {not_run(command) for document in DOCUMENTS for command in commands(document)}
    assert set(NOT_RUN) <= used
    for name, elsewhere in TYPED_ELSEWHERE.items():
        for start, other in elsewhere.items():
            for holder in (name, other):
                (document,) = [document for document in DOCUMENTS if document.name == holder]
                assert [command for command in commands(document) if command.line.startswith(start)], holder
            assert start not in TYPED_ELSEWHERE.get(other, {})


def test_the_tests_that_stand_for_what_is_not_run_are_there():
    for reason in NOT_RUN.values():
        for file in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / file).exists(), file


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.name not in OTHERS and typed(d)], ids=name_of)
def test_every_command_runs(document, origin, tmp_path, request):
    text = document.read_text()
    if any(command.line.startswith("sbatch") for command in typed(document)):
        variables = request.getfixturevalue("cluster").environment
    else:
        variables = {"PATH": request.getfixturevalue("path_without_slurm")}
    folder = tmp_path
    if "<this repository>" not in text:
        folder = tmp_path / "trackstack"
        shutil.copytree(origin, folder, symlinks=True)
    write_recordings(tmp_path / "recordings")
    if document.name == "own-data.md":
        write_own_files(folder)
    edits = [{"models": {"mine": {"hidden": 64, "dropout": 0.3}}}]
    type_commands(document, typed(document), folder, tmp_path, edits, ORIGIN=str(origin), **variables)


def test_the_command_reference_is_what_the_commands_say(tmp_path, run):
    written = tmp_path / "cli.md"
    run(ROOT, ["typer", "trackstack.cli", "utils", "docs", "--name", "trackstack", "--output", str(written)])
    assert (ROOT / "docs/cli.md").read_text() == written.read_text(), "make reference"


def test_messages_in_the_table_of_troubles_are_those_of_the_code():
    sources = " ".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # strings that go on in the next line
    section = (ROOT / "docs/troubleshooting.md").read_text().split("## Data\n")[1]
    quoted = re.findall(r"^\| `([^`]+)`", section.split("## Record")[0], re.MULTILINE)
    assert len(quoted) >= 6
    for message in quoted:
        for part in filter(None, (part.strip(" ,") for part in message.split("..."))):
            assert part in sources, part
