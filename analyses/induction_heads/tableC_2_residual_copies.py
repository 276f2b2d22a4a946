"""Table C.2: on the strongest head's mistakes of copying.

With perfect matches, one head, strong and early, does better on what the strongest miscopies than
overall; most others do not (thesis, appendix C, Table C.2).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.each_seed import Holds, Number, judged
from analyses.induction_heads.heads import heads_at_end, strongest_heads
from analyses.induction_heads.mistakes import (
    beside_ranks,
    better_there,
    draw_on_mistakes,
    mistakes_table,
    on_mistakes,
    published_ranks,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import Measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule

ON_MISTAKES = Measure(on_mistakes, parameters={"perfected": "match", "n_sequences": 20_000})
KIND = "mistakes with a perfect match"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Of the main runs."""
    heads = study.measured(heads_at_end, "main")
    return {"": mistakes_table(study, ON_MISTAKES), "heads": heads}


def draw(tables: Tables) -> go.Figure:
    """Accuracy of the other heads."""
    return draw_on_mistakes(tables, KIND)


PUBLISHED = {
    "one of the two next strongest heads does better there than overall": "yes: head 1",
    "share of heads that do better there than overall": "1 of 7",
    f"{KIND} of the strongest head": "58 of 78,400",
    **published_ranks(
        {0: 24.14, 1: 86.21, 2: 20.69, 4: 22.41, 5: 50.00, 6: 0.00, 7: 44.83},
        {0: 50.01, 1: 82.80, 2: 82.73, 4: 62.10, 5: 65.42, 6: 28.46, 7: 70.70},
    ),
}


def rules(tables: Tables) -> list[Rule]:
    """One head mends the strongest, most do not."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number | Holds]:
    better = better_there(tables)
    next_strongest = strongest_heads(tables["heads"])[1:3]
    return [
        Holds(
            "one of the two next strongest heads does better there than overall",
            better[next_strongest].any(),
        ),
        Number("share of heads that do better there than overall", better.mean(), "under", 0.5),
    ]


def beside(tables: Tables) -> list[Beside]:
    """Rank by rank."""
    return beside_ranks(tables, KIND)


if __name__ == "__main__":
    draw_figure_file(__file__)
