"""The coopetition toy model over many seeds: what became of each, and the divot of mechanism 2.

Coopetition paper, Section 6 and Appendix D (Figures 5a, 16, 17): mechanism 1 is transient if it has
a floor mu1, persistent without; when it is nearly learned, mechanism 2 gets a little worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from coopetition_interp.analysis.divot import Divot, find_divot
from coopetition_interp.analysis.divots_across_seeds import divot_table
from coopetition_interp.analysis.rises import Rise, find_rise
from coopetition_interp.toy_models import (
    CoopetitionModel,
    Trajectory,
    outcomes,
    simulate_coopetition,
)

LEAST_DIVOT = 0.01
"""Least depth of a divot, as a fraction of the range of mechanism 2's error."""


def divots_and_rises(
    model: CoopetitionModel, trajectory: Trajectory, min_relative_depth: float = LEAST_DIVOT
) -> tuple[dict[int, Divot | None], dict[int, Rise | None]]:
    """Divots of mechanism 2's error, and the formation of mechanism 1.

    The curves have no noise, so they are not smoothed. Mechanism 1's formation is the fall of its
    error from its height on the plateau; it must cover half that height, as in ``outcomes``.

    Args:
        model: The model that was run.
        trajectory: Its run.
        min_relative_depth: Least depth, as a fraction of the range of mechanism 2's error.

    Returns:
        By seed the divots, and by seed the rises of mechanism 1, for ``divot_table``.
    """
    first, second = trajectory.value(model.mechanism_1), trajectory.value(model.mechanism_2)
    plateaus = trajectory.saddle_value(model.mechanism_1)
    divots: dict[int, Divot | None] = {}
    rises: dict[int, Rise | None] = {}
    for column, seed in enumerate(trajectory.seeds):
        until = int(trajectory.last_steps[column]) + 1
        steps = np.arange(until)
        divots[seed] = find_divot(
            steps, second[:until, column], window=1, min_relative_depth=min_relative_depth
        )
        rises[seed] = find_rise(
            steps,
            first[:until, column],
            baseline=float(plateaus[column]),
            falling=True,
            least_climb=0.5 * float(plateaus[column]),
        )
    return divots, rises


def lengths_of_d(
    trajectory: Trajectory, plateau_ends: Float64[np.ndarray, " seeds"]
) -> pd.DataFrame:
    """How long d is, as a fraction of its target: competition is to drive it, or a, to zero.

    Args:
        trajectory: A run of the coopetition model.
        plateau_ends: Per seed the step to compare the end with; NaN where there is none.

    Returns:
        One row per seed: ``seed``, ``d_length_at_plateau_end`` (NaN without that step),
        ``d_length_last``.
    """
    place = trajectory.products.index("d")
    lengths = np.sqrt(
        trajectory.products.squared_norms[..., place]
        / trajectory.products.target_squared_norms[..., place]
    )
    seeds = np.arange(len(trajectory.seeds))
    reached = np.isfinite(plateau_ends)
    at_end = lengths[np.where(reached, plateau_ends, 0).astype(int), seeds]
    return pd.DataFrame(
        {
            "seed": trajectory.seeds,
            "d_length_at_plateau_end": np.where(reached, at_end, np.nan),
            "d_length_last": lengths[trajectory.last_steps, seeds],
        }
    )


@dataclass(frozen=True)
class ToySeeds:
    """One setting of the coopetition model, run on several seeds.

    Attributes:
        model: The setting.
        steps: Gradient descent steps, at most.
        curves: ``Trajectory.table`` of ``model.curves()`` of the seeds to draw, thinned.
        outcomes: ``toy_models.outcomes``, one row per seed.
        divots: ``divot_table`` of mechanism 2's divot and mechanism 1's formation.
        lengths: ``lengths_of_d``, compared with the end of the plateau.
        first_divot: The divot of the first seed.
    """

    model: CoopetitionModel
    steps: int
    curves: pd.DataFrame
    outcomes: pd.DataFrame
    divots: pd.DataFrame
    lengths: pd.DataFrame
    first_divot: Divot | None

    def title(self) -> str:
        """The setting, and how mechanism 1 is drawn."""
        return (
            f"Toy model, mu1 = {self.model.mu1}, alpha = {self.model.alpha} "
            "(mechanism 1 with its floor mu1)"
        )

    def told(self) -> str:
        """What was run, in words."""
        return (
            f"simulated on the spot: mu1 = {self.model.mu1}, alpha = {self.model.alpha}, "
            f"{len(self.outcomes)} seed(s), at most {self.steps} gradient descent steps"
        )

    def panel_titles(self) -> dict[int, str]:
        """``seed 3: transient`` for every seed, for the panels of a figure."""
        return {
            int(row["seed"]): f"seed {row['seed']}: {row['outcome']}"
            for row in self.outcomes.to_dict("records")
        }

    def per_seed(self) -> pd.DataFrame:
        """Outcomes, divots and lengths of d side by side, one row per seed."""
        divots = self.divots.rename(columns={"found": "divot", "depth": "divot_depth"})
        return self.outcomes.merge(divots, on="seed").merge(self.lengths, on="seed")


def run_toy_seeds(
    model: CoopetitionModel,
    seeds: Sequence[int],
    steps: int = 16_000,
    every: int = 20,
    drawn: int | None = None,
) -> ToySeeds:
    """Run the model on all seeds at once and gather what the figures need.

    Args:
        model: The setting.
        seeds: Seeds of the draws.
        steps: Gradient descent steps, at most.
        every: Steps between points of ``curves``; the outcomes and divots use every step.
        drawn: How many seeds, the first ones, ``curves`` has; by default all.

    Raises:
        ValueError: As ``gradient_descent``, fewer than two steps, or ``every`` below 1.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    trajectory = simulate_coopetition(model, seeds, steps)
    divots, rises = divots_and_rises(model, trajectory)
    curves = trajectory.table(model.curves(), every)
    became = outcomes(model, trajectory)
    return ToySeeds(
        model=model,
        steps=steps,
        curves=curves[curves["seed"].isin(list(seeds)[:drawn])].reset_index(drop=True),
        outcomes=became,
        divots=divot_table(divots, rises),
        lengths=lengths_of_d(trajectory, became["plateau_end"].to_numpy(np.float64)),
        first_divot=divots[seeds[0]],
    )
