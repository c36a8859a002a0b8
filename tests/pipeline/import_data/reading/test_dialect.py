"""How a CSV file is built is guessed from its beginning: encoding, delimiter, decimal mark, header."""

import pytest
from support.tables import write

from pipeline.import_data.reading.dialect import DialectOptions, read_sample


@pytest.mark.parametrize(
    ("text", "encoding", "dialect", "header"),
    [
        ("a,b,y\n1,2,u\n3,4,v\n", "utf-8", "comma-separated, decimal point, utf-8", ["a", "b", "y"]),
        (
            "a;b;y\n1,5;2,5;u\n3,5;4;v\n",
            "utf-8-sig",
            "semicolon-separated, decimal comma, utf-8-sig",
            ["a", "b", "y"],
        ),
        ("a\tb\ty\r\n1.5\t2\tu\r\n3\t4\tv\r\n", "utf-16", "tab-separated, decimal point, utf-16", ["a", "b", "y"]),
        ('a|"b|c"|y\n1|2|u\n', "cp1252", "bar-separated, decimal point, utf-8", ["a", "b|c", "y"]),
        ("größe;y\n1,5;u\n", "cp1252", "semicolon-separated, decimal comma, cp1252", ["größe", "y"]),
        (",a,y\n0,1,u\n1,5,v\n", "utf-8", "comma-separated, decimal point, utf-8", ["column_1", "a", "y"]),
    ],
)
def test_how_a_file_is_built_is_guessed(tmp_path, text, encoding, dialect, header):
    sample = read_sample(write(tmp_path / "a.csv", text, encoding), "a.csv", DialectOptions())
    assert str(sample.dialect) == dialect
    assert sample.header == header
