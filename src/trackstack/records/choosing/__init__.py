"""Choosing among finished runs: settings ranked by means, tables for a paper, test figures hidden meanwhile.

`--where` and the notes of looks at test figures lie above: they are of use to others, too.
"""
