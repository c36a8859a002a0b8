"""The stage `parquet`: lines to typed rows, what makes a row bad, the order of series, the profile."""
