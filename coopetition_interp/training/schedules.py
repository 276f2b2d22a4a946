"""When a run evaluates and checkpoints, and how its learning rate moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import nn

from coopetition_interp.config_class import (
    Config,
    ConfigError,
    Integer,
    Number,
    SequenceCount,
    config_class,
)
from coopetition_interp.interventions.model_weights import of_batch_normalisations
from coopetition_interp.one_line import clipped
from coopetition_interp.training.moments import Moments
from coopetition_interp.training.optimizer_state import trainable_parameters


@config_class
class Schedule(Config):
    """Moments of a run, in sequences seen (steps x batch size).

    The options add up: `every` set beside a preset's `log_spaced` gives both, unless that is set to
    0. Each moment is rounded up to a whole step. The start (0) and the end always belong to it.

    Attributes:
        every: A moment every so many sequences; 0 for none.
        log_spaced: This many moments, evenly spaced in the logarithm; 0 for none.
        log_from: First of the log-spaced moments.
        at: An explicit list.
    """

    every: SequenceCount = 0
    log_spaced: Annotated[Integer, Field(ge=0, le=10**6)] = 0
    log_from: Annotated[Integer, Field(ge=1, le=10**12)] = 1000
    at: tuple[SequenceCount, ...] = ()

    def steps(self, n_steps: int, batch_size: int) -> Moments:
        """The steps (numbers of optimizer steps done) at which something is due.

        Args:
            n_steps: Steps of the whole run.
            batch_size: Sequences per step.
        """
        end = n_steps * batch_size
        listed = [0, end, *self.at]
        if self.log_spaced and self.log_from < end:
            spaced = np.geomspace(self.log_from, end, self.log_spaced).round()
            listed += spaced.astype(int).tolist()
        return Moments(listed, self.every, n_steps, batch_size)


@config_class
class OptimizerConfig(Config):
    """Adam and its learning rate (paper section 2.1; schedules and L2: thesis chapter 3).

    Attributes:
        learning_rate: Constant value, or the peak after the warm-up.
        schedule: "constant"; "inverse_sqrt" (linear warm-up, then proportional to 1 / sqrt(step));
            "cosine" (linear warm-up, then half a cosine down to zero at the run's end).
        warmup_steps: Length of the linear warm-up, in optimizer steps.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        eps: Added to the root of the second moment.
        l2: Weight of the sum of squares added to the loss.
        l2_on: Which parameters that sum runs over; a batch normalisation's are never among them.
            "mlp" and "attention" are those in a module that the model calls `mlp` or `attn`;
            "embedding" is all that tokens are made from (its modules `embed`, `pos_embed` and
            `exemplar_embed`), "exemplar_embedding" that of exemplars alone.
    """

    learning_rate: Annotated[Number, Field(ge=1e-12, le=10)] = 1e-5
    schedule: Literal["constant", "inverse_sqrt", "cosine"] = "constant"
    warmup_steps: Annotated[Integer, Field(ge=0, le=10**9)] = 0
    beta1: Annotated[Number, Field(ge=0, le=0.999999)] = 0.9
    beta2: Annotated[Number, Field(ge=0, le=0.999999)] = 0.999
    eps: Annotated[Number, Field(ge=1e-20, le=1)] = 1e-8
    l2: Annotated[Number, Field(ge=0, le=1000)] = 0.0
    l2_on: tuple[Literal["all", "mlp", "attention", "embedding", "exemplar_embedding"], ...] = (
        "all",
    )

    def __post_init__(self) -> None:
        if self.schedule == "inverse_sqrt" and self.warmup_steps == 0:
            raise ValueError(
                "schedule inverse_sqrt decays from the end of a warm-up: set warmup_steps (4000 in "
                "the transience work)"
            )
        if self.l2 > 0 and not self.l2_on:
            raise ValueError(
                f"l2 = {self.l2} with an empty l2_on penalises nothing: name parameters in l2_on, "
                "or leave l2 at 0"
            )

    def learning_rate_at(self, step: int, n_steps: int) -> float:
        """Learning rate of the step with this index (0 for the first) out of `n_steps`."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "inverse_sqrt":
            return self.learning_rate * math.sqrt(self.warmup_steps / (step + 1))
        if self.schedule == "cosine":
            progress = (step - self.warmup_steps) / max(1, n_steps - self.warmup_steps)
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        return self.learning_rate

    def penalty(self, model: nn.Module) -> float:
        """What is added to the loss: `l2` times the sum of squares of what it covers.

        Raises:
            ConfigError: See `penalised`.
        """
        parameters = trainable_parameters(model)
        covered = [parameters[name].detach() for name in self.penalised(model)]
        return self.l2 * sum(float(parameter.double().square().sum()) for parameter in covered)

    def scales_at(self, step: int, n_steps: int) -> tuple[float, float]:
        """Size of Adam's step with this index, and the factor of the second moment's root.

        Both correct for moments that begin at zero.
        """
        rate = self.learning_rate_at(step, n_steps)
        return rate / (1 - self.beta1 ** (step + 1)), 1 / math.sqrt(1 - self.beta2 ** (step + 1))

    def penalised(self, model: nn.Module) -> list[str]:
        """Names of the parameters that the L2 penalty covers, among those that are trained.

        Raises:
            ConfigError: A part that `l2_on` names has none.
        """
        if self.l2 == 0:
            return []
        exempt = of_batch_normalisations(model)
        names = [name for name in trainable_parameters(model) if name not in exempt]
        covered: set[str] = set()
        for part in self.l2_on:
            belonging = {name for name in names if _BELONGS_TO[part](name.split("."))}
            if not belonging:
                raise ConfigError(
                    f"optimizer.l2_on names {part}, but by its name none of the trained parameters "
                    f"belongs to it ({clipped(', '.join(names))}): leave it out of l2_on, or name "
                    "modules as OptimizerConfig.l2_on says"
                )
            covered |= belonging
        return [name for name in names if name in covered]


_BELONGS_TO: dict[str, Callable[[list[str]], bool]] = {
    "all": lambda path: True,
    "mlp": lambda path: "mlp" in path,
    "attention": lambda path: "attn" in path,
    "embedding": lambda path: path[0] in ("embed", "pos_embed", "exemplar_embed"),
    "exemplar_embedding": lambda path: path[0] == "exemplar_embed",
}
"""Whether a parameter is of a part, by the names on the way to it."""
