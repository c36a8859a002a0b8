"""The stage `evaluate`: metrics on the test split, tables, the report."""
