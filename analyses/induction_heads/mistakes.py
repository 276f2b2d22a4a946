"""What Tables C.1 and C.2 share: the other heads on the strongest head's mistakes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.heads import heads_at_end, strongest_heads, training_sequences
from analyses.induction_heads.main_seed import main_heads, of_main
from coopetition_interp.analysis.mistakes import heads_on_mistakes_of
from coopetition_interp.analysis.perfected_heads import Perfected
from coopetition_interp.reporting.bars import grouped_bars
from coopetition_interp.reporting.figure_file import Tables
from coopetition_interp.reporting.measure import Measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

RANK = "rank {} of the others: accuracy on those mistakes; overall"


def on_mistakes(run: ExemplarLabelRun, perfected: Perfected, n_sequences: int) -> pd.DataFrame:
    """Each head alone, on the sequences that the strongest head alone gets wrong and on all."""
    strongest = strongest_heads(heads_at_end(run))[0]
    sequences = training_sequences(run, n_sequences)
    table = heads_on_mistakes_of(run.model("last"), sequences, strongest, perfected=perfected)
    return table.assign(n_sequences=len(sequences))


def mistakes_tables(study: Study, made_by: Measure) -> dict[str, pd.DataFrame]:
    """The tables of both figures, of the main run."""
    return {"": of_main(study, made_by), "heads": main_heads(study)}


def draw_on_mistakes(tables: Tables, kind: str) -> go.Figure:
    """Accuracy of each head on the mistakes and on all sequences; one without any has no bar."""
    table = tables[""]
    strongest = strongest_heads(tables["heads"])[0]
    return grouped_bars(
        [f"head {head}" for head in table["head"]],
        {
            f"on head {strongest}'s {kind}": table["accuracy_on_mistakes"].fillna(0).tolist(),
            "on all sequences": table["accuracy"].tolist(),
        },
        f"Heads alone, on head {strongest}'s {kind}",
        "accuracy",
    )


def published_ranks(there: Mapping[int, float], overall: Mapping[int, float]) -> dict[str, str]:
    """The thesis's percentages by rank; its heads are numbered by another initialisation."""
    ranked = sorted(overall, key=lambda head: overall[head], reverse=True)
    return {
        RANK.format(rank): f"head {head}: {there[head]:.1f}%; {overall[head]:.1f}%"
        for rank, head in enumerate(ranked, start=1)
    }


def better_there(tables: Tables) -> pd.Series:
    """Whether each head does better on the mistakes than overall, by head."""
    table = tables[""].set_index("head")
    return table["accuracy_on_mistakes"] > table["accuracy"]


def beside_ranks(tables: Tables, kind: str) -> list[Beside]:
    """How many mistakes there are, and the heads by their accuracy overall."""
    table = tables[""].sort_values("accuracy", ascending=False)
    first = table.iloc[0]
    ranked = table[["head", "accuracy_on_mistakes", "accuracy"]].itertuples(index=False)
    n_mistakes, n_sequences = int(first["n_mistakes"]), int(first["n_sequences"])
    return [
        Beside(f"{kind} of the strongest head", f"{n_mistakes:,} of {n_sequences:,}"),
        *(
            Beside(RANK.format(rank), f"head {head}: {100 * there:.1f}%; {100 * overall:.1f}%")
            for rank, (head, there, overall) in enumerate(ranked, start=1)
        ),
        Beside("heads that do better there", f"{better_there(tables).sum()} of {len(table)}"),
    ]
