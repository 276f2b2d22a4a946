"""Sections 4.1 and 4.2: layer 0 works through the keys and values of layer 1.

At the end, cutting layer 0 from the output costs hardly any of CIWL; cutting it from layer 1's keys
or values costs most of it, from its queries little (sections 4.1 and 4.2).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.at_end import (
    by_seed_at_end,
    end_checkpoint,
    first_sequences,
    with_end_state,
)
from coopetition_interp.analysis.ablation import layer_to_layer_ablation, layer_to_output_cut
from coopetition_interp.analysis.evaluator_curve import CHANCE
from coopetition_interp.reporting.bars import grouped_bars
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import evaluator_styles
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import summarise
from coopetition_interp.training import Run

CUTS = ("nothing", "output", "Q", "K", "V")


@measure(n_sequences=2000)
def layer_0_cut(run: Run, n_sequences: int) -> pd.DataFrame:
    """In-context accuracy with layer 0 cut from the output, or layer 1's Q, K or V; at the end."""
    model, tables = run.model(end_checkpoint(run)), []
    for evaluator in ("ciwl", "train", "flip"):
        sequences = first_sequences(run, evaluator, n_sequences)
        accuracy = {
            cut: summarise(score_model(model, sequences, clamps, metrics="in_context"))[
                "in_context_accuracy"
            ]
            for cut, clamps in (("nothing", []), ("output", layer_to_output_cut(model, 0)))
        }
        by_layer = layer_to_layer_ablation(model, sequences).set_index("composition")
        accuracy |= by_layer["in_context_accuracy"].to_dict()
        table = pd.DataFrame({"cut": list(accuracy), "in_context_accuracy": accuracy.values()})
        tables.append(table.assign(evaluator=evaluator))
    return with_end_state(run, pd.concat(tables, ignore_index=True))


def table(study: Study) -> pd.DataFrame:
    """Of main from every initialisation."""
    return study.measured(layer_0_cut, "main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """Accuracy of each evaluator under each cut: means over seeds."""
    mean = tables[""].pivot_table(index="evaluator", columns="cut", values="in_context_accuracy")
    names = {"nothing": "intact", "output": "output cut", **{c: f"{c} cut" for c in "QKV"}}
    return grouped_bars(
        [style.name for style in evaluator_styles(mean.index).values()],
        {names[cut]: mean[cut].tolist() for cut in CUTS},
        "Layer 0 cut from the output, or from layer 1's queries, keys or values",
        "in-context accuracy",
    )


PUBLISHED = {
    "share of above-chance CIWL lost without layer 0's path to the output": "0.005",
    "share of above-chance CIWL lost without K-composition": "0.85",
    "share of above-chance CIWL lost without V-composition": "0.82",
    "share of above-chance CIWL lost without Q-composition": "0.07",
}


def rules(tables: Tables) -> list[Rule]:
    """Shares of CIWL's accuracy above 1/2."""
    ciwl = tables[""][tables[""]["evaluator"] == "ciwl"]

    def lost(cut: str) -> dict[int, float]:
        def share(of_seed: pd.DataFrame) -> float:
            accuracy = of_seed.set_index("cut")["in_context_accuracy"]
            return float((accuracy["nothing"] - accuracy[cut]) / (accuracy["nothing"] - CHANCE))

        return by_seed_at_end(ciwl, share)

    composition = "share of above-chance CIWL lost without {}-composition"
    return [
        NumberRule(
            "share of above-chance CIWL lost without layer 0's path to the output",
            lost("output"),
            "under",
            0.05,
            "4.1",
        ),
        NumberRule(composition.format("K"), lost("K"), "over", 0.5, "4.2"),
        NumberRule(composition.format("V"), lost("V"), "over", 0.5, "4.2"),
        NumberRule(composition.format("Q"), lost("Q"), "under", 0.25, "4.2"),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
