"""What a script hands over is recorded as plain values, and every misuse is one line that says what to type."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from support.projects import ROOT

from trackstack import UserError
from trackstack.tracking.run import start_run


def logged(home):
    (journal,) = home.glob("runs/*/journal-1.jsonl")
    return [json.loads(line) for line in journal.read_text().splitlines()]


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, np.float64(1.5), np.float32(1.5), np.array(1.5), np.array([1.5])),
        *(torch.tensor(1.5), torch.tensor([1.5], requires_grad=True), torch.tensor(1.5, dtype=torch.bfloat16)),
        *(Decimal("1.5"), Fraction(3, 2)),
    ],
)
def test_one_number_of_any_kind_is_recorded_as_it_is(home, value):
    with start_run("mine") as run:
        run.log({"loss": value}, step=np.int64(3))
    (record,) = [record for record in logged(home) if record["type"] == "metrics"]
    assert (record["step"], record["values"]) == (3, {"loss": 1.5})


def test_parameters_of_numpy_and_torch_name_the_same_run_as_python_s(home):
    ids = set()
    for params in (
        {"n": 3, "lr": 0.5, "sizes": [1, 2]},
        {"n": np.int64(3), "lr": torch.tensor(0.5), "sizes": (1, 2)},
    ):
        with start_run("mine", params) as run:
            ids.add(run.id)
    assert len(ids) == 1


def test_an_artifact_is_a_path_or_its_text(home):
    (home / "figure.png").write_bytes(b"x")
    with start_run("mine") as run:
        run.log_artifact("figure.png", kind="plot")
        run.log_artifact(Path("figure.png"), kind="plot")
    assert [record["name"] for record in logged(home) if record["type"] == "artifact"] == ["figure.png"] * 2


NUMBER = "expected one number"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda run: start_run(None), "start_run: the name is None (NoneType); expected a text"),
        (lambda run: start_run({"lr": 1}), "start_run: the name is {'lr': 1} (dict); expected a text"),
        (lambda run: start_run("x", [1]), "start_run: params is [1] (list); expected a dict, such as {'lr': 0.1}"),
        (lambda run: start_run("x", {1: 2}), "start_run: params has the key 1 (int); expected texts as keys"),
        (
            lambda run: start_run("x", {"a": {"lr": float("nan")}}),
            "start_run: params['a']['lr'] is nan, which names no",
        ),
        (lambda run: start_run("x", {"a": [{1, 2}]}), "start_run: params['a'][0] is {1, 2} (set); expected a text"),
        (
            lambda run: start_run("x", {"a": Path("b")}),
            "start_run: params['a'] is PosixPath('b') (PosixPath); expected",
        ),
        (lambda run: start_run("x", {"a": np.ones(3)}), "start_run: params['a'] is ndarray of shape (3,); expected"),
        (lambda run: start_run("x", data="iris.csv"), "start_run: data is 'iris.csv' (str); expected a dict"),
        (
            lambda run: start_run("x", data={"name": "iris"}),
            "start_run: data['version'] is None (NoneType); expected",
        ),
        (
            lambda run: start_run("x", data={"name": "a", "version": "1", "fold": 1}),
            "start_run: data has 'fold'; expected",
        ),
        (lambda run: start_run("mine"), "start_run: run r"),  # being recorded
        (lambda run: run.log(0.5, 0), "run.log: the first argument is 0.5 (float); expected a dict"),
        (lambda run: run.log({"loss": "0.5"}, 0), f"run.log: loss is '0.5' (str); {NUMBER}"),
        (lambda run: run.log({"loss": None}, 0), f"run.log: loss is None (NoneType); {NUMBER}"),
        (lambda run: run.log({"loss": 1j}, 0), f"run.log: loss is 1j (complex); {NUMBER}"),
        (lambda run: run.log({"loss": np.ones((2, 3))}, 0), f"run.log: loss is ndarray of shape (2, 3); {NUMBER}"),
        (lambda run: run.log({"loss": torch.ones(2)}, 0), f"run.log: loss is Tensor of shape (2,); {NUMBER}"),
        (lambda run: run.log({float("nan"): 1}, 0), "run.log: a metric is called nan (float); expected a text"),
        (lambda run: run.log({"": 1}, 0), "run.log: a metric is called '' (str); expected a text"),
        (lambda run: run.log({"loss": 1}, 0.5), "run.log: step is 0.5 (float); expected a whole number"),
        (lambda run: run.log({"loss": 1}, None), "run.log: step is None (NoneType); expected a whole number"),
        (lambda run: run.log({"loss": 1}, 2**63), "run.log: step is 9223372036854775808 (int); expected one of at"),
        (lambda run: run.log({"loss": 10**309}, 0), "run.log: loss is 1000"),
        (lambda run: run.log_artifact("none.png"), "none.png: there is no such file or folder in "),
        (lambda run: run.log_artifact(3), "run.log_artifact: 3 (int) is no path; expected a file or a folder"),
        (
            lambda run: run.log_artifact(".", "picture"),
            "run.log_artifact: kind is 'picture' (str); expected one of file,",
        ),
        (lambda run: run.finish("done"), "run.finish: the status is 'done'; expected one of finished, interrupted"),
        (lambda run: (run.finish(), run.log({"loss": 1}, 0)), "run.log: run r"),
        (lambda run: (run.finish(), run.__enter__()), "run.__enter__: run r"),
    ],
)
def test_a_misuse_is_one_line(home, call, line):
    run = start_run("mine")
    try:
        with pytest.raises(UserError) as refused:
            call(run)
    finally:
        if not run.status:
            run.finish()
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_a_step_that_goes_backwards_is_said_once(home, capsys):
    with start_run("mine") as run:
        for step in (0, 5, 5, 3, 2):
            run.log({"loss": 1.0}, step)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: run.log: loss at step 5 comes after step 5; of each step the first value counts"


def test_in_a_script_a_misuse_is_one_line_with_its_place(home):
    (home / "script.py").write_text(
        "import trackstack\n\nwith trackstack.start_run('mine') as run:\n    run.log(1, 0)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "script.py"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    place = f"{home / 'script.py'}, line 4: "
    assert done.stderr == f"{place}run.log: the first argument is 1 (int); expected a dict, such as {{'loss': 0.5}}\n"
    assert [record["status"] for record in logged(home) if record["type"] == "end"] == ["failed"]
