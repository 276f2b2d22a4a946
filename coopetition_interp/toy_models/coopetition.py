"""The toy model of strategy coopetition: two mechanisms that race, share vectors and compete.

Coopetition paper, section 6 and appendix D. Mechanism 1 (ICL) learns
a (x) b (x) c, mechanism 2 (CIWL) learns d (x) b (x) c. They share b and c, either one lowers the
product of their losses, and a (x) d is penalised, so that one of a and d must go to zero. The
longer d is slower to learn; mu1 > 0 makes mechanism 2 the better one in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from coopetition_interp.toy_models.plateau import first_step_where
from coopetition_interp.toy_models.simulate import Trajectory, gradient_descent
from coopetition_interp.toy_models.tensor_products import Err, Expression, Size


@dataclass(frozen=True)
class CoopetitionModel:
    """Settings of the model; the defaults are those of the paper.

    Attributes:
        mu1: Floor under mechanism 1's loss; 0 for none.
        alpha: Strength of the competition.
        dims: Dimensions of a, b, c and d.
    """

    mu1: float = 0.1
    alpha: float = 0.1
    dims: Mapping[str, int] = field(default_factory=lambda: {"a": 20, "b": 20, "c": 20, "d": 160})

    @property
    def mechanism_1(self) -> Expression:
        """Error of mechanism 1 (ICL), without its floor mu1."""
        return Err("a", "b", "c")

    @property
    def mechanism_2(self) -> Expression:
        """Error of mechanism 2 (CIWL)."""
        return Err("d", "b", "c")

    @property
    def competition(self) -> Expression:
        """The competition term, alpha included."""
        return self.alpha * Size("a", "d")

    @property
    def loss(self) -> Expression:
        """Equations 1 to 3 of the paper."""
        return (self.mechanism_1 + self.mu1) * self.mechanism_2 + self.competition

    def curves(self, offset: float | None = None) -> dict[str, Expression]:
        """The curves, by name.

        Args:
            offset: Added to mechanism 1's error; by default mu1, which makes it the factor in the
                loss.
        """
        floor = self.mu1 if offset is None else offset
        return {
            "mechanism 1": self.mechanism_1 + floor,
            "mechanism 2": self.mechanism_2,
            "competition": self.competition,
            "loss": self.loss,
        }


def simulate_coopetition(
    model: CoopetitionModel,
    seeds: Sequence[int] = tuple(range(12)),
    steps: int = 16_000,
    *,
    clamped: Collection[str] = (),
) -> Trajectory:
    """Learn a, b, c and d at a learning rate of 1; a seed stops once its loss is below 1e-6.

    Args:
        model: The loss.
        seeds: Seeds of the draws; they do not depend on ``mu1`` or ``alpha``.
        steps: Most updates to make.
        clamped: Vectors held at their targets.

    Raises:
        ValueError: As ``gradient_descent``.
    """
    return gradient_descent(model.dims, model.loss, seeds, steps, clamped=clamped, stop_below=1e-6)


def outcomes(model: CoopetitionModel, trajectory: Trajectory) -> pd.DataFrame:
    """What became of each seed.

    A mechanism is *formed* while its error is below half its height on the plateau (the error with
    all vectors zero). The outcome is

    - ``plateau``: neither mechanism ever formed;
    - ``transient``: mechanism 1 formed, and at the end is formed no more;
    - ``persistent``: mechanism 1 formed, and still is at the end;
    - ``mechanism 2 alone``: mechanism 2 formed, mechanism 1 never.

    Args:
        model: The model that was run.
        trajectory: Its run.

    Returns:
        One row per seed: ``seed``, ``outcome``, ``last_step``, ``plateau_end`` (the first step at
        which either mechanism is formed; NaN if none), and per mechanism its height on the plateau,
        its lowest error, the step of that, and its last error.
    """
    columns: dict[str, object] = {"seed": trajectory.seeds, "last_step": trajectory.last_steps}
    rows = np.arange(len(trajectory.seeds))
    formed = {}
    for name, error in (("mechanism_1", model.mechanism_1), ("mechanism_2", model.mechanism_2)):
        values = trajectory.value(error)
        height = trajectory.saddle_value(error)
        formed[name] = values < 0.5 * height
        columns |= {
            f"{name}_plateau": height,
            f"{name}_lowest": np.nanmin(values, axis=0),
            f"{name}_lowest_step": np.nanargmin(values, axis=0),
            f"{name}_last": values[trajectory.last_steps, rows],
        }
    first, second = formed["mechanism_1"], formed["mechanism_2"]
    columns["plateau_end"] = first_step_where(first | second)
    columns["outcome"] = np.select(
        [
            first.any(axis=0) & first[trajectory.last_steps, rows],
            first.any(axis=0),
            second.any(axis=0),
        ],
        ["persistent", "transient", "mechanism 2 alone"],
        default="plateau",
    )
    table = pd.DataFrame(columns)
    ahead = ["seed", "outcome", "plateau_end", "last_step"]
    return table[ahead + [column for column in table if column not in ahead]]
