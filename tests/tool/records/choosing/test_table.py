"""Tables for a paper, from runs that were recorded."""

import csv
import io
import itertools
import math
import shutil
import statistics
import subprocess

import numpy as np
import pytest
from support.choosing import write_sweep, write_trial

from trackstack import UserError
from trackstack.records.choosing.selection import select_runs
from trackstack.records.choosing.settings import averaged_params
from trackstack.records.choosing.table import as_csv, as_latex, as_markdown, interval, make_table

NASTY = "a_b&c%$#{~^\\<|>\"'`*[é\n\nx"


def table(home, rows="train.lr", columns=None, over=None, metric="val_accuracy"):
    selection = select_runs(home, metric)
    return make_table(selection.runs, metric, rows, columns, averaged_params(selection.runs, over))


def test_means_spread_and_ids_stand_in_their_cells(tmp_path):
    runs = write_sweep(tmp_path)
    made = table(tmp_path, "train.seed", "train.lr")
    assert (made.rows, made.columns, made.averages) == ([0, 1, 2], [0.001, 0.003], {"tensor_cache.fold": 2})
    assert [[run.key for run in cell.runs] for cell in made.cells] == [
        runs[0:2], runs[6:8], runs[2:4], runs[8:10], runs[4:6], runs[10:12]
    ]  # fmt: skip
    values = [run.figures["val_accuracy"] for run in made.cells[0].runs]
    assert made.cells[0].figure == pytest.approx((statistics.mean(values), statistics.stdev(values)))


def test_markdown_and_csv_have_the_same_figures_with_ids_and_what_they_are(tmp_path):
    runs = write_sweep(tmp_path)
    made = table(tmp_path, columns="dataset")
    lines = as_markdown(made).splitlines()
    assert lines[0] == "| train.lr | dataset tiny |"
    assert lines[2].startswith("| 0.001 | 0.691 ± 0.055 [0.639, 0.742] (6) |")
    assert "averaged over: tensor\\_cache.fold (2), train.seed (3)." in lines
    assert f"* 0.001, tiny: {', '.join(runs[:6])}" in lines
    rows = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert [row["train.lr"] for row in rows] == ["0.001", "0.003"]
    assert float(rows[0]["mean"]) == made.cells[0].figure.mean
    assert (rows[0]["dataset"], rows[0]["runs"], rows[0]["run_ids"].split()) == ("tiny", "6", runs[:6])
    assert float(rows[0]["low"]) < float(rows[0]["mean"]) < float(rows[0]["high"])


def test_a_cell_whose_runs_differ_in_more_is_refused_with_what_to_type(tmp_path):
    write_sweep(tmp_path)
    with pytest.raises(
        UserError, match=r"dataset tiny: its runs differ in train.lr, too \(train.lr: 0.001, 0.003\)"
    ) as e:
        table(tmp_path, "dataset")
    over = str(e.value).partition("--over ")[2].split()[0]
    assert [len(cell.runs) for cell in table(tmp_path, "dataset", over=over).cells] == [12]


def test_a_cell_without_runs_is_empty_and_a_single_run_has_no_spread(tmp_path):
    write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.5})
    write_trial(tmp_path, 0.2, 0, 0, {"val_accuracy": 0.25}, model="mlp")
    made = table(tmp_path, "train.lr", "train.model")
    assert as_markdown(made).splitlines()[2:4] == ["| 0.1 | 0.5000 (1) |  |", "| 0.2 |  | 0.2500 (1) |"]
    assert r"0.1 & $0.5000 (1)$ &  \\" in as_latex(made)


def test_a_run_without_the_parameter_is_left_out_and_said(tmp_path):
    write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.5})
    other = select_runs(tmp_path, "val_accuracy").runs
    run = other[0]._replace(params={}, settings={"stage": "tune"})
    made = make_table([*other, run], "val_accuracy", "train.lr", None, [])
    assert made.left_out == [f"left out: {run.key}: it has no train.lr"]
    with pytest.raises(UserError, match=r"no finished run with val_accuracy has train.lr and dataset"):
        make_table([run], "val_accuracy", "train.lr", "dataset", [])


def test_a_diverged_run_makes_its_mean_no_number_in_every_format(tmp_path):
    for seed in range(5):
        write_trial(tmp_path, 0.1, seed, 0, {"val_accuracy": math.nan if seed == 3 else 0.5})
    made = table(tmp_path)
    assert "| nan (5) |" in as_markdown(made)
    assert as_csv(made).splitlines()[1].startswith("0.1,val_accuracy,,,,,5,r")


def test_the_interval_is_that_of_all_resamples_and_the_same_each_time():
    values = np.array([0.1, 0.4, 0.35, 0.9, 0.6, 0.55])
    resamples = [drawn for drawn in itertools.product(values, repeat=6) if len(set(drawn)) > 1]
    away = [(statistics.fmean(drawn) - values.mean()) / np.std(drawn, ddof=1) for drawn in resamples[::17]]
    low, high = values.mean() - np.percentile(away, [97.5, 2.5]) * values.std(ddof=1)
    assert interval(values) == pytest.approx((low, high), abs=0.02)
    assert interval(values) == interval(values)
    assert interval(np.full(6, 0.1)) == (0.1, 0.1)
    assert interval(values[:5]) is None


def test_of_a_hundred_intervals_about_ninety_five_have_the_mean():
    random = np.random.default_rng(0)
    bounds = [interval(random.normal(size=6)) for _ in range(200)]
    covered = statistics.mean(low < 0 < high for low, high in bounds)
    assert 0.91 < covered < 0.98  # 0.85 by the percentiles of the means


def test_the_latex_compiles_whatever_parameters_are_called(tmp_path):
    if (pdflatex := shutil.which("pdflatex")) is None or subprocess.run(["kpsewhich", "booktabs.sty"]).returncode:
        pytest.skip("no pdflatex with booktabs; apt install texlive-latex-base texlive-latex-recommended")
    write_sweep(tmp_path)
    for seed in range(5):
        write_trial(tmp_path, 0.001, seed, 0, {"val_accuracy": seed / 10}, model=NASTY)
    made = table(tmp_path, "train.model", "train.lr")
    text = as_latex(made)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + text + "\n\\end{document}\n"
    )
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
    assert all(run.key in text for cell in made.cells for run in cell.runs)
