"""Table C.1: on the strongest head's mistakes.

The other heads do worse on what the strongest gets wrong than on all sequences: these are harder,
and the others were not made to mend them (thesis, appendix C, Table C.1).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.each_seed import Number, judged
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

ON_MISTAKES = Measure(on_mistakes, parameters={"perfected": "nothing", "n_sequences": 20_000})
KIND = "mistakes"


def table(study: Study) -> pd.DataFrame:
    """Of the main runs."""
    return mistakes_table(study, ON_MISTAKES)


def draw(tables: Tables) -> go.Figure:
    """Accuracy of the other heads."""
    return draw_on_mistakes(tables, KIND)


PUBLISHED = {
    "share of heads that do better there than overall": "none of 7",
    f"{KIND} of the strongest head": "1,553 of 78,400",
    **published_ranks(
        {0: 24.08, 1: 64.78, 2: 71.67, 4: 32.97, 5: 56.41, 6: 16.61, 7: 46.10},
        {0: 40.32, 1: 76.51, 2: 75.12, 4: 42.85, 5: 64.65, 6: 29.16, 7: 58.85},
    ),
}


def rules(tables: Tables) -> list[Rule]:
    """Most heads do worse there."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number]:
    share = better_there(tables).mean()
    return [Number("share of heads that do better there than overall", share, "under", 0.5)]


def beside(tables: Tables) -> list[Beside]:
    """Rank by rank."""
    return beside_ranks(tables, KIND)


if __name__ == "__main__":
    draw_figure_file(__file__)
