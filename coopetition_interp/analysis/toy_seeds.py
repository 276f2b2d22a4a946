"""The coopetition toy model over many seeds: what became of each, and the divot of mechanism 2.

Coopetition paper, Section 6 and Appendix D (Figures 5a, 16, 17): mechanism 1 is transient if it has
a floor mu1, persistent without; when it is nearly learned, mechanism 2 gets a little worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coopetition_interp.toy_models import (
    CoopetitionModel,
    Trajectory,
    outcomes,
    simulate_coopetition,
)

from .divot import Divot, find_divot
from .divots_across_seeds import coincidence_across_seeds, divot_table
from .rises import Rise, find_rise


def divots_and_rises(
    model: CoopetitionModel, trajectory: Trajectory, min_relative_depth: float = 0.01
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


@dataclass(frozen=True)
class ToySeeds:
    """One setting of the coopetition model, run on several seeds.

    Attributes:
        model: The setting.
        steps: Gradient descent steps, at most.
        curves: ``Trajectory.table`` of ``model.curves()``, thinned.
        outcomes: ``toy_models.outcomes``, one row per seed.
        divots: ``divot_table`` of mechanism 2's divot and mechanism 1's formation.
        first_divot: The divot of the first seed.
    """

    model: CoopetitionModel
    steps: int
    curves: pd.DataFrame
    outcomes: pd.DataFrame
    divots: pd.DataFrame
    first_divot: Divot | None

    def title(self) -> str:
        """The setting, and how mechanism 1 is drawn."""
        return (
            f"Toy model, mu1 = {self.model.mu1}, alpha = {self.model.alpha} "
            "(mechanism 1 with its floor mu1)"
        )

    def panel_titles(self) -> dict[int, str]:
        """``seed 3: transient`` for every seed, for the panels of a figure."""
        return {
            int(row["seed"]): f"seed {row['seed']}: {row['outcome']}"
            for row in self.outcomes.to_dict("records")
        }

    def per_seed(self) -> pd.DataFrame:
        """Outcomes and divots side by side, one row per seed."""
        return self.outcomes.merge(
            self.divots.rename(columns={"found": "divot", "depth": "divot_depth"}), on="seed"
        )

    def report(self) -> str:
        """The counts and times, in words, and the table they come from."""
        counts = self.outcomes["outcome"].value_counts()
        ends = self.outcomes["plateau_end"].dropna()
        lines = [
            f"mu1 = {self.model.mu1}, alpha = {self.model.alpha}, {len(self.outcomes)} seeds, "
            f"at most {self.steps} steps",
            f"mechanism 1 transient in {counts.get('transient', 0)}, persistent in "
            f"{counts.get('persistent', 0)}, mechanism 2 alone in "
            f"{counts.get('mechanism 2 alone', 0)}; never left the plateau: "
            f"{counts.get('plateau', 0)}",
        ]
        if len(ends):
            lines.append(
                f"plateau ends at step {ends.min():.0f} to {ends.max():.0f}, median "
                f"{ends.median():.0f}"
            )
        lines.append(self._divots_in_words())
        shown = ["seed", "outcome", "plateau_end", "last_step", "mechanism_1_lowest"]
        shown += ["mechanism_1_last", "mechanism_2_last", "divot_depth", "peak", "coincides"]
        lines.append(self.per_seed()[shown].to_string(index=False, float_format="{:.4g}".format))
        return "\n".join(lines)

    def _divots_in_words(self) -> str:
        together = coincidence_across_seeds(self.divots)
        if together.with_both == 0:
            return "no divot of mechanism 2 in a seed where mechanism 1 forms"
        words = (
            f"divot of mechanism 2 in {together.with_both} of the {together.with_rise} seed(s) "
            f"where mechanism 1 forms; while it forms in {together.coinciding}; peak "
            f"{together.median_lag:+.0f} steps from half-way"
        )
        if together.with_both == 1:
            return words
        low, high = together.interval
        return (
            f"{words}; 95 % interval of the coinciding share {low:.2f} to {high:.2f}, against "
            f"{together.with_other_seeds:.2f} with the formation in another seed; rank correlation "
            f"of the two times {together.rank_correlation:.2f}"
        )


def run_toy_seeds(
    model: CoopetitionModel, seeds: Sequence[int], steps: int = 16_000, every: int = 20
) -> ToySeeds:
    """Run the model on all seeds at once and gather what the figures and reports need.

    Args:
        model: The setting.
        seeds: Seeds of the draws.
        steps: Gradient descent steps, at most.
        every: Steps between points of ``curves``; the outcomes and divots use every step.

    Raises:
        ValueError: As ``gradient_descent``.
    """
    trajectory = simulate_coopetition(model, seeds, steps)
    divots, rises = divots_and_rises(model, trajectory)
    return ToySeeds(
        model=model,
        steps=steps,
        curves=trajectory.table(model.curves(), every),
        outcomes=outcomes(model, trajectory),
        divots=divot_table(divots, rises),
        first_divot=divots[seeds[0]],
    )
