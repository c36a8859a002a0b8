"""Named models: versions and aliases in git's tags, the commits from which DVC gives them, and the notes of runs.

What MLflow is told of them is in `trackstack.tracking.sinks.mlflow_model`; the model card is beside this folder.
"""
