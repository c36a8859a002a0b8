"""The report: one small file, the same bytes everywhere, to be read in light and dark without JavaScript."""

import socket
from html.parser import HTMLParser

import browser
import numpy as np
import pytest
import torch
from conftest import run_in

from trackstack.evaluate import measure
from trackstack.params import EvaluateParams
from trackstack.report import hardest_windows, wilson, write_report
from trackstack.windows import TensorCache, WindowDataset

REPORT = "results/evaluation/report.html"


def made_up(tmp_path, classes, features, groups, window, rate=None, windows=600):
    """An evaluation of random probabilities on a random signal, with a segment for each group."""
    random = np.random.default_rng(0)
    length = windows * window
    starts = torch.arange(windows) * window
    edges = torch.linspace(0, length, groups + 1).long()
    about = {
        "window": window,
        "sample_rate_hz": rate,
        "features": [{"name": name} for name in features],
        "classes": classes,
        "group": "site",
        "groups": [f"site {number}" for number in range(groups)],
        "split": {"train": ["a"], "val": ["b"], "test": [f"site {number}" for number in range(groups)]},
        "digests": {"ingest": "1" * 64, "parquet": "2" * 64},
        "digest": "3" * 64,
    }
    signal = torch.from_numpy(random.normal(size=(length, len(features))).astype(np.float32))
    zeros = torch.zeros(len(features))
    labels = torch.from_numpy(random.integers(len(classes), size=length))
    cache = TensorCache(signal, labels, {"test": starts}, zeros, zeros + 1, about, edges, torch.arange(groups))
    windows = WindowDataset(cache, "test")
    probs_WK = random.dirichlet(np.ones(len(classes)), size=len(windows))
    column = {"count": length, "nulls": 0, "min": -3.0, "max": 3.0, "mean": 0.0, "std": 1.0}
    column["quantiles"] = {"0.01": -2.3, "0.25": -0.7, "0.5": 0.0, "0.75": 0.7, "0.99": 2.3}
    model = {
        "run": "r0123456789ab",
        "model": "mlp",
        "model_params": {"hidden": 8},
        "dataset": "made up",
        "digest": "4",
    }
    profile = {
        "columns": dict.fromkeys(features, column),
        "rows": {"read": length, "accepted": length, "rejected": 0},
        "classes": dict.fromkeys(classes, 6),
    }
    return measure(
        windows,
        probs_WK,
        EvaluateParams(calibration_bins=10, threads=1),
        split="test",
        model=model | {"window": window, "stride": window},
        live=tmp_path / "no curves",
        profile=profile,
    )


class Balanced(HTMLParser):
    """Holds that every element is closed where it should be, and that nothing comes from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attributes:
            assert name not in ("src", "srcset"), (tag, value)
            if name in ("href", "xlink:href"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(text):
    parser = Balanced()
    parser.feed(text)
    assert not parser.open
    return parser


def test_the_pipelines_report_has_everything_and_names_no_place(tiny_project):
    text = (tiny_project / REPORT).read_text()
    parser = parse(text)
    said = " ".join(" ".join(parser.text).split())
    parts = ("Learning curves", "Confusion matrix", "By class and by subject", "Calibration", "The hardest windows")
    for part in (*parts, "Data", "Parameters", "Lineage", "val_accuracy", "train.lr", "tensor cache"):
        assert part in said
    assert "script" not in parser.seen
    for place in (str(tiny_project), str(tiny_project.parent), socket.gethostname(), "Matplotlib", "/home/"):
        assert place not in said, place


def test_another_checkout_makes_the_same_bytes_and_its_run_has_the_report(project, tiny_project):
    arguments = "data/cache results/model results/live data/processed/profile.json results/evaluation"
    run_in(project, "dvc unprotect results/evaluation")
    run_in(project, f"env PYTHONPATH=src python -P stages/evaluate.py {arguments}")
    for file in sorted((tiny_project / "results/evaluation").iterdir()):
        assert (project / "results/evaluation" / file.name).read_bytes() == file.read_bytes(), file.name
    assert [path.name for path in sorted(project.glob("runs/*/artifacts/*/*"))] == [
        "per_group.csv",
        "predictions.csv",
        "report.html",
    ]


def test_many_classes_features_and_groups_stay_small_and_hostile_names_harmless(tmp_path):
    names = ["<script>alert(1)</script>", "$5 & 6$", "日本", "x" * 300, *map(str, range(96))]
    found = made_up(tmp_path, names, [f"<b>{number}" for number in range(1000)], 300, window=40)
    write_report(tmp_path / "report.html", found)
    parser = parse((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert not {"script", "b"} & parser.seen
    assert {"<script>alert(1)</script>", "$5 & 6$", "日本"} <= set(parser.text)


def test_rows_are_drawn_as_their_outstanding_values(tmp_path):
    found = made_up(tmp_path, ["no", "yes"], [f"feature {number}" for number in range(30)], 5, window=1)
    write_report(tmp_path / "report.html", found)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The hardest rows" in text
    write_report(tmp_path / "again.html", found)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_the_hardest_windows_are_the_least_likely_of_each_segment(tmp_path):
    found = made_up(tmp_path, ["no", "yes"], ["x"], 3, window=10, windows=30)
    likely = found.probs_WK[np.arange(30), found.actual_W].reshape(3, 10)
    wanted = sorted(range(3), key=lambda number: likely[number].min())
    assert hardest_windows(found) == [10 * number + likely[number].argmin() for number in wanted]


def test_an_interval_of_a_share():
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)  # Newcombe 1998's formula, by hand
    assert wilson(0, 5) == pytest.approx((0, 0.434482), abs=1e-6)


@pytest.mark.skipif(browser.BROWSER is None, reason="needs chromium")
def test_a_browser_opens_it_from_disk_in_light_and_dark(tiny_project, tmp_path):
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    with browser.page(tmp_path / "profile") as page:
        seen = {}
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.open((tiny_project / REPORT).as_uri())
            page.until("document.readyState == 'complete' && document.querySelectorAll('svg').length == 7")
            seen[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(ink)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        assert page.complaints == []
    assert seen == {
        "light": ("rgb(255, 255, 255)", "rgb(29, 33, 41)"),
        "dark": ("rgb(21, 24, 29)", "rgb(228, 231, 235)"),
    }
