"""The stage `train`: the loop, the learning rate (`schedule.py`), augmentation, batches, and its record.

The networks are in `models/`, the saved model in `modeling/`.
"""
