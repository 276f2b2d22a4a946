"""Figure A.2: transformers learn in weights at least as well as recurrent networks.

The runs of Figure 2.7: the transformers' in-weights learning is as good as, or better than, that of
recurrent networks (thesis, appendix A.2).

Rule, written before the runs: the best of each, within 0.02, two standard errors.

Changed on 2026-11-28, the verdict being as before: the two numbers are told, not a count of draws;
and it is undecided while a run is not finished.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties import architectures
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule

STATEMENT = "the best transformer's IWL is not below the best recurrent network's"


def table(study: Study) -> pd.DataFrame:
    """Metrics of every run."""
    return architectures.table(study)


def draw(tables: Tables) -> go.Figure:
    """A curve for each draw."""
    return architectures.draw(tables[""], "Architectures: IWL", {"IWL": ("iwl", "accuracy")})


WHY = """
The runs are short, 0.3M sequences for the thesis's 16M, and all sequences are bursty, so that
hardly any network has learned in weights yet: the best transformer has 0.098, one vanilla RNN 0.34.
What longer runs do was not tested.
"""

PUBLISHED = {STATEMENT: "as good or better"}


def rules(tables: Tables) -> list[Rule]:
    """Over all draws."""
    runs = tables[""]
    highest = architectures.best(runs, "iwl")
    transformer, recurrent = highest["transformer"], max(highest["rnn"], highest["lstm"])
    lacking = architectures.lacks_runs(runs, *architectures.NAMES)
    holds = None if lacking else transformer >= recurrent - 0.02
    told = f"{transformer:.3f} against {recurrent:.3f}"
    return [architectures.once_for_all(STATEMENT, runs, holds, told)]


def beside(tables: Tables) -> list[Beside]:
    """The numbers themselves."""
    highest = architectures.best(tables[""], "iwl")
    told = (f"{architectures.NAMES[kind]} {value:.3f}" for kind, value in highest.items())
    return [Beside("IWL of the best draw", ", ".join(told))]


if __name__ == "__main__":
    draw_figure_file(__file__)
