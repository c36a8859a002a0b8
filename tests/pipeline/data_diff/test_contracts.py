"""What two contracts say differently."""

from support.conversion import entry

from pipeline.data_diff.contracts import contract_changes


def changes(before, after):
    return contract_changes(entry(1, **before).contract(), entry(1, **after).contract())


def test_equal_contracts_have_no_changes():
    assert changes({}, {"num_samples": 7}) == []


def test_columns_units_and_other_fields_are_named():
    before = {"features": [{"name": "ax", "unit": "g"}, {"name": "ay"}], "sample_rate_hz": 50}
    after = {"features": [{"name": "ax", "unit": "m/s2", "range": [-9, 9]}, {"name": "az"}], "series": None}
    assert changes(before, after) == [
        "feature added: az",
        "feature removed: ay",
        "feature ax: range none -> [-9.0, 9.0]",
        "feature ax: unit g -> m/s2",
        "series: recording -> none",
        "sample_rate_hz: 50.0 -> none",
    ]


def test_classes_that_come_go_or_change_places_are_named():
    assert changes({}, {"classes": ["up", "flat"]}) == ["class added: flat", "class removed: down"]
    assert changes({}, {"classes": ["down", "up"]}) == ["the classes are in another order"]


def test_a_change_of_the_task_is_a_change_of_columns():
    lines = changes({}, {"targets": [{"name": "label", "unit": "mm"}]})
    assert "target added: label" in lines
    assert "label: label -> none" in lines
