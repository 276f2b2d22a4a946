"""What Figures 5a, 16 and 17 share: the coopetition model over seeds.

A divot is a transient rise of mechanism 2's error by 1 % of its range or more. It coincides if the
error climbs while mechanism 1's falls (from a tenth to nine tenths of the way).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float64
from plotly.subplots import make_subplots

from coopetition_interp.analysis.divot import Divot, find_divot
from coopetition_interp.analysis.divots_across_seeds import divot_table
from coopetition_interp.analysis.rises import Rise, find_rise
from coopetition_interp.reporting.figure_file import Tables
from coopetition_interp.reporting.verdicts import Beside
from coopetition_interp.toy_models import (
    CoopetitionModel,
    Trajectory,
    outcomes,
    simulate_coopetition,
)

SEEDS = 36
"""Seeds over which claims are counted: three times the paper's twelve, to tell most from chance."""

PANELS = 12
"""Seeds drawn, the first ones, as in the paper."""

LEAST_DIVOT = 0.01
LEARNED = 0.01
"""A mechanism is learned for good if its error ends under this share of its plateau."""

COLOURS = {"mechanism 1": "#1f77b4", "mechanism 2": "#2ca02c", "competition": "#a0a0a0"}
DIVOT_COLOUR = "#ff7f0e"


def coopetition_tables(
    model: CoopetitionModel, seeds: Sequence[int], steps: int, every: int, drawn: int = PANELS
) -> dict[str, pd.DataFrame]:
    """Runs the model on all seeds at once.

    Args:
        model: The setting.
        seeds: Seeds of the draws.
        steps: Gradient descent steps, at most.
        every: Steps between points of the curves; outcomes and divots use every step.
        drawn: How many seeds, the first ones, the curves are of.

    Returns:
        "": the model's curves (columns `step`, `seed`, `quantity`, `value`); "outcomes": a row per
        seed with what `toy_models.outcomes` and `divot_table` tell (`divot` and `divot_depth` of
        mechanism 2, and mechanism 1's rise), and `lengths_of_d`.

    Raises:
        ValueError: As `gradient_descent`, fewer than two steps, or `every` below 1.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    trajectory = simulate_coopetition(model, seeds, steps)
    curves = trajectory.table(model.curves(), every)
    became = outcomes(model, trajectory)
    divots = divot_table(*divots_and_rises(model, trajectory))
    divots = divots.rename(columns={"found": "divot", "depth": "divot_depth"})
    lengths = lengths_of_d(trajectory, became["plateau_end"].to_numpy(np.float64))
    return {
        "": curves[curves["seed"].isin(list(seeds)[:drawn])].reset_index(drop=True),
        "outcomes": became.merge(divots, on="seed").merge(lengths, on="seed"),
    }


def divots_and_rises(
    model: CoopetitionModel, trajectory: Trajectory
) -> tuple[dict[int, Divot | None], dict[int, Rise | None]]:
    """Divots of mechanism 2's error, and the formation of mechanism 1, by seed.

    The curves have no noise, so they are not smoothed. Mechanism 1's formation is the fall of its
    error from its height on the plateau; it must cover half that height, as in `outcomes`.
    """
    first, second = trajectory.value(model.mechanism_1), trajectory.value(model.mechanism_2)
    plateaus = trajectory.saddle_value(model.mechanism_1)
    divots: dict[int, Divot | None] = {}
    rises: dict[int, Rise | None] = {}
    for column, seed in enumerate(trajectory.seeds):
        until = int(trajectory.last_steps[column]) + 1
        steps, plateau = np.arange(until), float(plateaus[column])
        divots[seed] = find_divot(
            steps, second[:until, column], window=1, min_relative_depth=LEAST_DIVOT
        )
        rises[seed] = find_rise(
            steps,
            first[:until, column],
            baseline=plateau,
            falling=True,
            least_climb=0.5 * plateau,
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
        One row per seed: `seed`, `d_length_at_plateau_end` (NaN without that step),
        `d_length_last`.
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


def draw_seeds(tables: Tables, title: str, columns: int = 4) -> go.Figure:
    """Both mechanisms and their competition, a panel per seed; of a single seed the divot too."""
    curves, became = tables[""], tables["outcomes"].set_index("seed")
    seeds = list(curves["seed"].unique())
    columns = min(columns, len(seeds))
    rows = math.ceil(len(seeds) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[f"seed {seed}: {became.loc[seed, 'outcome']}" for seed in seeds],
        horizontal_spacing=0.05,
        vertical_spacing=0.28 / rows,
    )
    for (seed, quantity), curve in curves.groupby(["seed", "quantity"], sort=False):
        if quantity not in COLOURS:
            continue
        row, column = divmod(seeds.index(seed), columns)
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=quantity,
            legendgroup=quantity,
            showlegend=bool(seed == seeds[0]),
            mode="lines",
            line_color=COLOURS[quantity],
            row=row + 1,
            col=column + 1,
        )
    if len(seeds) == 1 and became["divot"].iloc[0]:
        second = curves[curves["quantity"] == "mechanism 2"]
        climb = second[second["step"].between(became["start"].iloc[0], became["end"].iloc[0])]
        line = {"color": DIVOT_COLOUR, "width": 4}
        figure.add_scatter(x=climb["step"], y=climb["value"], name="divot", mode="lines", line=line)
    figure.update_xaxes(title_text="gradient descent steps", row=rows)
    figure.update_yaxes(title_text="loss", col=1)
    figure.update_yaxes(rangemode="tozero")
    if rows > 1:
        figure.update_layout(height=140 + 200 * rows, width=260 * columns + 160)
    return figure.update_layout(title=title, template="plotly_white")


def left_plateau(tables: Tables) -> pd.DataFrame:
    """Outcomes of the seeds that leave the plateau."""
    table = tables["outcomes"]
    return table[table["plateau_end"].notna()]


def by_seed(rows: pd.DataFrame, holds: pd.Series) -> Mapping[int, bool]:
    """Whether something holds, by the rows' seeds."""
    return {int(seed): bool(held) for seed, held in zip(rows["seed"], holds, strict=True)}


def beside_plateau(tables: Tables) -> list[Beside]:
    """Which seeds stay on the plateau, and when the others leave it."""
    table, left = tables["outcomes"], left_plateau(tables)
    stuck = len(table) - len(left)
    return [
        Beside("seeds that never leave the plateau", f"{stuck} of {len(table)}"),
        Beside("plateau ends at step", span_told(left["plateau_end"], "{:.0f}")),
    ]


def span_told(values: pd.Series, form: str) -> str:
    """Least, greatest and median of a number of each seed, in words.

    Args:
        values: One number per seed.
        form: How each is written, as for `str.format`.
    """
    if values.empty:
        return "no seed"
    low, high, middle = (form.format(v) for v in (values.min(), values.max(), values.median()))
    return f"{low} to {high}, median {middle}"
