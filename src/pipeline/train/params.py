"""`train` in params.yaml: what decides the trained weights, but for the sections of model, loss and metric."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trackstack import UserError
from trackstack.core.params import (
    PARAMS_FILE,
    Count,
    Fraction,
    Index,
    NonNegative,
    Number,
    Positive,
    Section,
    Threads,
)


class AugmentParams(Section):
    """Random changes to training windows; 0 switches one off."""

    rotation: NonNegative
    """Standard deviation, about each axis and in degrees, of a rotation of the catalog's vectors."""
    mirror: Annotated[Number, Field(ge=0, le=1)]
    """Probability of a reflection of the catalog's vectors in their y-z plane."""
    gain: Fraction
    """Standard deviation of a random factor around 1 for each vector."""
    stretch: NonNegative
    """Standard deviation of the logarithm of a random speed."""
    shift: Fraction
    """Largest shift in time, as a fraction of the window."""
    jitter: NonNegative
    """Standard deviation of added noise, in standard deviations of the feature."""


class InitFrom(Section):
    """A model folder to start from. Its digest is a parameter, so that other weights are another run."""

    folder: str
    digest: str
    """The `digest` in the folder's `model.json`."""


class Params(Section):
    """Everything that decides the trained weights, but for the sections of model and loss."""

    model: str
    """A name from `pipeline.models`; its parameters are in the section `models`."""
    loss: str
    """A name from `pipeline.losses`; its parameters are in the section `losses`."""
    metric: str
    """A name from `pipeline.metrics`; its parameters are in the section `metrics`."""
    seed: Index
    epochs: Count
    batch_size: Count
    """Global: the number of processes does not change it."""
    lr: Positive
    """The peak learning rate."""
    warmup: Fraction
    """Fraction of all steps in which the learning rate rises; then it falls as a cosine to 0."""
    weight_decay: NonNegative
    clip_norm: NonNegative
    """Largest norm of all gradients together; 0 for no limit."""
    keep: Literal["last", "best"]
    """The epoch whose weights are kept: the last, or the one with the lowest validation loss."""
    patience: Index
    """Epochs without a lower validation loss after which training ends; 0 for never."""
    init_from: InitFrom | None
    """Start from the weights of another model instead of random ones."""
    precision: Literal["float32", "bf16"]
    """Of matrix products and convolutions; weights and sums are float32. It changes the result."""
    compile: Annotated[bool, Field(strict=True)]
    """Let `torch.compile` make faster kernels; they change the last bits of the result."""
    deterministic: Annotated[bool, Field(strict=True)]
    """The same bytes on every machine and after every interruption. False allows kernels whose results do not repeat,
    which some layers need and which are faster on a GPU; then equal runs differ in their last bits."""
    threads: Threads
    """CPU threads; they change the last bits of the result, which is why they are a parameter."""
    augment: AugmentParams


def refuse_without_validation(train: Params) -> None:
    """UserError for what needs a validation split, where `tensor_cache.validation` is false."""
    for field, only in (("keep", "last"), ("patience", 0)):
        if (value := getattr(train, field)) != only:
            raise UserError(
                f"{PARAMS_FILE}: train.{field} is {value!r}; expected {only}, since tensor_cache.validation is false"
            )
