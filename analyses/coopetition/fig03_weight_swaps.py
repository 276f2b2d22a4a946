"""Figure 3: layer 1 stays, layer 0 switches.

Layer 1's induction strength on Flip rises, then turns negative. With block 1 and the unembedding
fixed to those of the end, the run is reproduced from the end of the plateau on; with the embedding
and block 0 fixed, nothing changes any more (section 4.3, Figure 3). The null of the first: block 1
and unembedding of another seed's end.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.coopetition.at_end import (
    IN_CONTEXT_EVALUATORS,
    by_seed_at_end,
    end_checkpoint,
    end_state,
    first_sequences,
)
from coopetition_interp.analysis.checkpoints import spread_checkpoints, strengths_over_checkpoints
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.analysis.weight_swaps import weight_swap
from coopetition_interp.reporting.by_seed import rows_by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import add_seed_curves
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.study_run import StudyRun
from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    evaluator_styles,
    metric_name,
    sequences_seen_axis,
)
from coopetition_interp.reporting.verdicts import Beside, NumberRule, Rule
from coopetition_interp.training import Run


@measure(n_sequences=1000, n_checkpoints=100)
def induction_on_flip(run: Run, n_sequences: int, n_checkpoints: int) -> pd.DataFrame:
    """Mean induction strength of layer 1's heads on Flip over training."""
    chosen = sorted({*spread_checkpoints(run, n_checkpoints), end_checkpoint(run)})
    strengths = strengths_over_checkpoints(
        run, first_sequences(run, "flip", n_sequences), checkpoints=chosen
    )
    layer_1 = strengths[strengths["layer"] == 1]
    mean = layer_1.groupby("sequences_seen", as_index=False)["induction_strength"].mean()
    at_end = mean["sequences_seen"] == end_checkpoint(run)
    return mean.assign(at_end=at_end, end_state=end_state(run), curve="layer 1, mean of heads")


@measure(n_sequences=1000, n_checkpoints=100)
def swaps(run: Run, n_sequences: int, n_checkpoints: int) -> pd.DataFrame:
    """In-context accuracy with one half fixed, beside that of the run itself ("nothing").

    `fixed` is "second half" (to the end) or "first half"; `moment` is when the latter is fixed.
    """
    moments, end = moments_of(run.metrics), end_checkpoint(run)
    sequences = {e: first_sequences(run, e, n_sequences) for e in IN_CONTEXT_EVALUATORS}
    at = {"end": float(end), "peak": moments.peak, "crossing": moments.crossing}
    fixed_at = {name: run.nearest_checkpoint(m) for name, m in at.items() if m is not None}
    chosen = sorted({*spread_checkpoints(run, n_checkpoints), *fixed_at.values()})
    itself = pd.concat(
        weight_swap(run, sequences, "second half", seen, checkpoints=[seen]) for seen in chosen
    )
    tables = [itself.assign(fixed="nothing", moment="")]
    tables.append(
        weight_swap(run, sequences, "second half", end, checkpoints=chosen).assign(moment="end")
    )
    for name, seen in fixed_at.items():
        later = [each for each in chosen if each >= seen]
        swapped = weight_swap(run, sequences, "first half", seen, checkpoints=later)
        tables.append(swapped.assign(moment=name))
    kept = ["fixed", "moment", "fixed_at", "sequences_seen", "evaluator", "in_context_accuracy"]
    rise = float("nan") if moments.rise is None else moments.rise
    return pd.concat(tables)[kept].assign(rise=rise, end_state=end_state(run))


