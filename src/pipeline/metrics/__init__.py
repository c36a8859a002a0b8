"""What training reports of the validation split beside loss and accuracy: `train.metric: NAME` is NAME.py here.

Such a file holds `Params`, the typed section `metrics.NAME` of `params.yaml`, and
`metric(params, logits_WK, labels_W)`, which returns a number; it is logged as `val_NAME`.

`TASKS = ("regression",)` says that it is for amounts: both are float32 [W, K] then, in their own units. Where the
dataset is of another task than the metric, it is left out.
"""
