"""Figure C.6: seeds.

Over initialisations, strong heads do well alone, and are, less closely, those that learn quickly
alone: heads race (thesis, appendix C, Figure C.6). Each correlation is over the eight heads of a
seed, so that seeds can be told apart from chance; that over all heads together, which the thesis
shows, stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.stats import spearmanr

from analyses.induction_heads.curves import learning_time
from analyses.induction_heads.each_seed import NO_SEED
from analyses.induction_heads.heads import head_names, seed_colours, training_sequences
from coopetition_interp.analysis.ablation import all_but_one_ablations
from coopetition_interp.analysis.attention_strengths import induction_strength
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE
from coopetition_interp.reporting.verdicts import Beside, NumberRule, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

METRICS = {
    "accuracy_alone": "accuracy, all others ablated",
    "loss_alone": "loss, all others ablated",
    "learning_time": "learning time of the head trained alone (sequences)",
}


@measure(n_sequences=2000)
def heads_alone(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Induction strength of layer 1's heads, and what each does alone, at the end."""
    model, sequences = run.model("last"), training_sequences(run, n_sequences)
    strengths = induction_strength(model, sequences).query("layer == 1").set_index("head")
    alone = all_but_one_ablations(model, sequences)[["head", "accuracy", "loss"]]
    table = alone.rename(columns={"accuracy": "accuracy_alone", "loss": "loss_alone"})
    table.insert(1, "induction_strength", table["head"].map(strengths["strength"]))
    return table


def table(study: Study) -> pd.DataFrame:
    """Heads of every seed whose main run and single-head runs are all finished."""
    heads = study.measured(heads_alone, "main")
    singles = study.require("single_head")
    times = [
        (run.init_seed, run.about["head"], learning_time(train))
        for run in singles
        for train in [run.metrics[run.metrics["evaluator"] == "train"]]
    ]
    of_head = pd.DataFrame(times, columns=["init_seed", "head", "learning_time"])
    joined = heads.merge(of_head, on=["init_seed", "head"], how="left", indicator=True)
    complete = (joined["_merge"] == "both").groupby(joined["init_seed"]).transform("all")
    if not complete.any():
        raise StudyError(NO_SEED)
    return joined[complete].drop(columns="_merge").reset_index(drop=True)


def draw(tables: Tables) -> go.Figure:
    """What heads do alone against their induction strength, coloured by seed."""
    figure = make_subplots(
        rows=1, cols=3, subplot_titles=list(METRICS.values()), horizontal_spacing=0.07
    )
    for seed, heads in tables[""].groupby("init_seed"):
        for col, metric in enumerate(METRICS, start=1):
            figure.add_scatter(
                x=heads["induction_strength"],
                y=heads[metric],
                mode="markers",
                name=f"seed {seed}",
                legendgroup=str(seed),
                showlegend=col == 1,
                marker={"color": seed_colours(heads["init_seed"])[0], "size": 9},
                text=head_names(heads),
                hovertemplate="%{text}: %{y:.4g}",
                row=1,
                col=col,
            )
    figure.update_xaxes(title_text="induction strength")
    figure.update_annotations(font_size=12)
    return figure.update_layout(
        title="Heads of several seeds", template=TEMPLATE, hovermode="closest", height=440
    )


STATEMENT = "rank correlation of strength and {}"
WEAKER = "the weaker of the first two correlations less the third, in size"
POOLED = "over all heads: rank correlation of strength and {}"
PUBLISHED = {
    **{
        POOLED.format(name): told
        for name, told in zip(
            METRICS.values(), ("high", "high, negative", "negative, weaker"), strict=True
        )
    },
    "seeds (heads)": "5 (40)",
    "heads that do not learn alone": "none",
}


def rules(tables: Tables) -> list[Rule]:
    """Two strong correlations, and a weaker one."""
    accuracy, loss, time = (by_seed(tables[""], _correlation_with(name)) for name in METRICS)
    statements = [STATEMENT.format(name) for name in METRICS.values()]
    return [
        NumberRule(statements[0], accuracy, "over", 0.8),
        NumberRule(statements[1], loss, "under", -0.8),
        NumberRule(statements[2], time, "under", 0.0),
        NumberRule(WEAKER, {s: min(accuracy[s], -loss[s]) + time[s] for s in time}, "over", 0.0),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The same over all heads of all seeds."""
    heads = tables[""]
    return [
        *(
            Beside(POOLED.format(name), f"{_correlation_with(metric)(heads):.2f}")
            for metric, name in METRICS.items()
        ),
        Beside("seeds (heads)", f"{heads['init_seed'].nunique()} ({len(heads)})"),
        Beside("heads that do not learn alone", str(int(heads["learning_time"].isna().sum()))),
    ]


def _correlation_with(metric: str) -> Callable[[pd.DataFrame], float]:
    """Of heads' strength with a metric, over those that have it."""

    def correlation(heads: pd.DataFrame) -> float:
        there = heads.dropna(subset=[metric])
        return float(spearmanr(there["induction_strength"], there[metric]).statistic)

    return correlation


if __name__ == "__main__":
    draw_figure_file(__file__)
