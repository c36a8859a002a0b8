"""What `train`, `evaluate` and `predict` share: the saved model, the choices, the data in a record.

The networks themselves are in `models/`.
"""
