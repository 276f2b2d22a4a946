"""Table C.3: layer-0 heads ablated.

Previous-token heads compose with the patterns of layer 1 (match), the other heads of layer 0 with
its values (copy) (thesis, appendix C, Table C.3). Previous-token heads are those that give half or
more of label tokens' attention to the token before; in the thesis they are heads 1, 2 and 5.
"""

from __future__ import annotations

from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.each_seed import Number, judged, seed_by_seed, told
from analyses.induction_heads.heads import heads_at_end, previous_token_heads, training_sequences
from coopetition_interp.analysis.ablation import ablate_preserving
from coopetition_interp.interventions import layer_heads
from coopetition_interp.reporting.bars import seed_bars
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

PREVIOUS_TOKEN, REST, ALL = "previous-token heads", "the rest", "all"
STATEMENT = "{} ablated, {} preserved: accuracy"


@measure(n_sequences=2000)
def layer_0_ablated(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Previous-token heads, the rest, or all of layer 0 ablated, with layer 1 in part preserved."""
    model = run.model("last")
    previous_token = [(0, head) for head in previous_token_heads(heads_at_end(run))]
    everything = layer_heads(model.cfg, 0)
    sets = {
        PREVIOUS_TOKEN: previous_token,
        REST: [head for head in everything if head not in previous_token],
        ALL: everything,
    }
    sets = {name: heads for name, heads in sets.items() if heads}
    table = ablate_preserving(model, training_sequences(run, n_sequences), sets)
    which = {name: " ".join(str(head) for _, head in heads) for name, heads in sets.items()}
    table.insert(1, "which", table["heads"].map(which))
    return table[["heads", "which", "preserved", "accuracy", "loss", "accuracy_change"]]


def table(study: Study) -> pd.DataFrame:
    """Of the main runs."""
    return study.measured(layer_0_ablated, "main")


def draw(tables: Tables) -> go.Figure:
    """Accuracy by the ablated heads and what is preserved."""
    accuracy = tables[""].pivot(
        index=["init_seed", "heads"], columns="preserved", values="accuracy"
    )
    table = accuracy.reindex([PREVIOUS_TOKEN, REST, ALL], level="heads").reset_index()
    columns = {kept: f"{kept} preserved" for kept in accuracy.columns}
    return seed_bars(table, "heads", columns, "Layer-0 heads ablated", "accuracy")


PUBLISHED = {
    STATEMENT.format(PREVIOUS_TOKEN, "patterns"): "99.85%",
    STATEMENT.format(PREVIOUS_TOKEN, "values"): "69.87%",
    STATEMENT.format(REST, "patterns"): "34.27%",
    STATEMENT.format(REST, "values"): "99.32%",
    STATEMENT.format(ALL, "patterns"): "55%",
    STATEMENT.format(ALL, "values"): "11%, under what guessing between the two labels gives",
}


def rules(tables: Tables) -> list[Rule]:
    """Each set is needed for one of the two, and not for the other."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number]:
    accuracy = _accuracy(tables)
    thresholds: tuple[tuple[str, str, Literal["over", "under"], float], ...] = (
        (PREVIOUS_TOKEN, "patterns", "over", 0.95),
        (PREVIOUS_TOKEN, "values", "under", 0.9),
        (REST, "patterns", "under", 0.6),
        (REST, "values", "over", 0.95),
    )
    return [
        Number(STATEMENT.format(group, kept), accuracy.loc[group, kept], side, threshold)
        for group, kept, side, threshold in thresholds
    ]


def beside(tables: Tables) -> list[Beside]:
    """All of layer 0 ablated; which heads are previous-token heads."""

    def without_all(kept: str) -> str:
        return told(tables, lambda of: _accuracy(of)[kept][ALL], "{:.4f}".format)

    def which(of: Tables) -> str:
        return str(of[""].set_index("heads")["which"][PREVIOUS_TOKEN].iloc[0])

    return [
        *(
            Beside(STATEMENT.format(ALL, kept), without_all(kept))
            for kept in ("patterns", "values")
        ),
        Beside("previous-token heads", seed_by_seed(tables, which)),
    ]


def _accuracy(tables: Tables) -> pd.DataFrame:
    """Of a seed; NaN if it has no rest."""
    table = tables[""].pivot(index="heads", columns="preserved", values="accuracy")
    return table.reindex([PREVIOUS_TOKEN, REST, ALL])


if __name__ == "__main__":
    draw_figure_file(__file__)
