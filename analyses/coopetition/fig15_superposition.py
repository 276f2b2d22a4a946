"""Figure 15: heads alike on average differ from sequence to sequence, and do not add up.

On CIWL sequences the attention deltas of two heads of layer 1 correlate little, less than those of
two heads in a network that has in-context learning alone (the induction-head study's). Sharpening
one head's attention helps where it is alone, and hardly where all heads are active (Appendix C.2,
Figure 15).
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.coopetition.at_end import (
    by_seed_at_end,
    end_checkpoint,
    first_sequences,
    with_end_state,
)
from analyses.induction_heads.heads import heads_alike
from coopetition_interp.analysis.attention_strengths import attention_deltas
from coopetition_interp.analysis.head_correlations import delta_correlations
from coopetition_interp.analysis.head_temperature import temperature_response
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE, head_style
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.training import Run

SHARPENED = 0.5
LAST = 1
"""The layer of the heads, whose number the table of deltas does not repeat."""

CONTRAST = Path(__file__).parents[2] / "checkpoints" / "induction-heads"
"""The packed induction-head study, whose network has in-context learning alone."""


@measure(n_sequences=1000)
def deltas_on_ciwl(run: Run, n_sequences: int) -> pd.DataFrame:
    """Attention deltas of layer 1's heads on each CIWL sequence, at the end."""
    model = run.model(end_checkpoint(run))
    deltas = attention_deltas(model, first_sequences(run, "ciwl", n_sequences))
    last = deltas[deltas["layer"] == model.cfg.n_layers - 1]
    return with_end_state(run, last[["sequence", "head", "delta"]].reset_index(drop=True))


@measure(n_sequences=1000)
def temperatures(run: Run, n_sequences: int) -> pd.DataFrame:
    """p(right label, of those in context) against each head's temperature, at the end."""
    response = temperature_response(
        run.model(end_checkpoint(run)),
        first_sequences(run, "train", n_sequences),
        active=("alone", "all"),
        metrics="in_context",
    )
    kept = ["head", "active", "temperature", "p_right_in_context", "p_right_in_context_change"]
    return with_end_state(run, response[kept].copy())


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Of main from every initialisation."""
    tables = {
        "deltas": study.measured(deltas_on_ciwl, "main", data_seed=2),
        "temperature": study.measured(temperatures, "main", data_seed=2),
    }
    if CONTRAST.is_dir():
        tables["contrast"] = Study(CONTRAST).measured(heads_alike, "main")
    return tables


def draw(tables: Tables) -> go.Figure:
    """The least correlated pair of the first seed; temperatures as means over seeds."""
    first = tables["deltas"][tables["deltas"]["init_seed"] == tables["deltas"]["init_seed"].min()]
    wide = first.pivot(index="sequence", columns="head", values="delta")
    pair = _correlations(first).set_index(["head", "other"])["correlation"].idxmin()
    one, other = pair
    titles = [f"a) attention deltas of heads {one} and {other}", "b) alone", "c) all heads active"]
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.08)
    dots = {"size": 4, "opacity": 0.5, "color": "#333333"}
    figure.add_scatter(
        x=wide[one], y=wide[other], mode="markers", marker=dots, showlegend=False, row=1, col=1
    )
    mean = tables["temperature"].groupby(["active", "head", "temperature"], as_index=False)
    for (active, head), curve in mean["p_right_in_context"].mean().groupby(["active", "head"]):
        style, col = head_style(int(head)), 2 if active == "alone" else 3
        figure.add_scatter(
            x=curve["temperature"],
            y=curve["p_right_in_context"],
            name=style.name,
            legendgroup=style.name,
            showlegend=col == 2,
            line={"color": style.colour},
            row=1,
            col=col,
        )
        figure.update_xaxes(title_text="temperature", type="log", row=1, col=col)
    figure.update_xaxes(title_text=f"head {one}", row=1, col=1)
    figure.update_yaxes(title_text=f"head {other}", row=1, col=1)
    figure.update_yaxes(title_text="p(right label), of those in context", row=1, col=2)
    figure.update_layout(title="Superposition", template=TEMPLATE, hovermode="closest")
    return figure


WHY = """
At the end of the committed runs the network answers nearly all CIWL sequences rightly, and each
head's attention leans to the right label on most of them, so that two heads' deltas rise and fall
together with how clear the match is. That this is the reason was not tested by a run. In the
induction-head study's runs two heads correlate less still, or against each other (-0.25 to -0.05 in
five seeds, the least of the pairs), so that a low correlation is no mark of CIWL.
"""

PUBLISHED = {
    "correlation of two heads' deltas over CIWL sequences, least of the pairs": "low",
    "alone: gain of p(right) at temperature 0.5, least of the heads": "helps",
    "all active: mean gain at temperature 0.5, as a share of the mean gain alone": "does not help",
}


def rules(tables: Tables) -> list[Rule]:
    """The least correlated pair; the head alone; effect sizes compared."""
    sharpened = tables["temperature"][tables["temperature"]["temperature"] == SHARPENED]
    alone = sharpened[sharpened["active"] == "alone"]
    change = "p_right_in_context_change"

    def share(of_seed: pd.DataFrame) -> float:
        gain = of_seed.groupby("active")[change].mean()
        return float(gain["all"] / gain["alone"])

    return [
        NumberRule(
            "correlation of two heads' deltas over CIWL sequences, least of the pairs",
            by_seed_at_end(tables["deltas"], _least),
            "under",
            0.5,
            "15a",
        ),
        NumberRule(
            "the same in the induction-head study's runs, less that",
            by_seed_at_end(tables["deltas"], lambda of_seed: _contrast(tables) - _least(of_seed)),
            "over",
            0.0,
            "15a",
        ),
        NumberRule(
            "alone: gain of p(right) at temperature 0.5, least of the heads",
            by_seed_at_end(alone, lambda of_seed: of_seed[change].min()),
            "over",
            0.0,
            "15b",
        ),
        NumberRule(
            "all active: mean gain at temperature 0.5, as a share of the mean gain alone",
            by_seed_at_end(sharpened, share),
            "under",
            0.1,
            "15c",
        ),
    ]


def _correlations(of_seed: pd.DataFrame) -> pd.DataFrame:
    return delta_correlations(of_seed.assign(layer=LAST), LAST)


def _least(of_seed: pd.DataFrame) -> float:
    return float(_correlations(of_seed)["correlation"].min())


def _contrast(tables: Tables) -> float:
    """The least correlation of the induction-head study's runs, their mean; NaN without them."""
    if "contrast" not in tables:
        return math.nan
    return float(tables["contrast"].groupby("init_seed")["correlation"].min().mean())


if __name__ == "__main__":
    draw_figure_file(__file__)
