"""Figure 4.6a: toy model of a phase change.

Three vectors learned through their tensor product make a phase change after a plateau; with c
clamped learning is faster, but still a phase change; only with b and c clamped is the loss a smooth
exponential (thesis 4.4.2, Figure 4.6a). What counts is stated in `phase_change_seeds.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from analyses.toy_models.coopetition_seeds import SEEDS, by_seed, span_told
from analyses.toy_models.phase_change_seeds import (
    COLOURS,
    DRAWN,
    STEADY,
    clamped_loss_shapes,
    exponentials,
    left_plateau,
    phase_changes,
    step_told,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule, YesNoRule
from coopetition_interp.toy_models import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_LOSS,
    plateau_end,
    simulate_phase_change,
)


def table(
    study: Study | None = None,
    seeds: Sequence[int] = range(SEEDS),
    steps: int = 1000,
    drawn: int = DRAWN,
) -> dict[str, pd.DataFrame]:
    """Simulates: shapes over all seeds; curves of one, and when each has fallen half way."""
    curves, halves = [], {}
    for name, clamped in PHASE_CHANGE_CLAMPS.items():
        run = simulate_phase_change([drawn], clamped, steps)
        curves.append(run.table({"loss": PHASE_CHANGE_LOSS}).assign(clamped=name))
        halves[name] = plateau_end(run, PHASE_CHANGE_LOSS)[0]
    return {
        "": pd.concat(curves, ignore_index=True),
        "shapes": clamped_loss_shapes(seeds, steps),
        "half_way": pd.DataFrame({"clamped": list(halves), "step": list(halves.values())}),
    }


def draw(tables: Tables) -> go.Figure:
    """The loss under each clamp, of one seed."""
    figure = go.Figure()
    for clamped, curve in tables[""].groupby("clamped", sort=False):
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=f"{clamped} clamped",
            mode="lines",
            line_color=COLOURS[str(clamped)],
        )
    return figure.update_layout(
        title="Three vectors learned through their tensor product",
        xaxis_title="gradient descent steps",
        yaxis_title="loss",
        yaxis_rangemode="tozero",
        template="plotly_white",
    )


PUBLISHED = {
    "nothing clamped: a phase change, of seeds that leave the plateau": "yes (one seed)",
    "c clamped: leaves the plateau earlier, of those": "faster (one seed)",
    "c clamped: still a phase change": "yes (one seed)",
    "c clamped: no exponential": "yes (one seed)",
    "b and c clamped: an exponential, without a phase change": "yes (one seed)",
}


def rules(tables: Tables) -> list[Rule]:
    """Over all seeds; a seed that is still on the plateau has not left it earlier."""
    plain, c, b_and_c = _by_clamp(tables)
    left = left_plateau(plain)
    c_of_left = c[c["seed"].isin(left["seed"])]
    earlier = c_of_left["leaves_plateau_at"].to_numpy() < left["leaves_plateau_at"].to_numpy()
    names = list(PUBLISHED)
    return [
        YesNoRule(names[0], phase_changes(left)),
        YesNoRule(names[1], by_seed(left, pd.Series(earlier))),
        YesNoRule(names[2], phase_changes(c), of="most seeds"),
        YesNoRule(names[3], by_seed(c, ~(c["rate_ratio"] >= STEADY))),
        YesNoRule(names[4], exponentials(b_and_c)),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The plateau, the gaps, and the seed that is drawn."""
    plain, c, b_and_c = _by_clamp(tables)
    left, steps, seed = left_plateau(plain), tables[""]["step"].max(), tables[""]["seed"].iloc[0]
    return [
        Beside(
            f"nothing clamped: leave the plateau in {steps} steps", f"{len(left)} of {len(plain)}"
        ),
        *(
            Beside(f"convexity gap, {name} clamped", span_told(rows["convexity_gap"], "{:.2f}"))
            for name, rows in {"nothing": left, "c": c, "b and c": b_and_c}.items()
        ),
        *(
            Beside(f"seed {seed} drawn, {clamped} clamped: half way at step", step_told(step))
            for clamped, step in tables["half_way"].set_index("clamped")["step"].items()
        ),
    ]


def _by_clamp(tables: Tables) -> list[pd.DataFrame]:
    shapes = tables["shapes"]
    return [shapes[shapes["clamped"] == name] for name in PHASE_CHANGE_CLAMPS]


if __name__ == "__main__":
    draw_figure_file(__file__)
