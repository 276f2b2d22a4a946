"""Figure 4.7: clamping against progress measures.

The squared cosine of a and its target, and the loss with b and c perfected at each checkpoint, show
a phase change; the loss of training with b and c clamped is smoothly exponential, a clearer signal
of how a is learned (thesis 4.4.3, Figure 4.7). What counts is stated in `phase_change_seeds.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.toy_models.coopetition_seeds import SEEDS
from analyses.toy_models.phase_change_seeds import (
    COLOURS,
    DRAWN,
    LOSS_WITH_FINAL,
    LOSS_WITH_TARGETS,
    SQUARED_COSINE,
    clamped_loss_shapes,
    exponentials,
    left_plateau,
    phase_changes,
    progress_measure_shapes,
    progress_measures,
    step_told,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule, YesNoRule
from coopetition_interp.toy_models import (
    PHASE_CHANGE_LOSS,
    first_step_where,
    plateau_end,
    simulate_phase_change,
)

MEASURES = (SQUARED_COSINE, LOSS_WITH_TARGETS, LOSS_WITH_FINAL)


def table(
    study: Study | None = None,
    seeds: Sequence[int] = range(SEEDS),
    steps: int = 1000,
    drawn: int = DRAWN,
) -> dict[str, pd.DataFrame]:
    """Simulates: shapes over all seeds; curves of one, and when each has fallen half way."""
    plain = simulate_phase_change([drawn], steps=steps)
    clamped = simulate_phase_change([drawn], ("b", "c"), steps=steps)
    measures = progress_measures(plain)
    training = {"training loss": PHASE_CHANGE_LOSS}
    curves = [
        plain.table(training).assign(clamped="nothing"),
        clamped.table(training).assign(clamped="b and c"),
        plain.table_of_values(measures).assign(clamped="nothing"),
    ]
    half = 0.5 * plain.saddle_value(PHASE_CHANGE_LOSS)
    half_way = {
        "training loss, nothing clamped": plateau_end(plain, PHASE_CHANGE_LOSS),
        "training loss, b and c clamped": plateau_end(clamped, PHASE_CHANGE_LOSS),
        SQUARED_COSINE: first_step_where(measures[SQUARED_COSINE] > 0.5),
        LOSS_WITH_TARGETS: first_step_where(measures[LOSS_WITH_TARGETS] < half),
        LOSS_WITH_FINAL: first_step_where(measures[LOSS_WITH_FINAL] < half),
    }
    shapes = [progress_measure_shapes(seeds, steps), clamped_loss_shapes(seeds, steps, ["b and c"])]
    return {
        "": pd.concat(curves, ignore_index=True),
        "shapes": pd.concat(shapes, ignore_index=True),
        "half_way": pd.DataFrame(
            {"curve": list(half_way), "step": [steps[0] for steps in half_way.values()]}
        ),
    }


def draw(tables: Tables) -> go.Figure:
    """A panel for the training losses and for each measure, of one seed."""
    table = tables[""]
    panels = list(table["quantity"].unique())
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=panels, horizontal_spacing=0.07)
    for (panel, clamped), curve in table.groupby(["quantity", "clamped"], sort=False):
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=f"{clamped} clamped",
            legendgroup=clamped,
            showlegend=panel == panels[0],
            mode="lines",
            line_color=COLOURS[str(clamped)],
            row=1,
            col=panels.index(panel) + 1,
        )
    figure.update_xaxes(title_text="gradient descent steps")
    figure.update_yaxes(rangemode="tozero")
    title = "Clamping against progress measures for vector a"
    return figure.update_layout(title=title, template="plotly_white", width=1400, height=400)


CLAMPED = "b and c clamped: an exponential, without a phase change"
OF_MEASURE = "{}: a phase change, of seeds that leave the plateau"
PUBLISHED = {
    CLAMPED: "smoothly exponential (one seed)",
    **{OF_MEASURE.format(name): "phase change (one seed)" for name in MEASURES},
}


def rules(tables: Tables) -> list[Rule]:
    """The clamp in every seed, the measures in most that leave the plateau."""
    shapes = tables["shapes"]
    left = left_plateau(shapes)
    return [
        YesNoRule(CLAMPED, exponentials(shapes[shapes["clamped"] == "b and c"])),
        *(
            YesNoRule(
                OF_MEASURE.format(name),
                phase_changes(left[left["measure"] == name]),
                of="most seeds",
            )
            for name in MEASURES
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The seed that is drawn."""
    curves = tables[""]
    seed = curves["seed"].iloc[0]
    # A solution is fixed up to scale only, so this need not end at zero.
    last = curves[curves["quantity"] == LOSS_WITH_TARGETS]["value"].iloc[-1]
    return [
        *(
            Beside(f"seed {seed} drawn, {curve}: half way at step", step_told(step))
            for curve, step in tables["half_way"].set_index("curve")["step"].items()
        ),
        Beside(f"seed {seed} drawn, {LOSS_WITH_TARGETS}, at the end", f"{last:.4f}"),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
