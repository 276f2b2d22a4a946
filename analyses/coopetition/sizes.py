"""What Figures 9 and 10 share: sizes compared within each seed."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.scales import FULL_SIZE
from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def with_full_size(fewer: pd.DataFrame, full: pd.DataFrame) -> pd.DataFrame:
    """The runs of smaller sizes, and those of full size under their size's name."""
    classes, exemplars = FULL_SIZE
    seeds = fewer["init_seed"].unique()
    full = full[full["init_seed"].isin(seeds)].assign(n_classes=classes, n_exemplars=exemplars)
    return pd.concat([fewer, full], ignore_index=True)


def size_panels(runs: pd.DataFrame, title: str) -> go.Figure:
    """The evaluators' curves, a panel for each size."""
    panels = {
        f"{classes:,} classes x {exemplars}": of_this_size
        for (classes, exemplars), of_this_size in runs.groupby(["n_classes", "n_exemplars"])
    }
    return evaluator_panels(panels, ("icl", "ciwl", "flip", "iwl"), title, columns=2)


def size_rules(runs: pd.DataFrame) -> list[Rule]:
    """Figure 9's three rules; of a pair of runs the longer counts as far as the shorter goes."""
    few_classes = runs[runs["n_classes"] <= 1_600]
    flip_20, flip_5 = _highest_flip_of_pair(runs, FULL_SIZE, (12_800, 5))
    iwl_5, iwl_20 = (
        by_seed(of_size(runs, (1_600, exemplars)), _iwl_at_end) for exemplars in (5, 20)
    )
    return [
        NumberRule(
            "highest Flip with 1600 classes", by_seed(few_classes, _highest_flip), "under", 0.55
        ),
        NumberRule(
            "highest Flip, 12,800 x 20 less 12,800 x 5", _less(flip_20, flip_5), "over", 0.0
        ),
        NumberRule("IWL at the end, 1600 x 5 less 1600 x 20", _less(iwl_5, iwl_20), "over", 0.0),
    ]


def of_size(runs: pd.DataFrame, size: tuple[int, int]) -> pd.DataFrame:
    """The runs of (classes, exemplars)."""
    return runs[(runs["n_classes"] == size[0]) & (runs["n_exemplars"] == size[1])]


def _highest_flip_of_pair(
    runs: pd.DataFrame, one: tuple[int, int], other: tuple[int, int]
) -> tuple[dict[int, float], dict[int, float]]:
    pair = [of_size(runs, size) for size in (one, other)]
    end = min(part["sequences_seen"].max() for part in pair)
    cut = [part[part["sequences_seen"] <= end] for part in pair]
    return by_seed(cut[0], _highest_flip), by_seed(cut[1], _highest_flip)


def _highest_flip(rows: pd.DataFrame) -> float:
    return float(rows[rows["evaluator"] == "flip"]["in_context_accuracy"].max())


def _iwl_at_end(run: pd.DataFrame) -> float:
    return float(evaluator_curve(run, "iwl", "accuracy")["value"].iloc[-1])


def _less(one: dict[int, float], other: dict[int, float]) -> dict[int, float]:
    return {seed: one[seed] - other[seed] for seed in one if seed in other}
