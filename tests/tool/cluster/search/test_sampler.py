"""The proposals of each sampler: inside the space, under its conditions, and the same again from the same log."""

import itertools

import pytest
from support.searches import ended, failed, settings, state_of, suggested

from trackstack import UserError
from trackstack.cluster.search import SAMPLERS, Metric
from trackstack.cluster.search.sampler import PACKAGES, refuse_absent_packages, suggest
from trackstack.cluster.search.space import parse_space

SPACE = {
    "model": {"choice": ["cnn", "mlp"]},
    "lr": {"log": [1e-4, 1e-1]},
    "kernel": {"choice": [3, [5, 5], None], "when": {"model": "cnn"}},
    "epochs": {"range": [10, 40], "step": 10},
    "width": {"log": [1, 64]},
    "share": {"range": [0.0, 0.5]},
}
COUNTED = {name: SPACE[name] for name in ("model", "kernel", "epochs")}


def lines_of(sampler, number, space=SPACE, seed=0, metrics=1):
    """The proposals of a search in which one trial after the other ends, with other figures each."""
    parsed, lines = parse_space(space, "space.yaml"), []
    changes = {"space": space, "sampler": sampler, "seed": seed, "prune": "none"}
    changes["metrics"] = [Metric(f"val_loss_{place}", lower_is_better=place == 0) for place in range(metrics)]
    for trial in range(number):
        values = suggest(state_of(*lines, **changes), parsed)
        figures = [(trial * 7 % 5 + place) / 5 for place in range(metrics)]
        over = failed(trial) if trial % 6 == 5 else ended(trial, *figures)
        lines += [suggested(trial, **values), over]
    return lines


def proposals(*given, **more):
    return [line["values"] for line in lines_of(*given, **more) if line["event"] == "suggest"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_lie_in_the_space_and_are_made_again_from_the_log(sampler):
    space = COUNTED if sampler == "grid" else SPACE
    found = proposals(sampler, 14, space)
    assert found == proposals(sampler, 14, space)
    for values in found:
        for parameter in parse_space(space, "space.yaml"):
            assert (parameter.name in values) == parameter.counts_with(values)
            if parameter.name in values:
                value = values[parameter.name]
                levels = parameter.levels
                assert value in levels if levels else parameter.values[0] <= value <= parameter.values[1]
                assert not parameter.is_whole or type(value) is int
    if sampler != "grid":
        assert found != proposals(sampler, 14, space, seed=1)
        assert len({str(values) for values in found}) == 14


def test_a_grid_has_each_point_once_in_the_order_of_its_file():
    space = parse_space(COUNTED, "space.yaml")
    expected = [
        {"model": "cnn", "kernel": kernel, "epochs": epochs}
        for kernel, epochs in itertools.product([3, [5, 5], None], [10, 20, 30, 40])
    ]
    expected += [{"model": "mlp", "epochs": epochs} for epochs in (10, 20, 30, 40)]
    assert proposals("grid", 16, COUNTED) == expected
    lines = lines_of("grid", 16, COUNTED)
    assert suggest(state_of(*lines, sampler="grid", space=COUNTED), space) is None


def test_tpe_also_weighs_two_metrics():
    found = proposals("tpe", 14, metrics=2)
    assert found == proposals("tpe", 14, metrics=2)
    assert found != proposals("tpe", 14)


def test_tpe_learns_which_end_is_good():
    space = {"x": {"range": [0.0, 1.0]}}
    parsed, lines = parse_space(space, "space.yaml"), []
    for trial in range(30):
        values = suggest(state_of(*lines, sampler="tpe", space=space, prune="none"), parsed)
        lines += [suggested(trial, **values), ended(trial, values["x"])]
    late = [line["values"]["x"] for line in lines[40:] if line["event"] == "suggest"]
    assert sum(late) / len(late) < 0.3


def test_a_sampler_whose_package_is_absent_is_a_line(monkeypatch):
    monkeypatch.setitem(PACKAGES, "tpe", ("a_package_that_nobody_has",))
    with pytest.raises(
        UserError, match=r"--sampler tpe: .* is not installed; type: pip install 'trackstack\[search\]'"
    ):
        refuse_absent_packages(settings(sampler="tpe").sampler)
