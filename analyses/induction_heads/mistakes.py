"""What Tables C.1 and C.2 share: the other heads on the strongest head's mistakes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.each_seed import mean_and_range, seed_by_seed
from analyses.induction_heads.heads import (
    heads_at_end,
    strongest_heads,
    training_sequences,
    with_ranks,
)
from coopetition_interp.analysis.mistakes import heads_on_mistakes_of
from coopetition_interp.analysis.perfected_heads import Perfected
from coopetition_interp.reporting.bars import seed_bars
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


def mistakes_table(study: Study, made_by: Measure) -> pd.DataFrame:
    """The other heads of the main runs, with their `rank` by their accuracy overall."""
    ranked = with_ranks(study.measured(made_by, "main"), "accuracy")
    return ranked.sort_values(["init_seed", "rank"], ignore_index=True)


def draw_on_mistakes(tables: Tables, kind: str) -> go.Figure:
    """Accuracy of each rank on the mistakes and on all sequences; without any there is no bar."""
    title = f"Heads alone, on the strongest head's {kind}"
    table = tables[""].assign(place=[f"rank {rank}" for rank in tables[""]["rank"]])
    columns = {
        "accuracy_on_mistakes": f"on the strongest head's {kind}",
        "accuracy": "on all sequences",
    }
    figure = seed_bars(table, "place", columns, title, "accuracy")
    return figure.update_xaxes(title_text="the other heads, by their accuracy on all sequences")


def published_ranks(there: Mapping[int, float], overall: Mapping[int, float]) -> dict[str, str]:
    """The thesis's percentages by rank; its heads are numbered by another initialisation."""
    ranked = sorted(overall, key=lambda head: overall[head], reverse=True)
    return {
        RANK.format(rank): f"head {head}: {there[head]:.1f}%; {overall[head]:.1f}%"
        for rank, head in enumerate(ranked, start=1)
    }


def better_there(tables: Tables) -> pd.Series:
    """Whether each head of a seed does better on the mistakes than overall, by head."""
    table = tables[""].set_index("head")
    return table["accuracy_on_mistakes"] > table["accuracy"]


def beside_ranks(tables: Tables, kind: str) -> list[Beside]:
    """How many mistakes there are, and the heads by their accuracy overall."""
    table = tables[""]
    n_mistakes = mean_and_range(table.groupby("init_seed")["n_mistakes"].first(), "{:,.0f}".format)

    def percentages(of_rank: pd.DataFrame) -> str:
        columns = (of_rank[name] for name in ("accuracy_on_mistakes", "accuracy"))
        return "; ".join(mean_and_range(column, "{:.1%}".format) for column in columns)

    def n_better(of: Tables) -> str:
        return f"{better_there(of).sum()} of {len(of[''])}"

    return [
        Beside(
            f"{kind} of the strongest head", f"{n_mistakes} of {table['n_sequences'].iloc[0]:,}"
        ),
        *(
            Beside(RANK.format(rank), percentages(of_rank))
            for rank, of_rank in table.groupby("rank")
        ),
        Beside("heads that do better there", seed_by_seed(tables, n_better)),
    ]
