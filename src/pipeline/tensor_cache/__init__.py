"""The stage `tensor_cache`: rows to a normalised signal, groups to splits.

How windows are cut and read is in `windows/`.
"""