@measure(n_sequences=1000, n_checkpoints=50)
def another_seeds_half(run: Run, other: Run, n_sequences: int, n_checkpoints: int) -> pd.DataFrame:
    """In-context accuracy with block 1 and unembedding of another seed's end."""
    sequences = {e: first_sequences(run, e, n_sequences) for e in IN_CONTEXT_EVALUATORS}
    chosen = sorted({*spread_checkpoints(run, n_checkpoints), end_checkpoint(run)})
    swapped = weight_swap(
        run,
        sequences,
        "second half",
        end_checkpoint(other),
        checkpoints=chosen,
        fixed_from=other,
    )
    return swapped[["sequences_seen", "evaluator", "in_context_accuracy"]].assign(
        end_state=end_state(run)
    )


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Of main from every initialisation; the null takes the next one's weights.

    A seed without weights, of an earlier packed copy, has no null if none was kept.
    """
    mains = study.require("main", data_seed=2)

    def next_seed(found: StudyRun) -> StudyRun | None:
        place = mains.index(found)
        following = [*mains[place + 1 :], *mains[:place]]
        measurable = (o for o in following if study.is_measurable(another_seeds_half, found, o))
        return next(measurable, None)

    tables = {
        "": study.measured(swaps, "main", data_seed=2),
        "induction_strength": study.measured(induction_on_flip, "main", data_seed=2),
    }
    if any(map(next_seed, mains)):
        tables["null"] = study.measured(another_seeds_half, "main", data_seed=2, beside=next_seed)
    return tables


def draw(tables: Tables) -> go.Figure:
    """Induction strength; the run itself; layer 1 fixed; layer 0 fixed at three moments."""
    swapped = tables[""]
    null = {"b) another seed's layer 1": tables["null"]} if "null" in tables else {}
    panels = {
        "the run itself": swapped[swapped["fixed"] == "nothing"],
        "b) layer 1 of end": swapped[swapped["fixed"] == "second half"],
        **null,
        **{
            f"c) layer 0 of {moment}": swapped[
                (swapped["fixed"] == "first half") & (swapped["moment"] == moment)
            ]
            for moment in ("peak", "crossing", "end")
        },
    }
    titles = ["a) induction on Flip", *panels]
    cols = -(-len(titles) // 2)
    figure = make_subplots(
        rows=2, cols=cols, subplot_titles=titles, horizontal_spacing=0.085, vertical_spacing=0.16
    )
    layer_1 = {"layer 1, mean of heads": CurveStyle("layer 1, mean of heads", "#9467bd")}
    add_seed_curves(
        figure, tables["induction_strength"], "induction_strength", "curve", layer_1, 1, 1
    )
    styles = evaluator_styles(IN_CONTEXT_EVALUATORS)
    for place, rows in enumerate(panels.values(), start=1):
        row, col = place // cols + 1, place % cols + 1
        add_seed_curves(
            figure, rows, "in_context_accuracy", "evaluator", styles, row, col, place == 1
        )
        figure.update_yaxes(range=[-0.02, 1.04], row=row, col=col)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text="induction strength", row=1, col=1)
    for row, col in ((1, 2), (2, 1)):
        figure.update_yaxes(title_text=metric_name("in_context_accuracy"), row=row, col=col)
    figure.update_layout(title="Layer 1 stays, layer 0 switches", template=TEMPLATE, height=760)
    return figure


PUBLISHED = {
    "mean induction strength of layer 1 on Flip, highest": "up",
    "the same at the end": "negative",
    "mean absolute difference from the run after the rise, worst evaluator": "little",
    "largest change after the fix, mean of three moments": "none",
}


def rules(tables: Tables) -> list[Rule]:
    """a) up, then negative; b) the run reproduced, unlike by the null; c) flat."""
    strength = tables["induction_strength"]
    at_end = strength[strength["at_end"]]
    flat = by_seed_at_end(tables[""], lambda of_seed: _change(of_seed, "first half"))
    own = by_seed_at_end(tables[""], lambda of_seed: _change(of_seed, "nothing"))
    return [
        NumberRule(
            "mean induction strength of layer 1 on Flip, highest",
            by_seed_at_end(strength, lambda of_seed: of_seed["induction_strength"].max()),
            "over",
            0.1,
            "3a",
        ),
        NumberRule(
            "the same at the end",
            by_seed_at_end(at_end, lambda of_seed: of_seed["induction_strength"].iloc[0]),
            "under",
            0.0,
            "3a",
        ),
        NumberRule(
            "mean absolute difference from the run after the rise, worst evaluator",
            by_seed_at_end(tables[""], lambda of_seed: _difference(of_seed, of_seed).mean()),
            "under",
            0.05,
            "3b",
        ),
        NumberRule("the same with another seed's weights", _null(tables), "over", 0.1, "3b"),
        NumberRule("largest change after the fix, mean of three moments", flat, "under", 0.1, "3c"),
        NumberRule(
            "the same as a share of the run's own change",
            {seed: flat[seed] / own[seed] for seed in flat},
            "under",
            1 / 3,
            "3c",
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """3b with every sequence seen of one weight: checkpoints are denser around ICL's rise."""

    def by_time(of_seed: pd.DataFrame) -> float:
        difference = _difference(of_seed, of_seed)
        return float(np.trapezoid(difference, difference.index) / np.ptp(difference.index))

    values = by_seed_at_end(tables[""], by_time)
    return [Beside.of_seeds("the difference of 3b, averaged over sequences seen", values)]


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot_table(
        index="sequences_seen", columns="evaluator", values="in_context_accuracy"
    )


def _difference(of_run: pd.DataFrame, swapped: pd.DataFrame) -> pd.Series:
    """Of the evaluator that differs most, from the rise on, at the swap's checkpoints.

    Between its own checkpoints the run is interpolated linearly: the null has others.
    """
    own = _wide(of_run[of_run["fixed"] == "nothing"])
    other = _wide(swapped[swapped["fixed"] == "second half"])
    other = other[other.index >= of_run["rise"].iloc[0]]
    difference = pd.DataFrame(
        {name: np.interp(other.index, own.index, own[name]) - other[name] for name in other}
    ).abs()
    return difference[difference.mean().idxmax()]


def _null(tables: Tables) -> dict[int, float]:
    """The difference that another seed's weights make; NaN for a seed that has none."""
    runs = rows_by_seed(tables[""])
    without = dict.fromkeys(runs, math.nan)
    if "null" not in tables:
        return without
    null = tables["null"].assign(fixed="second half")
    return without | by_seed_at_end(
        null, lambda of_seed: _difference(runs[of_seed["init_seed"].iloc[0]], of_seed).mean()
    )


def _change(of_run: pd.DataFrame, fixed: str) -> float:
    """Largest change of any evaluator after each moment of the fix; the mean of the moments."""
    changes = []
    for moment in ("peak", "crossing", "end"):
        swapped = of_run[(of_run["fixed"] == "first half") & (of_run["moment"] == moment)]
        if swapped.empty:
            return float("nan")
        at = swapped["fixed_at"].iloc[0]
        curves = _wide(of_run[of_run["fixed"] == "nothing"] if fixed == "nothing" else swapped)
        later = curves[curves.index >= at]
        changes.append((later - later.iloc[0]).abs().max().max())
    return float(sum(changes) / len(changes))


if __name__ == "__main__":
    draw_figure_file(__file__)
