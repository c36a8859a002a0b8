"""A training with Transformers, of a model that is made here: nothing is downloaded."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from trackstack.frameworks.transformers import RunCallback, last_checkpoint, start_run

set_seed(0)
params = {"learning_rate": 0.01, "num_train_epochs": 2}
size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
model = BertForSequenceClassification(BertConfig(vocab_size=50, **size))
data = [{"input_ids": tokens, "labels": int(tokens[0] > 24)} for tokens in torch.randint(0, 50, (256, 8))]
arguments = TrainingArguments(
    "bert", **params, logging_steps=4, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True
)

with start_run("bert", params) as run:
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[RunCallback(run)])
    trainer.train(resume_from_checkpoint=last_checkpoint(run))
