"""A trained model applied to new tables, on the command line and in MLflow."""
