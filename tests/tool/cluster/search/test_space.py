"""What a space's file may say: every slip is one line, and what is proposed arrives as DVC reads it."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trackstack import UserError
from trackstack.cluster.search.space import overrides_of, parse_space, probes, read_space
from trackstack.cluster.sweep.trials import _parsed


def space_of(text):
    return parse_space(yaml.safe_load(text), "space.yaml")


def refusal(text):
    with pytest.raises(UserError) as caught:
        space_of(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lr: 0.1", "lr: expected one of {log: [1e-4, 1e-1]}, {range: [1, 8]}, {choice: [a, b]}"),
        ("lr: {log: [1, 2], range: [1, 2]}", "expected one of {log:"),
        ("lr: {lgo: [1, 2]}", "expected one of {log:"),
        ("lr: {log: [1, 2], stpe: 1}", "stpe: unknown; expected log, step or when"),
        ("lr: {log: 3}", "expected one of {log:"),
        ("lr: {log: [0.0, 1.0]}", "0.0 has no logarithm; expected ends above 0, or range"),
        ("lr: {log: [0, 1]}", "0 has no logarithm"),
        ("lr: {log: [-1.0, 1.0]}", "-1.0 has no logarithm"),
        ("lr: {range: [1.0, 1.0]}", "[1.0, 1.0] is empty; expected the lower end first"),
        ("lr: {range: [3, 1]}", "[3, 1] is empty"),
        ("lr: {range: [1, 2, 3]}", "expected two ends, the lower one first"),
        ("lr: {range: [a, 2]}", "a: expected a number"),
        ("lr: {range: [true, 2]}", "True: expected a number"),
        ("lr: {range: [.nan, 2.0]}", "nan: expected a number"),
        ("lr: {range: [1.0, .inf]}", "inf: expected a number"),
        ("lr: {range: [0, 1.5]}", "whole numbers, or [0.0, 1.5]? Write both ends alike"),
        ("lr: {range: [0, 5], step: 0}", "step 0: expected a whole number above 0"),
        ("lr: {range: [0, 5], step: 0.5}", "step 0.5: expected a whole number above 0"),
        ("lr: {range: [0.0, 1.0], step: -1}", "step -1: expected a number above 0"),
        ("lr: {range: [10, 40], step: 7}", "step 7 does not lead from 10 to 40; expected an end like [10, 38]"),
        (
            "lr: {range: [0.0, 1.0], step: 0.3}",
            "step 0.3 does not lead from 0.0 to 1.0; expected an end like [0.0, 0.9]",
        ),
        ("lr: {range: [0, 1], step: 2}", "step 2: expected at most 1, from one end to the other"),
        ("lr: {log: [1, 8], step: 2}", "step is for a range, not for log"),
        ("lr: {choice: [1, 2], step: 1}", "step is for a range, not for a choice"),
        ("lr: {choice: []}", "expected one value or more, each of them once"),
        ("lr: {choice: [a, a]}", "expected one value or more, each of them once"),
        ("lr: {choice: [{a: 1}]}", '{"a": 1}: expected a text, a number'),
        ("lr: {choice: [[[1]]]}", "[[1]]: expected a text, a number"),
        ("lr: {choice: [2026-01-01]}", '"2026-01-01": expected a text, a number'),
        ("lr: {choice: [.nan, 1.0]}", "NaN: expected a text, a number"),
        ("lr: {choice: [[.inf], 1.0]}", "[Infinity]: expected a text, a number"),
        ("lr: {choice: [1], when: {m: a}}", "lr: when: m does not come before it in this file"),
        ("m: {choice: [a]}\nlr: {choice: [1], when: {m: b}}", 'lr: when: m is never "b"'),
        ("m: {choice: [a]}\nlr: {choice: [1], when: {m: 2026-01-01}}", 'lr: when: m is never "2026-01-01"'),
        ("m: {range: [0.0, 1.0]}\nlr: {choice: [1], when: {m: 0.5}}", "lr: when: m is never 0.5"),
        ("lr: {choice: [1], when: [m]}", "of when: {train.model: cnn}"),
    ],
)
def test_each_slip_is_a_line_with_its_file_and_parameter(line, said):
    assert refusal(line).startswith("space.yaml: lr: ")
    assert said in refusal(line)


def test_a_file_without_parameters_is_a_line(tmp_path):
    path = tmp_path / "space.yaml"
    for content in (None, "", "- lr\n", "3"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(UserError, match=r"train\.lr: \{log: \[1e-4, 1e-1\]\}"):
            read_space(path)


def test_a_power_of_ten_is_a_number_although_yaml_takes_it_for_a_text():
    (parameter,) = space_of("lr: {log: [1e-4, 1e-1]}")
    assert parameter.values == [1e-4, 1e-1]


def test_fractions_reach_both_ends_and_every_level():
    parts = [0.0, 0.2, 0.4, 0.6, 0.8, 1 - 1e-12]
    levels = {
        "{range: [1, 3]}": {1, 2, 3},
        "{range: [10, 40], step: 10}": {10, 20, 30, 40},
        "{range: [0.0, 0.5], step: 0.25}": {0.0, 0.25, 0.5},
        "{choice: [a, [1, 2], null]}": None,
        "{log: [1, 3]}": {1, 2, 3},
    }
    for text, expected in levels.items():
        (parameter,) = space_of(f"x: {text}")
        found = [parameter.at(part) for part in parts]
        if expected:
            assert set(found) == expected, text
    (parameter,) = space_of("x: {log: [1.0e-4, 1.0]}")
    assert parameter.at(0.5) == pytest.approx(1e-2)
    (parameter,) = space_of("x: {range: [-1.0, 1.0]}")
    assert (parameter.at(0.0), parameter.at(0.75)) == (-1.0, 0.5)


CONDITIONS = """
model: {choice: [cnn, mlp]}
kernel: {choice: [3, 5], when: {model: cnn}}
dilation: {range: [1, 2], when: {kernel: 5}}
width: {range: [8.0, 9.0], when: {model: mlp}}
"""


def test_probes_have_each_end_and_choice_under_the_conditions_that_it_needs():
    space = space_of(CONDITIONS)
    found = probes(space)
    for parameter in space:
        for value in parameter.values:
            assert any(trial.get(parameter.name) == value for trial in found), (parameter.name, value)
    for trial in found:
        for parameter in space:
            assert (parameter.name in trial) == parameter.counts_with(trial), trial
        assert list(trial) == [parameter.name for parameter in space if parameter.name in trial]


SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
    st.sampled_from(
        [
            "",
            "1",
            "true",
            "null",
            "a,b",
            "range(3)",
            "it's",
            "\\",
            "\\'",
            "\\0",
            "a\\\\",
            "${x}",
            "x=y",
            "é #;",
            " a ",
            "~",
        ]
    ),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)


@given(SCALARS | st.lists(SCALARS, max_size=3))
def test_any_value_arrives_as_it_was_proposed(value):
    (override,) = overrides_of({"conf.json:a.b": value})
    name, arrived = _parsed(override)
    assert name == "conf.json:a.b"
    assert plain(arrived) == value
    assert [type(part) for part in as_list(plain(arrived))] == [type(part) for part in as_list(value)]


def as_list(value):
    return value if isinstance(value, list) else [value]


def plain(value):
    if isinstance(value, list):
        return [plain(part) for part in value]
    return str(value) if type(value).__name__ == "QuotedString" else value
