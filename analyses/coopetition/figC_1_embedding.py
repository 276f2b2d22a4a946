"""Appendix C.1: in-weights learning without heads plays a small part.

Without any heads, the path from embedding to unembedding alone keeps a quarter of CIWL's accuracy
above chance; without the embedding in that path, patterns and values preserved, hardly anything is
lost (Appendix C.1).
"""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.at_end import (
    by_seed_at_end,
    end_checkpoint,
    first_sequences,
    with_end_state,
)
from coopetition_interp.analysis.evaluator_curve import CHANCE
from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    Clamp,
    Preserve,
    layer_heads,
)
from coopetition_interp.reporting.bars import grouped_bars
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import evaluator_styles
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import summarise
from coopetition_interp.training import Run


@measure(n_sequences=2000)
def without_heads_or_embedding(run: Run, n_sequences: int) -> pd.DataFrame:
    """In-context accuracy without any heads, and without the embedding; at the end."""
    model = run.model(end_checkpoint(run))
    heads = [head for layer in range(model.cfg.n_layers) for head in layer_heads(model.cfg, layer)]
    conditions: dict[str, list[Clamp]] = {
        "nothing": [],
        "heads": [AblateHeads(heads)],
        "embedding": [Preserve(patterns=True, values=True), AblateEmbedding()],
    }
    rows = [
        {
            "evaluator": evaluator,
            "ablated": ablated,
            "in_context_accuracy": summarise(
                score_model(
                    model,
                    first_sequences(run, evaluator, n_sequences),
                    clamps,
                    metrics="in_context",
                )
            )["in_context_accuracy"],
        }
        for evaluator in ("ciwl", "train")
        for ablated, clamps in conditions.items()
    ]
    return with_end_state(run, pd.DataFrame(rows))


def share_left(of_run: pd.DataFrame, ablated: str) -> float:
    """Accuracy above chance that is left, as a share of the intact model's."""
    accuracy = of_run.set_index("ablated")["in_context_accuracy"]
    return float((accuracy[ablated] - CHANCE) / (accuracy["nothing"] - CHANCE))


def table(study: Study) -> pd.DataFrame:
    """Of main from every initialisation."""
    return study.measured(without_heads_or_embedding, "main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """Accuracy of each evaluator: means over seeds."""
    mean = tables[""].pivot_table(
        index="evaluator", columns="ablated", values="in_context_accuracy"
    )
    names = {
        "nothing": "intact",
        "heads": "all heads ablated",
        "embedding": "embedding ablated, patterns and values preserved",
    }
    return grouped_bars(
        [style.name for style in evaluator_styles(mean.index).values()],
        {name: mean[ablated].tolist() for ablated, name in names.items()},
        "Embedding to output alone, and without it",
        "in-context accuracy",
    )


WHY = """
The direct path from embedding to unembedding is stronger at ten times the learning rate and on 64
directions: the committed run at the paper's own rate, on full features, keeps a share like the
paper's.
"""

PUBLISHED = {
    "share of above-chance CIWL left without any head": "0.25",
    "share of above-chance CIWL lost without the embedding": "0.04",
}


def rules(tables: Tables) -> list[Rule]:
    """Shares of CIWL's accuracy above 1/2."""
    ciwl = tables[""][tables[""]["evaluator"] == "ciwl"]

    def left(ablated: str) -> dict[int, float]:
        return by_seed_at_end(ciwl, partial(share_left, ablated=ablated))

    return [
        NumberRule("share of above-chance CIWL left without any head", left("heads"), "under", 0.5),
        NumberRule(
            "share of above-chance CIWL lost without the embedding",
            {seed: 1 - share for seed, share in left("embedding").items()},
            "under",
            0.15,
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
