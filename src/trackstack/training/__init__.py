"""For any training loop: checkpoints, the device, several processes, results that repeat.

The loop itself, the model and the data are the project's.
"""
