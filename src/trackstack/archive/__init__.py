"""A run as one file that needs no repository: written, verified anywhere, and unpacked to be made again.

The file is a ZIP that holds an RO-Crate. Its bytes follow from the run alone.
"""
