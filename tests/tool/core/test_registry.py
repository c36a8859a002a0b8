"""A choice is a file of a folder; what is wrong with it is one line."""

import sys

import pytest

from trackstack import UserError
from trackstack.core.params import Parameters
from trackstack.core.registry import Registry

SHAPE = """
from trackstack.core.params import Count, Section


class Params(Section):
    size: Count
"""


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """The choice `draw.shape` among the files of a package."""
    (tmp_path / "drawing/shapes").mkdir(parents=True)
    for name in ("circle", "square", "_shared"):
        (tmp_path / f"drawing/shapes/{name}.py").write_text(SHAPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("drawing.shapes", "draw.shape")
    for name in [name for name in sys.modules if name.partition(".")[0] == "drawing"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["triangle", "_shared", "../shapes/circle", ""])
def test_an_unknown_choice_is_answered_with_those_there_are(shapes, name):
    with pytest.raises(UserError) as caught:
        shapes.module(name)
    assert str(caught.value) == (
        f"params.yaml: draw.shape is {name!r}; expected one of circle, square (each is a file in src/drawing/shapes)"
    )


def test_a_new_file_is_a_choice_with_its_own_section(shapes, tmp_path):
    (tmp_path / "drawing/shapes/line.py").write_text(SHAPE.replace("size", "length"))
    assert shapes.names() == ["circle", "line", "square"]
    params = Parameters({"shapes": {"line": {"length": 3}}})
    assert shapes.params("line", params).length == 3
    assert params.used == {"shapes.line"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"shapes": {"circle": {"size": 0}}}, "shapes.circle.size is 0; expected greater than or equal to 1"),
        ({"shapes": {"circle": {"size": 1, "x": 1}}}, "shapes.circle.x is unknown; allowed here: size"),
        ({"shapes": {"square": {"size": 1}}}, "shapes.circle is missing, the parameters of draw.shape"),
        ({"shapes": None}, "shapes.circle is missing, the parameters of draw.shape"),
        ({}, "shapes.circle is missing, the parameters of draw.shape"),
    ],
)
def test_a_bad_section_is_one_line(shapes, values, expected):
    with pytest.raises(UserError) as caught:
        shapes.params("circle", Parameters(values))
    assert str(caught.value) == f"params.yaml: {expected}"
