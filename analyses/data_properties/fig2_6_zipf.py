"""Figure 2.6: skewed class frequencies hold in-context and in-weights learning together.

As the exponent of a Zipf law of class frequencies rises, in-context learning falls and in-weights
learning of the ten commonest classes rises, that of all others staying at chance; about an exponent
of 1 both are high (thesis, section 2.3.3, Figure 2.6).

Panel b, on the frequencies of words in the Brown corpus, is not drawn: no plan has its runs, which
would need a file of those frequencies (`sequences.class_weights`). In-weights learning of the ten
commonest is the answer out of all labels; the thesis does not say whether its panel d is that, or
the answer out of the ten, which is not measured here.

Bars are means of the evaluations in the last fifth of each run. Rules, written before the runs:
both "high" is over 0.7 at one exponent; chance of the rare classes is under 0.02, of the order of
what a mean over 2,000 sequences tells from nothing.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    each_seed,
    less,
    number_of,
    planned_curves,
)
from coopetition_interp.analysis.peaks import window_mean
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE
from coopetition_interp.reporting.verdicts import NumberRule, Rule

BARS = {
    "icl": ("ICL, held-out classes", HELD_OUT, "in_context_accuracy"),
    "common": ("IWL, the ten commonest classes", "iwl_common", "accuracy"),
    "rare": ("IWL, all other classes", "iwl_rare", "accuracy"),
}
HIGH = 0.7


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by exponent, and the bars."""
    curves = planned_curves(study, "zipf")
    rows = []
    for (exponent, seed), run in curves.groupby(["exponent", "init_seed"]):
        finished = bool(run["evaluator"].notna().any())
        means = {
            name: window_mean(run, evaluator, metric) if finished else math.nan
            for name, (_, evaluator, metric) in BARS.items()
        }
        rows.append({"exponent": exponent, "init_seed": seed, "finished": finished, **means})
    return {"curves": curves, "bars": pd.DataFrame(rows)}


def draw(tables: Tables) -> go.Figure:
    """Bars of the means over seeds, a point for each seed."""
    bars = tables["bars"]
    means = bars.groupby("exponent", as_index=False)[list(BARS)].mean()
    figure = go.Figure()
    for name, (title, _, _) in BARS.items():
        figure.add_bar(x=means["exponent"].astype(str), y=means[name], name=title, offsetgroup=name)
        figure.add_scatter(
            x=bars["exponent"].astype(str),
            y=bars[name],
            mode="markers",
            marker={"size": 5, "color": "#333333"},
            name=f"{title}, each seed",
            showlegend=False,
            offsetgroup=name,  # each point on its bar
        )
    figure.update_xaxes(title_text="exponent of the Zipf law", type="category")
    figure.update_yaxes(title_text="share of answers right, last fifth", range=[0, 1.04])
    figure.update_layout(
        template=TEMPLATE,
        barmode="group",
        scattermode="group",
        title="Skewed class frequencies",
    )
    return figure


WHY = """
Runs of 1M sequences have in-context learning on all held-out classes at exponents 0 and 0.5 (0.93
to 0.97) and none at 1 and more (0.49 to 0.52), while in-weights learning of the ten commonest
classes is 0.09 to 0.12 at 0.5 and 0.84 to 0.85 at 1: if both are high anywhere, then between these
two, where no run was made. Nor is the largest share of the rare classes at chance: it is that of
exponents 0 and 0.5 (0.018 to 0.025; chance is 0.0001), where all classes are learnt a little by
heart, and falls to 0.001 at 3. Longer runs were not made.
"""

PUBLISHED = {
    "ICL at exponent 1 less 0": "falls",
    "IWL of the commonest at exponent 1 less 0": "rises",
    "ICL and IWL of the commonest both high at some exponent": "about 1",
    "IWL of the rare classes, largest of the exponents": "chance",
}


def rules(tables: Tables) -> list[Rule]:
    """Paired within seeds."""
    bars = tables["bars"]
    icl, common, both, rare = PUBLISHED

    def change(column: str) -> dict[int, float]:
        one, none = (number_of(bars, column, exponent=exponent) for exponent in (1.0, 0.0))
        return less(one, none)

    largest = by_seed(bars, lambda rows: rows["rare"].max(skipna=False))
    return [
        NumberRule(icl, change("icl"), "under", 0.0),
        NumberRule(common, change("common"), "over", 0.0),
        each_seed(both, bars, lambda rows: ((rows["icl"] > HIGH) & (rows["common"] > HIGH)).any()),
        NumberRule(rare, largest, "under", 0.02),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
