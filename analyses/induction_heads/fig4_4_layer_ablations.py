"""Figure 4.4: paths to the output.

Layer-0 heads contribute to the output directly before induction heads form and no longer in the
end; layer-1 heads contribute ever more (thesis 4.3.1, Figure 4.4).
"""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.curves import thousands
from analyses.induction_heads.each_seed import Number, judged, told
from analyses.induction_heads.heads import N_CHECKPOINTS, training_sequences
from coopetition_interp.analysis.ablation import layer_to_output_cut
from coopetition_interp.analysis.checkpoints import evaluate_checkpoints, spread_checkpoints
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import curve_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import PALETTE, CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun


@measure(n_sequences=1000, n_checkpoints=N_CHECKPOINTS)
def layers_cut_from_output(
    run: ExemplarLabelRun, n_sequences: int, n_checkpoints: int
) -> pd.DataFrame:
    """Loss and accuracy with each layer cut from the output, and their changes, over training."""
    scored = partial(
        evaluate_checkpoints,
        run,
        checkpoints=spread_checkpoints(run, n_checkpoints),
        sequences={"train": training_sequences(run, n_sequences)},
    )
    model, intact = run.model("first"), scored()
    tables = []
    for layer in range(2):
        cut = scored(layer_to_output_cut(model, layer))
        table = cut[["sequences_seen", "loss", "accuracy"]].copy()
        table.insert(1, "cut_layer", layer)
        for metric in ("loss", "accuracy"):
            table[f"{metric}_change"] = cut[metric] - intact[metric]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def table(study: Study) -> pd.DataFrame:
    """Of the main runs."""
    return study.measured(layers_cut_from_output, "main")


def draw(tables: Tables) -> go.Figure:
    """The change of loss, a panel for each layer."""
    styles = {layer: CurveStyle(f"layer {layer}", PALETTE[layer]) for layer in range(2)}
    panels = {f"layer {layer} cut from the output": {layer: styles[layer]} for layer in range(2)}
    figure = curve_panels(tables[""], panels, "loss_change", "cut_layer", "Paths to the output")
    figure.update_yaxes(title_text="change of loss (nats)", col=1)
    return figure


PUBLISHED = {
    "layer 0 cut, end: accuracy": "99.98%",
    "layer 0 cut: change of loss at the end, of its largest": "~0",
    "layer 1 cut: change of loss at the end less that when layer 0's is largest": "increasing",
    "layer 0 cut: largest change of loss": "before the phase change",
}


def rules(tables: Tables) -> list[Rule]:
    """Layer 0 is not needed in the end; layer 1 ever more."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number]:
    peak, end_0, there_1, end_1 = _moments(tables)
    return [
        Number("layer 0 cut, end: accuracy", end_0["accuracy"], "over", 0.99),
        Number(
            "layer 0 cut: change of loss at the end, of its largest",
            end_0["loss_change"] / peak["loss_change"],
            "under",
            0.1,
        ),
        Number(
            "layer 1 cut: change of loss at the end less that when layer 0's is largest",
            end_1["loss_change"] - there_1["loss_change"],
            "over",
            0.0,
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The changes of loss themselves."""
    peak, end_0, there_1, end_1 = range(4)

    def change(moment: int, digits: int) -> str:
        form = f"{{:.{digits}f}}".format
        return told(tables, lambda of: _moments(of)[moment]["loss_change"], form)

    at = told(tables, lambda of: _moments(of)[peak]["sequences_seen"], thousands)
    return [
        Beside("layer 0 cut, end: change of loss", change(end_0, 4)),
        Beside("layer 0 cut: largest change of loss", f"{change(peak, 3)} at {at}"),
        Beside(
            "layer 1 cut: change of loss there and at the end",
            f"{change(there_1, 2)}, {change(end_1, 2)}",
        ),
    ]


def _moments(tables: Tables) -> tuple[pd.Series, pd.Series, pd.Series, pd.Series]:
    """Layer 0 cut: where it costs most, and at the end; layer 1 cut at the same two moments."""
    of_layer = dict(tuple(tables[""].groupby("cut_layer")))
    first, second = of_layer[0], of_layer[1]
    peak = first.iloc[int(first["loss_change"].argmax())]
    there = int((second["sequences_seen"] - peak["sequences_seen"]).abs().argmin())
    return peak, first.iloc[-1], second.iloc[there], second.iloc[-1]


if __name__ == "__main__":
    draw_figure_file(__file__)
