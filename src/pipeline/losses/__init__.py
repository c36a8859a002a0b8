"""What training minimises: `train.loss: NAME` is the file NAME.py in this folder.

Such a file holds `Params`, the typed section `losses.NAME` of `params.yaml`, and `Loss`, a module that is made by
`Loss(params, class_counts)` from the number of training windows per class, int64 [K], and turns logits float32 [B, K]
and labels int64 [B] into one loss per window, float32 [B]. The loop takes the mean, over all processes.

`TASKS = ("regression",)` says that it is for amounts: `class_counts` is None then, and outputs and labels are float32
[B, K], in standard deviations from the training rows' mean. Without `TASKS` it is for classes; it may be for both.
"""
