"""The page: one file, the same bytes for the same runs, whatever people call things; and what a browser makes of it."""

import base64
import gzip
import json
import math
import re

import pytest
from support import browser
from support.choosing import write_run, write_sweep
from support.pages import made_up, page_of, parsed, text_of_page, words
from support.recording import trackstack

from trackstack import UserError
from trackstack.page.contents import history_rows, make_contents
from trackstack.page.render import write_page
from trackstack.page.runs import Page

HOSTILE = {
    "</script><script>alert(1)</script>": "<img src=x onerror=alert(2)>",
    "quote\"'`": "${alert(3)} {{ 7 * 7 }}",
    "name": "\u202eright to left \u05d0",
    "x" * 200: "y" * 200,
    "日本": "NaN",
}


def data_of(text):
    packed = re.search(r'id="data">([^<]*)<', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_command_writes_one_file_that_is_read_without_a_script(tmp_path):
    write_sweep(tmp_path)
    said = trackstack(tmp_path, "runs", "report", "--out", str(tmp_path / "a.html"))
    assert re.search(r"a\.html: 12 runs, 0\.\d MB", said)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    seen = words(text)
    for part in (
        "Learning curves",
        "One panel per parameter",
        "Parameters together",
        "How the best came to be",
        "Importance",
        "Time",
        "Settings",
    ):
        assert part in seen
    assert "over tensor_cache.fold (2), train.seed (3)" in seen
    assert "test_accuracy" not in seen
    assert parsed(text).seen.count("svg") >= 7
    assert len(re.findall("<tr><td><code>r", text)) == 12
    assert str(tmp_path) not in text
    assert page_of(tmp_path) == text, "the same runs are the same bytes"


def test_groups_are_shown_with_test_figures_alone(tmp_path):
    run = made_up(0, 3)._replace(groups={"ada": {"accuracy": 0.5}, "grace": {"accuracy": 0.7}})
    assert "accuracy on each group" in words(text_of_page(run))
    write_sweep(tmp_path)
    assert "test_accuracy" in words(page_of(tmp_path, test=True))


def test_whatever_people_call_things_stays_text():
    runs = [
        made_up(number, 3, {"lr": number} | (HOSTILE if number % 2 else dict.fromkeys(HOSTILE, "plain")))
        for number in range(8)
    ]
    start = runs[0].candidate.series.start
    runs[0].candidate.series.start = start | {"name": "<b>bold</b>\x00", "environment": {"user": "</td><script>"}}
    text = text_of_page(*runs, title="</title><script>alert(4)</script>")
    parser = parsed(text)
    assert parser.seen.count("script") == 3
    assert not {"img", "b"} & set(parser.seen)
    assert {"<b>bold</b>\ufffd", "</td><script>", "${alert(3)} {{ 7 * 7 }}"} <= {said.strip() for said in parser.said}
    names = [param["name"] for param in data_of(text)["params"]]
    assert names == ["lr", *HOSTILE]


@pytest.mark.parametrize(
    "runs",
    [
        [made_up(0, 1)],
        [made_up(0, 0)._replace(figures={}, curves={})],
        [made_up(number, 5, val_accuracy=value) for number, value in enumerate((math.nan, math.inf, 0.5, 1e300))],
        [made_up(number, 2, val_accuracy=0.5) for number in range(3)],
        [made_up(number, 2, {f"p{param}": number * param for param in range(300)}) for number in range(8)],
    ],
    ids=["one run", "no metrics", "not finite", "all equal", "300 parameters"],
)
def test_odd_sets_of_runs_have_a_page(runs):
    text = text_of_page(*runs)
    assert len(data_of(text)["runs"]["run"]) == len(re.findall("<tr><td><code>r", text)) == len(runs)
    parsed(text)


def test_no_file_of_that_name_is_one_line(tmp_path):
    for out in (tmp_path, tmp_path / "none" / "a.html"):
        with pytest.raises(UserError, match=r"--out .*expected a file such as runs\.html"):
            write_page(out, "")


def test_the_best_so_far_is_that_of_finished_runs():
    values = (0.5, 0.9, 0.4, 0.8)
    runs = [made_up(number, 1, val_accuracy=value) for number, value in enumerate(values)]
    runs[1].candidate.series.status = "failed"
    rows = history_rows(make_contents(Page("runs", runs, [], False)), {0, 1, 3})
    assert [(row["at"], row["y"], row["best"]) for row in rows] == [(1, 0.5, 0.5), (2, 0.9, 0.5), (4, 0.8, 0.8)]


@pytest.mark.parametrize(("number", "megabytes"), [(12, 1), (200, 3), (2000, 12)])
def test_pages_stay_small(number, megabytes):
    text = text_of_page(*(made_up(place, 100, val_f1=0.5, train_loss=0.3, lr=1e-3) for place in range(number)))
    assert len(text.encode()) < megabytes * 1e6
    assert ("Thinned" in text) == (number == 2000)


ORDER = "[...document.querySelectorAll('#runs tbody tr')].map(row => row.innerText.split('\\t')[0].trim())"


@pytest.mark.skipif(browser.BROWSER is None, reason="needs chromium")
def test_a_browser_opens_it_from_disk_and_sorts_and_filters_it(tmp_path):
    figures = {"val_accuracy": 0.5}
    runs = [
        write_run(tmp_path, {"lr": 0.1**number, "model": model, **HOSTILE}, figures | {"val_accuracy": number / 10})
        for number, model in enumerate(("cnn", "mlp", "cnn", "mlp", "cnn", "mlp", "cnn"))
    ]
    (tmp_path / "runs.html").write_text(page_of(tmp_path), encoding="utf-8")
    with browser.page(tmp_path / "profile") as page:
        page.open((tmp_path / "runs.html").as_uri())
        page.until("document.querySelector('figure[data-chart=curves] canvas') !== null")
        assert page.evaluate(ORDER) == runs[::-1], "the best come first"

        def type_filter(text):
            page.evaluate(
                f"{{ const box = document.querySelector('[name=filter]'); box.value = {json.dumps(text)}; "
                "box.dispatchEvent(new Event('input')) }"
            )

        type_filter("model=cnn lr<0.5 fox")
        page.until("document.querySelector('#said').textContent === '3 of 7 runs'")
        assert page.evaluate(ORDER) == [runs[6], runs[4], runs[2]]
        page.evaluate("[...document.querySelectorAll('#runs th button')].find(one => one.title === 'lr').click()")
        assert page.evaluate(ORDER) == [runs[6], runs[4], runs[2]]
        page.evaluate("[...document.querySelectorAll('#runs th button')].find(one => one.title === 'lr').click()")
        assert page.evaluate(ORDER) == [runs[2], runs[4], runs[6]]
        type_filter("rate>1")
        page.until("document.querySelector('#said').textContent === 'no column rate'")
        type_filter("")
        page.until("document.querySelector('#said').textContent === '7 runs'")
        page.evaluate("document.querySelector('#runs tbody tr').click()")
        assert page.evaluate("document.querySelectorAll('#runs tr.picked').length") == 1
        page.prefer("dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
        for width in (390, 3840):
            page.picture(tmp_path / "seen.png", (width, 900))
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.until("document.querySelector('figure[data-chart=hours] canvas') !== null")
        assert page.complaints == []
