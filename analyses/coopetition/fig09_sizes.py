"""Figure 9: with fewer classes or exemplars, in-context learning does not come, or less.

With 1600 classes in-context learning never dominates; with 5 exemplars of each of 12,800 classes it
dominates less than with 20; in-weights learning is stronger with fewer exemplars (Appendix B,
Figure 9).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.sizes import size_panels, size_rules, with_full_size
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Rule


def table(study: Study) -> pd.DataFrame:
    """Metrics of the runs with fewer classes or exemplars, and of main."""
    return with_full_size(study.curves("size", mlps=False), study.curves("main", data_seed=2))


def draw(tables: Tables) -> go.Figure:
    """A panel for each size."""
    return size_panels(tables[""], "Fewer classes or exemplars")


PUBLISHED = {
    "highest Flip with 1600 classes": "in-context learning never dominates",
    "highest Flip, 12,800 x 20 less 12,800 x 5": "less with fewer exemplars",
    "IWL at the end, 1600 x 5 less 1600 x 20": "more with fewer exemplars",
}


def rules(tables: Tables) -> list[Rule]:
    """Compared within each seed, over the length of the shorter run."""
    return size_rules(tables[""])


if __name__ == "__main__":
    draw_figure_file(__file__)
