"""The reference pipeline: yours to change. A folder per stage, and what several stages share beside them.

The tool that it runs on is `trackstack`, which imports nothing from here.
"""
