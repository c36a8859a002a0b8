"""What every stage does: the guard around it, parameters, digests, output folders, progress.

It changes what a stage computes, so that all stages depend on this folder; records, jobs and commands lie elsewhere.
"""
