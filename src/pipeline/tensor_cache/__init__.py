"""The stage `tensor_cache`: rows to one signal, as it was measured, and groups to splits.

How windows are cut and read is in `windows/`.
"""
