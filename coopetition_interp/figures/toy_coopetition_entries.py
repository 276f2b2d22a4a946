"""Coopetition paper, Figures 5a, 16, 17: claims, numbers and verdicts on the coopetition toy model.

Section 6 and Appendix D. Figures 16 and 17 draw twelve seeds, as the paper does, and count over
`SEEDS`, enough to tell "in most seeds" from chance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from coopetition_interp.analysis.divots_across_seeds import coincidence_across_seeds
from coopetition_interp.analysis.toy_seeds import LEAST_DIVOT, ToySeeds, run_toy_seeds
from coopetition_interp.figures.seed_counts import SEEDS, Count, span_told, step_told
from coopetition_interp.figures.study_figure import Check, StudyFigure, percent, study_figure
from coopetition_interp.figures.toy_models import coopetition_figure
from coopetition_interp.toy_models import CoopetitionModel

PANELS = 12
"""Seeds drawn in Figures 16 and 17, as in the paper."""

LEARNED = 0.01
"""A mechanism is learned for good if its error ends under this share of its plateau."""

DIVOT_TOLD = (
    f"A divot is a transient rise of mechanism 2's error by {LEAST_DIVOT:.0%} of its range or "
    "more; it coincides if the error climbs while mechanism 1's falls (from a tenth to nine tenths "
    "of the way)."
)


def one_seed(seed: int = 4, steps: int = 16_000, every: int = 10) -> StudyFigure:
    """Figure 5a: a seed's transience and divot. The paper does not name its seed.

    Args:
        seed: The seed.
        steps: Gradient descent steps, at most.
        every: Steps between points of the curves.

    Raises:
        ValueError: Fewer than two steps.
    """
    return one_seed_entry(run_toy_seeds(CoopetitionModel(), [seed], steps, every))


def one_seed_entry(runs: ToySeeds) -> StudyFigure:
    """Figure 5a of the first of some seeds."""
    table = runs.per_seed()
    row = table.iloc[0]
    lowest = row["mechanism_1_lowest"] / row["mechanism_1_plateau"]
    last = row["mechanism_1_last"] / row["mechanism_1_plateau"]
    second_last = row["mechanism_2_last"] / row["mechanism_2_plateau"]
    divot = (
        f"{row['divot_depth']:.3f} deep, steps {row['start']:.0f} to {row['end']:.0f}, peak at "
        f"{row['peak']:.0f}"
        if row["divot"]
        else "none"
    )
    coincides = bool(table["coincides"].fillna(False).iloc[0])
    return study_figure(
        "Figure 5a: toy model of coopetition",
        "Mechanism 1 is nearly learned first and then goes back to nothing, as mechanism 2, slower "
        "but better in the end, takes over; while mechanism 1 forms, mechanism 2 worsens a little.",
        coopetition_figure(runs.curves, runs.title(), runs.panel_titles(), divot=runs.first_divot),
        [
            ("seed", "not given", str(row["seed"])),
            ("outcome for mechanism 1", "transient", str(row["outcome"])),
            ("plateau ends at step", "not given", step_told(row["plateau_end"])),
            (
                "mechanism 1's lowest error, of its plateau",
                "nearly learned",
                f"{percent(lowest)}, at step {row['mechanism_1_lowest_step']}",
            ),
            ("mechanism 1's error at the end, of its plateau", "a goes back to 0", percent(last)),
            (
                "mechanism 2's error at the end, of its plateau",
                "dominates",
                f"{100 * second_last:.2g}%",
            ),
            ("divot of mechanism 2", "mild, at ~5k iterations", divot),
        ],
        [
            Check("mechanism 1 is transient", row["outcome"] == "transient"),
            Check("its error falls under 10% of its height on the plateau", lowest < 0.1),
            Check("its error ends over 90% of that height", last > 0.9),
            Check(f"mechanism 2's ends under {LEARNED:.0%} of its own", second_last < LEARNED),
            Check("mechanism 2 has a divot while mechanism 1 forms", coincides),
        ],
        runs.told(),
        {"": runs.curves, "outcomes": table},
        f"{DIVOT_TOLD} When all this happens varies from seed to seed.",
    )


def transience(seeds: int = SEEDS, steps: int = 16_000, every: int = 20) -> StudyFigure:
    """Figure 16: with a floor mu1 = 0.1 under mechanism 1, over seeds.

    Args:
        seeds: How many seeds, from 0.
        steps: Gradient descent steps, at most.
        every: Steps between points of the curves.

    Raises:
        ValueError: No seeds, or fewer than two steps.
    """
    return transience_entry(_over_seeds(0.1, seeds, steps, every))


def transience_entry(runs: ToySeeds) -> StudyFigure:
    """Figure 16: whether mechanism 1 is transient in the seeds that leave the plateau."""
    table = runs.per_seed()
    left, formed = _left(table), _mechanism_1_formed(table)
    transient = Count.where(left["outcome"] == "transient")
    dominates = Count.where(left["mechanism_2_last"] < LEARNED * left["mechanism_2_plateau"])
    divot = Count.where(formed["divot"])
    together = coincidence_across_seeds(runs.divots)
    coinciding = Count(together.coinciding, together.with_both)
    return _seeds_figure(
        runs,
        "Figure 16: toy model, transience over seeds",
        "Times and sizes vary over seeds, but mechanism 1 is transient and mechanism 2 has its "
        "divot in most; some seeds do not leave the plateau.",
        "some of 12",
        [
            (
                "mechanism 1 transient, of seeds that leave the plateau",
                "largely preserved",
                str(transient),
            ),
            ("mechanism 2 learned at the end, of those", "dominates", str(dominates)),
            ("divot of mechanism 2, of seeds where 1 forms", "largely preserved", str(divot)),
            (
                "it coincides with mechanism 1's formation",
                "when 1 is nearly learned",
                str(coinciding),
            ),
            (
                "the same, with the formation of another seed",
                "not given",
                _or_none(percent, together.with_other_seeds),
            ),
            (
                "the divot's peak against half of mechanism 1's fall",
                "not given",
                _or_none("{:+.0f} steps (median)".format, together.median_lag),
            ),
        ],
        [
            Check(
                f"mechanism 1 is transient in every seed that leaves the plateau: {transient}",
                transient.every,
            ),
            Check(
                f"mechanism 2's error ends under {LEARNED:.0%} of its plateau in every such "
                f"seed: {dominates}",
                dominates.every,
            ),
            Check(
                f"mechanism 2 has a divot in most seeds where mechanism 1 forms: {divot}",
                divot.most,
            ),
            Check(
                f"it coincides with mechanism 1's formation in every seed with both: {coinciding}",
                coinciding.every,
            ),
        ],
        DIVOT_TOLD,
    )


def no_transience(seeds: int = SEEDS, steps: int = 16_000, every: int = 20) -> StudyFigure:
    """Figure 17: without a floor under mechanism 1, mu1 = 0, over seeds.

    The sudden drops of mechanism 2 late in some seeds come from the paper's learning rate of 1, at
    the edge of stability there: they are gone at 0.5.

    Args:
        seeds: How many seeds, from 0.
        steps: Gradient descent steps, at most.
        every: Steps between points of the curves.

    Raises:
        ValueError: No seeds, or fewer than two steps.
    """
    return no_transience_entry(_over_seeds(0.0, seeds, steps, every))


def no_transience_entry(runs: ToySeeds) -> StudyFigure:
    """Figure 17: whether mechanism 1 stays in the seeds that leave the plateau."""
    table = runs.per_seed()
    left = _left(table)
    stays = Count.where(left["outcome"] == "persistent")
    transient = Count.where(left["outcome"] == "transient")
    worse = Count.where(left["mechanism_2_last"] > left["mechanism_2_plateau"])
    shrinks = Count.where(left["d_length_last"] < left["d_length_at_plateau_end"])
    return _seeds_figure(
        runs,
        "Figure 17: toy model without the asymptotic bias",
        "Without mu1 there is no transience: mechanism 1, the faster, is learned and stays; the "
        "competition drives d to zero and mechanism 2's loss up.",
        "not given",
        [
            ("mechanism 1 transient, of seeds that leave the plateau", "none", str(transient)),
            ("mechanism 1 learned and stays", "emerges and dominates", str(stays)),
            ("mechanism 2's error ends above its plateau", "increases", str(worse)),
            ("d shorter at the end than at the plateau's", "d to zero", str(shrinks)),
            (
                "length of d at the end, of its target's",
                "to zero",
                span_told(left["d_length_last"], "{:.2f}"),
            ),
        ],
        [
            Check(
                f"mechanism 1 is learned and stays in every seed that leaves the plateau: {stays}",
                stays.every,
            ),
            Check(
                f"mechanism 2's error ends above its height on the plateau in every such seed: "
                f"{worse}",
                worse.every,
            ),
            Check(f"d has shrunk since the plateau in every such seed: {shrinks}", shrinks.every),
        ],
        "The last two go together only on d's way to zero: with d at zero, mechanism 2's error is "
        "that of the plateau; it is higher while some of d is left, multiplied by b and c.",
    )


def _over_seeds(mu1: float, seeds: int, steps: int, every: int) -> ToySeeds:
    return run_toy_seeds(CoopetitionModel(mu1=mu1), range(seeds), steps, every, drawn=PANELS)


def _seeds_figure(
    runs: ToySeeds,
    title: str,
    claim: str,
    stuck: str,
    numbers: list[tuple[str, str, str]],
    checks: list[Check],
    remark: str,
) -> StudyFigure:
    """What Figures 16 and 17 share; `stuck` is what the paper says of seeds that stay put."""
    ends = runs.outcomes["plateau_end"]
    drawn = runs.curves["seed"].nunique()
    return study_figure(
        title,
        claim,
        coopetition_figure(runs.curves, runs.title(), runs.panel_titles()),
        [
            ("seeds that never leave the plateau", stuck, str(Count.where(ends.isna()))),
            ("plateau ends at step", "varies", span_told(ends.dropna(), "{:.0f}")),
            *numbers,
        ],
        checks,
        f"{runs.told()}; {drawn} of them drawn",
        {"": runs.curves, "outcomes": runs.per_seed()},
        remark,
    )


def _left(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["plateau_end"].notna()]


def _mechanism_1_formed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["outcome"].isin(["transient", "persistent"])]


def _or_none(told: Callable[[float], str], value: float) -> str:
    return "none" if np.isnan(value) else told(value)
