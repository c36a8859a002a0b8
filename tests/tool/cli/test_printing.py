"""What commands print for other programs."""

import json
import math

from trackstack.cli.printing import print_json


def test_what_is_no_number_is_null_in_json(capsys):
    print_json({"loss": math.nan, "rows": [(1, -math.inf), {"name": "NaN"}]})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "rows": [[1, None], {"name": "NaN"}]}
