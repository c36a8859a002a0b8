"""The configuration of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.modeling.base import LOSSES, METRICS, MODELS
from pipeline.train.params import Params
from trackstack.core.params import Parameters, Section


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the trained weights beside the data: `train`, and the sections that it chooses."""

    train: Params
    model: Section
    loss: Section
    metric: Section

    @classmethod
    def choose(cls, params: Parameters) -> TrainingConfig:
        """Take `train` and what it chooses out of `params.yaml`; UserError names what is wrong."""
        train = params.section("train", Params)
        return cls(
            train,
            MODELS.params(train.model, params),
            LOSSES.params(train.loss, params),
            METRICS.params(train.metric, params),
        )

    def as_json(self) -> dict[str, Any]:
        """As in `params.yaml`, with the chosen sections alone."""
        train = self.train
        return {
            "train": train.model_dump(),
            "models": {train.model: self.model.model_dump()},
            "losses": {train.loss: self.loss.model_dump()},
            "metrics": {train.metric: self.metric.model_dump()},
        }
