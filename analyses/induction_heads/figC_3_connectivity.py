"""Figure C.3: layer-0 to layer-1 connectivity.

Several previous-token heads feed several induction heads; other layer-0 heads compose with their
values. Composition scores of weights show it less clearly (thesis, appendix C, Figure C.3).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.stats import spearmanr

from analyses.induction_heads.each_seed import Holds, each_seed, judged, seed_by_seed, told
from analyses.induction_heads.heads import (
    heads_at_end,
    previous_token_heads,
    strongest_heads,
    training_sequences,
)
from coopetition_interp.analysis.ablation import head_to_head_connectivity
from coopetition_interp.analysis.weight_composition import composition_scores
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

PRESERVED_AND_READS = (("values", "K"), ("patterns", "V"))
"""What of layer 1 is kept while heads of layer 0 are ablated; the composition that this shows."""


@measure(n_sequences=1000)
def connectivity(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Each head of layer 0 ablated, or all but one, for each head of layer 1, at the end."""
    table = head_to_head_connectivity(run.model("last"), training_sequences(run, n_sequences))
    names = ["from_head", "to_head", "ablated", "preserved"]
    return table[[*names, "accuracy", "loss", "accuracy_change", "loss_change"]]


@measure()
def composition(run: ExemplarLabelRun) -> pd.DataFrame:
    """Composition scores of the weights at the end."""
    return composition_scores(run.model("last"))


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Of the main runs."""
    return {
        "": study.measured(connectivity, "main"),
        "composition": study.measured(composition, "main"),
        "heads": study.measured(heads_at_end, "main"),
    }


def draw(tables: Tables) -> go.Figure:
    """Of the first seed: layer-0 heads by layer-1 heads; values kept, patterns kept."""
    seed, first = next(iter(each_seed(tables).items()))
    panels = []
    for letter, (preserved, reads) in zip("ab", PRESERVED_AND_READS, strict=True):
        one = _matrix(first, "one", preserved, "accuracy_change")
        score = _scores(first, reads)
        span = max(float(one.abs().to_numpy().max()), 0.01)
        mean = float(score.to_numpy().mean())
        spread = float((score - mean).abs().to_numpy().max())
        panels += [
            (f"{letter}1) one ablated, {preserved} kept: change", one, -span, span),
            (f"{letter}2) one path, {preserved} kept: accuracy", _paths(first, preserved), 0, 1),
            (f"{letter}3) {reads}-composition score", score, mean - spread, mean + spread),
        ]
    figure = make_subplots(
        rows=2,
        cols=3,
        subplot_titles=[name for name, *_ in panels],
        horizontal_spacing=0.06,
        vertical_spacing=0.14,
    )
    for place, (_, matrix, low, high) in enumerate(panels):
        figure.add_heatmap(
            z=matrix.to_numpy(),
            x=[str(head) for head in matrix.columns],
            y=[str(head) for head in matrix.index],
            zmin=low,
            zmax=high,
            colorscale="RdBu_r",
            text=np.round(matrix.to_numpy(), 2),
            texttemplate="%{text}",
            textfont={"size": 9},
            showscale=False,
            hovertemplate="layer 0 head %{y}, layer 1 head %{x}: %{z:.3f}<extra></extra>",
            row=place // 3 + 1,
            col=place % 3 + 1,
        )
    figure.update_xaxes(type="category")
    figure.update_xaxes(title_text="layer 1 head", row=2)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_yaxes(title_text="layer 0 head", col=1)
    title = f"Which layer-0 heads each layer-1 head relies on (seed {seed})"
    return figure.update_layout(
        title=title, template=TEMPLATE, hovermode="closest", height=760, width=1290
    )


PUBLISHED = {
    "the strongest path, values kept, is from a previous-token head to the strongest induction "
    "head": "layer 0 head 2 to layer 1 head 3: 90%",
    "only previous-token heads have paths over 55%, values kept, and two or more of them": "1, 2, "
    "5, all previous-token heads",
    "the best head for the strongest's values, patterns kept, is no previous-token head": "head 6",
    "previous-token heads": "1, 2, 5",
    "rank correlation with K-composition scores": "noisier",
    "rank correlation with V-composition scores": "noisier",
}


def rules(tables: Tables) -> list[Rule]:
    """Who feeds patterns, and who feeds values."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Holds]:
    previous_token = previous_token_heads(tables["heads"])
    strongest = strongest_heads(tables["heads"])[0]
    matches = _paths(tables, "values")
    best, target = _strongest_path(matches)
    strong = set(matches.index[(matches > 0.55).any(axis=1)])
    copier = _paths(tables, "patterns")[strongest].idxmax()
    path, only, values = list(PUBLISHED)[:3]
    return [
        Holds(path, best in previous_token and target == strongest),
        Holds(only, strong <= set(previous_token) and len(strong) >= 2),
        Holds(values, copier not in previous_token),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The paths, and how far the scores of weights agree with them."""

    def strongest_path(of: Tables) -> str:
        matches = _paths(of, "values")
        best, target = _strongest_path(matches)
        return f"layer 0 head {best} to layer 1 head {target}, {matches.to_numpy().max():.3f}"

    def over_half(of: Tables) -> str:
        over = _paths(of, "values") > 0.5
        heads = ", ".join(map(str, over.index[over.any(axis=1)]))
        return f"{int(over.to_numpy().sum())} from heads {heads or 'none'}"

    def previous_token(of: Tables) -> str:
        return ", ".join(map(str, sorted(previous_token_heads(of["heads"]))))

    def copier(of: Tables) -> str:
        copies = _paths(of, "patterns")[strongest_heads(of["heads"])[0]]
        return f"layer 0 head {copies.idxmax()}, {copies.max():.3f}"

    return [
        Beside(
            "strongest path, values kept",
            seed_by_seed(tables, strongest_path),
        ),
        Beside("paths over 50%, values kept", seed_by_seed(tables, over_half)),
        Beside("previous-token heads", seed_by_seed(tables, previous_token)),
        Beside(
            "best for the values of the strongest head, patterns kept",
            seed_by_seed(tables, copier),
        ),
        *(
            Beside(
                f"rank correlation with {reads}-composition scores",
                told(
                    tables, partial(_agreement, preserved=preserved, reads=reads), "{:.2f}".format
                ),
            )
            for preserved, reads in PRESERVED_AND_READS
        ),
    ]


def _matrix(tables: Tables, ablated: str, preserved: str, value: str) -> pd.DataFrame:
    table = tables[""]
    rows = table[(table["ablated"] == ablated) & (table["preserved"] == preserved)]
    return rows.pivot(index="from_head", columns="to_head", values=value)


def _paths(tables: Tables, preserved: str) -> pd.DataFrame:
    """Accuracy with all but one head of layer 0 ablated for a head of layer 1."""
    return _matrix(tables, "all but one", preserved, "accuracy")


def _strongest_path(matches: pd.DataFrame) -> tuple[int, int]:
    """From which head of layer 0 to which of layer 1."""
    row, column = np.unravel_index(matches.to_numpy().argmax(), matches.shape)
    return int(matches.index[int(row)]), int(matches.columns[int(column)])


def _scores(tables: Tables, reads: str) -> pd.DataFrame:
    table = tables["composition"]
    rows = table[table["composition"] == reads]
    return rows.pivot(index="from_head", columns="to_head", values="score")


def _agreement(tables: Tables, preserved: str, reads: str) -> float:
    paths, scores = _paths(tables, preserved), _scores(tables, reads)
    return float(spearmanr(paths.to_numpy().ravel(), scores.to_numpy().ravel()).statistic)


if __name__ == "__main__":
    draw_figure_file(__file__)
