"""Every command under every hostile setting: a diagonal of the table here, all of it with `pytest --matrix`."""

import json
import subprocess
import urllib.error
import urllib.request

import pytest
from support.hostile import (
    ADDRESSES,
    NOT_CLONED,
    NOT_IN_MLFLOW,
    NOT_LAUNCHED,
    REFUSED,
    SETTINGS,
    build_line,
    enter,
    recorded,
)
from support.processes import started
from support.projects import run_in
from support.shared import built_once
from support.sweeps import experiments

COMMANDS = {
    "repro": "dvc repro -q",
    "exp run": "dvc exp run -q -S lr=2",
    "queue": "dvc exp run -q --queue -S lr=2 && dvc exp run -q --run-all",
    "--temp": "dvc exp run -q --temp -S lr=2",
    "sweep --local": "trackstack sweep -S lr=2 --local",
    "--pinned": "bash slurm/repro.sh --pinned",
    "sweep": "trackstack sweep -S lr=2",
    "submit": "trackstack submit",
    "push and pull": (
        "dvc repro -q && git='env -u GIT_DIR git' && $git init -q --bare ../hub.git && $git remote add hub \"$PWD/../hub.git\""
        " && dvc remote add -q --local -d store ../store && trackstack push && rm -r runs && trackstack pull"
    ),
    "predict": "trackstack predict data/raw/tiny/subject_1.csv --out labels.csv",
    "catalog add": "trackstack catalog add data/raw/tiny/subject_1.csv --name own --label label --yes",
    "data diff": "trackstack data diff",
    "ui": "trackstack ui --local",
}
OF_DVC = ("repro", "exp run", "queue", "--temp", "push and pull")
ON_A_CLUSTER = ("sweep", "submit")
OF_THE_PIPELINE = ("predict", "catalog add", "data diff")
DIAGONAL = [
    *(
        ("repro", setting)
        for setting in ("a newline", "#, % and ;", "time zone and threads", "a symlink", "a worktree")
    ),
    *(("exp run", setting) for setting in ("GIT_DIR", "remote and template", "a file that is not UTF-8")),
    ("--temp", "quotes and $"),
    ("sweep --local", "line ends and colours"),
    ("sweep --local", "not UTF-8"),
    ("--pinned", "signing and hooks"),
    ("--pinned", "a folder of a larger repository"),
    ("--pinned", "braces"),
    ("sweep", "no home"),
    ("submit", "an outer job"),
    ("push and pull", "signing and hooks"),
    ("push and pull", "a newline"),
    ("predict", "locale C"),
    ("predict", "another Python's modules"),
    ("catalog add", "200 characters"),
    ("data diff", "a folder of a larger repository"),
    ("data diff", "GIT_DIR"),
]
ONLY_IN_THE_MATRIX = {"queue", "ui"}
"""Half a minute of CPU each; `tests/tool/cluster/test_ui.py` serves pages, too."""


def pytest_generate_tests(metafunc):
    every = [(command, setting) for command in COMMANDS for setting in SETTINGS]
    cells = every if metafunc.config.getoption("--matrix") else DIAGONAL
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", cells, ids=[" - ".join(cell) for cell in cells])


@pytest.fixture
def case(request, cell, tmp_path, tmp_path_factory):
    """A project that the command is about, under the setting."""
    command, setting = cell
    if (command in OF_DVC and setting in REFUSED) or (command in ("queue", "--temp") and setting in ADDRESSES):
        pytest.skip("DVC itself fails; trackstack doctor says why")
    if command in OF_THE_PIPELINE:
        return enter(setting, request.getfixturevalue("tiny_project"), tmp_path)
    found = enter(setting, built_once(tmp_path_factory, "line", build_line), tmp_path)
    if command in ON_A_CLUSTER:
        more = request.getfixturevalue("cluster").environment
        return found._replace(environment=found.environment | {"SLURM_CONF": more["SLURM_CONF"]})
    return found


def test_the_diagonal_has_every_command_and_every_setting():
    assert {command for command, _ in DIAGONAL} == set(COMMANDS) - ONLY_IN_THE_MATRIX
    assert {setting for _, setting in DIAGONAL} == set(SETTINGS)


def test_a_command_works_or_is_refused_by_one_line(cell, case, request):
    command, setting = cell
    refused = setting in refusals(command)
    if command == "ui" and not refused:
        experiments_page, runs_page = served(case)
        assert '"trackstack"' in experiments_page
        assert json.loads(runs_page)
        return
    done = run_in(case.folder, COMMANDS[command], expect=None, env=case.environment)
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    assert done.returncode == (1 if refused else 0), output
    if refused:
        assert "rename it" in done.stderr.splitlines()[-1]
        assert run_in(case.folder, "git status --porcelain").stdout == "", "nothing is half done"
        return
    if command in ON_A_CLUSTER:
        cluster = request.getfixturevalue("cluster")
        cluster.until(lambda: not cluster.run(case.folder, "squeue -h").stdout, "the jobs to end")
    if command not in OF_THE_PIPELINE:
        assert recorded(case.folder) == 1, output
        assert len(experiments(case.folder)) == (command not in ("repro", "submit", "push and pull"))


def refusals(command):
    """The settings under which a command cannot work, and says so."""
    more = {
        "sweep --local": NOT_CLONED,
        "--pinned": NOT_CLONED,
        "sweep": (*NOT_CLONED, *NOT_LAUNCHED),
        "submit": NOT_LAUNCHED,
    }
    if command == "predict":
        return ()
    return NOT_IN_MLFLOW if command == "ui" else (*REFUSED, *more.get(command, ()))


def served(case):
    """What the pages know of one recorded run; nobody serves any more afterwards."""
    run_in(case.folder, "python train.py 1", env=case.environment | {"TRACKSTACK_SINKS": "mlflow,tensorboard"})
    environment = case.environment | {"BROWSER": "true"}
    command = ["trackstack", "ui", "--local"]
    with started(command, cwd=case.folder, env=environment, stderr=subprocess.STDOUT) as process:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        assert all(": http://127.0.0.1:" in line for line in lines), "".join([*lines, process.stdout.read()])
        mlflow, board = (line.partition(": ")[2] for line in lines)
        found = [get(f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=9"), get(f"{board}/data/runs")]
    for address in (mlflow, board):
        with pytest.raises(urllib.error.URLError):
            get(address)
    return found


def get(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()
