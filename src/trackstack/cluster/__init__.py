"""Work on a cluster and after an accident: jobs, sweeps, clones, pages, repair, doctor.

Slurm's commands as functions are in `trackstack.system.slurm`.
"""
