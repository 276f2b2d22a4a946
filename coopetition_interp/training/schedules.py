"""When a run evaluates and checkpoints, and how its learning rate moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coopetition_interp.training.moments import Moments


@dataclass(frozen=True)
class Schedule:
    """Moments of a run, in sequences seen (steps x batch size). The options add up.

    Each moment is rounded up to a whole step. The start (0) and the end always belong to it.

    Attributes:
        every: A moment every so many sequences; 0 for none.
        log_spaced: This many moments, evenly spaced in the logarithm; 0 for none.
        log_from: First of the log-spaced moments.
        at: An explicit list.
    """

    every: int = 0
    log_spaced: int = 0
    log_from: int = 1000
    at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("every", "log_spaced"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative; got {getattr(self, name)}")
        if self.log_from < 1:
            raise ValueError(f"log_from must be at least 1; got {self.log_from}")
        if any(moment < 0 for moment in self.at):
            raise ValueError(f"at holds numbers of sequences seen, not negative; got {self.at}")

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


@dataclass(frozen=True)
class OptimizerConfig:
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
        l2_on: Which parameters that sum runs over.
    """

    learning_rate: float = 1e-5
    schedule: Literal["constant", "inverse_sqrt", "cosine"] = "constant"
    warmup_steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    l2: float = 0.0
    l2_on: tuple[Literal["all", "mlp", "attention", "embedding"], ...] = ("all",)

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"optimizer.learning_rate must be positive; got {self.learning_rate}")
        if self.schedule not in ("constant", "inverse_sqrt", "cosine"):
            raise ValueError(
                f"optimizer.schedule must be constant, inverse_sqrt or cosine; got {self.schedule}"
            )
        if self.warmup_steps < 0:
            raise ValueError(f"optimizer.warmup_steps cannot be negative; got {self.warmup_steps}")
        if self.schedule == "inverse_sqrt" and self.warmup_steps == 0:
            raise ValueError(
                "optimizer.schedule inverse_sqrt decays from the end of a warm-up: set "
                "optimizer.warmup_steps (4000 in the transience work)"
            )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"optimizer.{name} must lie in [0, 1); got {getattr(self, name)}")
        if self.l2 < 0:
            raise ValueError(f"optimizer.l2 cannot be negative; got {self.l2}")

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

    def penalises(self, parameter: str) -> bool:
        """Whether the L2 penalty covers the parameter of this name."""
        if self.l2 == 0:
            return False
        groups = {
            "all": True,
            "mlp": ".mlp." in parameter,
            "attention": ".attn." in parameter,
            "embedding": parameter.split(".")[0] in ("embed", "pos_embed", "exemplar_embed"),
        }
        return any(groups[name] for name in self.l2_on)
