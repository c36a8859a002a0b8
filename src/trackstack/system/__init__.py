"""The operating system and the programs on it: locks, leases, stopping, git, Slurm's commands.

Nothing here knows what a run, a stage or a model is.
"""
