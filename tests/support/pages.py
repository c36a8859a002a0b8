"""Runs for the page of many, written without a process of their own, and what is said in a page."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from support.sinks import START
from trackstack.page.render import render
from trackstack.page.runs import Page, PageRun, read_page
from trackstack.records.choosing.settings import Candidate
from trackstack.records.reading import Figures
from trackstack.tracking.sinks import Series

VOID = ("meta", "br", "input")


def made_up(number: int, epochs: int, params: dict[str, Any] | None = None, **figures: float) -> PageRun:
    """A finished run that was never recorded: what it has is what a reader would have found."""
    own = {
        "train.lr": 10 ** -(1 + number % 30 / 10),
        "train.seed": number % 3,
        "train.model": ("cnn", "mlp")[number % 2],
    }
    own = own if params is None else params
    best = 0.9 - 0.01 * (number % 30)
    figures = {"val_accuracy": best, "val_loss": 1 - best} | figures
    curves = {
        name: [(step, last * (1 - math.exp(-(step + 1) / 9)) + 1e-4 * (number * step % 7)) for step in range(epochs)]
        for name, last in figures.items()
    }
    start = START | {"run": f"r{number:012x}", "name": f"run {number}", "params": own}
    series = Series(start["run"], 1, Path("runs") / start["run"], start, "finished", finished=start["time"] + 60)
    return PageRun(Candidate(series, Figures(figures, figures, figures), own, own), figures, curves, {}, True)


def text_of_page(*runs: PageRun, title: str = "Runs") -> str:
    return render(Page(title, list(runs), [], False))


def page_of(home: Path, **more: Any) -> str:
    return render(read_page(home, **more))


class Balanced(HTMLParser):
    """Holds that every element is closed where it should be, and that nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert name not in ("src", "srcset", "href", "xlink:href"), (tag, name, value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.said.append(data)


def parsed(text: str) -> Balanced:
    """What a page says: that of its elements that are no script."""
    parser = Balanced()
    parser.feed(text)
    parser.close()
    assert not parser.open
    return parser


def words(text: str) -> str:
    return " ".join(" ".join(parsed(text).said).split())
