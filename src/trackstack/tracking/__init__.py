"""The record of a run: a journal that cannot be lost, and what carries it to SQLite, MLflow, TensorBoard, W&B."""
