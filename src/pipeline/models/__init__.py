"""The networks to choose from: `train.model: NAME` is the file NAME.py in this folder.

Such a file holds `Params`, the typed section `models.NAME` of `params.yaml`, and `Model`, a module that is
made by `Model(params, shape)` and turns windows float32 [B, L, C] into outputs float32 [B, K]: logits of
classes, or amounts in standard deviations from the training rows' mean.
"""
