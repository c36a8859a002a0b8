"""Questions to the recorded runs: list, compare, choose, follow back to their data, rebuild.

How a run is recorded and delivered is in `trackstack.tracking`.
"""
