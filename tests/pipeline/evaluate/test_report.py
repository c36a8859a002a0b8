"""The report: one small file, the same bytes everywhere, to be read in light and dark without JavaScript."""

import socket
from html.parser import HTMLParser

import pytest
from support import browser
from support.evaluations import made_up

from pipeline.evaluate.report import write_report

REPORT = "results/evaluation/report.html"


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
    for part in (*parts, "Data", "Parameters", "Lineage", "Model card", "val_accuracy", "train.lr", "tensor cache"):
        assert part in said
    assert "script" not in parser.seen
    for place in (str(tiny_project), str(tiny_project.parent), socket.gethostname(), "Matplotlib", "/home/"):
        assert place not in said, place


def test_many_classes_features_and_groups_stay_small_and_hostile_names_harmless(tmp_path):
    names = ["<script>alert(1)</script>", "$5 & 6$", "日本", "x" * 300, *map(str, range(96))]
    evaluation = made_up(tmp_path, names, [f"<b>{number}" for number in range(1000)], 300, window=40)
    write_report(tmp_path / "report.html", evaluation)
    parser = parse((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert not {"script", "b"} & parser.seen
    assert {"<script>alert(1)</script>", "$5 & 6$", "日本"} <= set(parser.text)


def test_rows_are_drawn_as_their_outstanding_values(tmp_path):
    evaluation = made_up(tmp_path, ["no", "yes"], [f"feature {number}" for number in range(30)], 5, window=1)
    write_report(tmp_path / "report.html", evaluation)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The hardest rows" in text
    write_report(tmp_path / "again.html", evaluation)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


@pytest.mark.skipif(browser.BROWSER is None, reason="needs chromium")
def test_a_browser_opens_it_from_disk_in_light_and_dark(tiny_project, tmp_path):
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    with browser.page(tmp_path / "profile") as page:
        seen = {}
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.open((tiny_project / REPORT).as_uri())
            page.until("document.readyState == 'complete' && document.querySelectorAll('svg').length == 8")
            seen[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(ink)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        assert page.complaints == []
    assert seen == {
        "light": ("rgb(255, 255, 255)", "rgb(29, 33, 41)"),
        "dark": ("rgb(21, 24, 29)", "rgb(228, 231, 235)"),
    }


def test_categories_are_shown_with_their_counts_also_where_there_is_no_number(tmp_path):
    evaluation = made_up(tmp_path, ["a", "b"], ["color"], 3, window=1, windows=60)
    evaluation.profile["columns"] = {"color": {"count": 58, "nulls": 2, "categories": {"red": 50, "blue": 8}}}
    write_report(tmp_path / "report.html", evaluation)
    text = (tmp_path / "report.html").read_text()
    said = " ".join(" ".join(parse(text).text).split())
    assert "color 58 2 red 50, blue 8" in said
    assert "Quantiles of the features" not in said
