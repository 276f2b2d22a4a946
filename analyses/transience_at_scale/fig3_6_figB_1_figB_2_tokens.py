"""Figures 3.6, B.1 and B.2: in-context learning is transient on clusters of token embeddings.

Classes are clusters of a language model's token embeddings. Of the most classes, of 5 tokens each
(Figure 3.6), in-context learning is transient wherever it emerges, its peak lower than on
characters; from one initialisation it does not emerge (Figure B.1). Of half as many classes, of 10
tokens each (Figure B.2), it is transient, and mild (thesis, section 3.3.3; appendix B.1). The
published embeddings are those of four sizes of LLaMA. That onset and fall come sooner than on
characters, and how mild it is, is not judged.

Rules, written before the runs: transient as in Figure 3.2, of each run in which it emerges. The
height is compared with the default run's of the same initialisation.

Changed on 2026-11-28, before these runs were looked at: seeds are initialisations. Before, each
pair of an initialisation and a clustering was one, and so was each size of the clusters, which made
a few seeds look like many. An initialisation's heights are averaged over the clusterings in which
it emerges; it is left out where it emerges in none, since the claims are on where it does. The
three figures are judged apart. Changed on 2026-11-30, after the default run was seen and before any
on tokens: Figure B.1 asks that it emerges from another initialisation; a figure whose clusters have
no runs has no rule; heights are compared where neither curve still rises and the default's emerged
(a default run whose peak comes after these runs' length still rises there).
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    ON_TRAINING_CLASSES,
    less,
    number_of,
    planned_curves,
    shapes,
    size_names,
    swept_panels,
)
from coopetition_interp.reporting.by_seed import rows_by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule, YesNoRule

MANY, ONE_WITHOUT, FEWER = "Figure 3.6", "Figure B.1", "Figure B.2"
TOKENS_OF_A_CLASS = {MANY: 5, FEWER: 10}


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by size, and ICL's shapes of every run and of the default's."""
    curves = planned_curves(study, "tokens")
    end = curves["sequences_seen"].max()
    sets = curves[["model", "clustering"] if "model" in curves else ["clustering"]]
    curves = curves.assign(
        size=size_names(curves),
        initialisation=curves["init_seed"],
        init_seed=curves["init_seed"] * 100 + sets.groupby(list(sets), dropna=False).ngroup(),
    )
    icl = shapes(curves, ["n_exemplars", "initialisation"])
    return {
        "": curves,
        "icl": icl,
        "default": shapes(planned_curves(study, "default"), "role", until=end),
    }


def draw(tables: Tables) -> go.Figure:
    """A curve for each size; thin ones are pairs of an initialisation and a set of clusters."""
    return swept_panels(tables[""], "size", "Clusters of tokens", ON_TRAINING_CLASSES)


TRANSIENT = "ICL is transient wherever it emerges"
LOWER = "ICL's height less that on characters"
NONE = "ICL emerges in no set of clusters from some initialisation"
PUBLISHED = {TRANSIENT: "in all sets", LOWER: "lower", NONE: "from one of two"}


def rules(tables: Tables) -> list[Rule]:
    """On training classes."""
    icl = tables["icl"]
    heights_of_default = number_of(tables["default"], "height", emerged=True, settled=True)
    found: list[Rule] = []
    for claim, n_exemplars in TOKENS_OF_A_CLASS.items():
        of_size = icl[icl["n_exemplars"] == n_exemplars]
        if of_size.empty:
            continue
        seeds = rows_by_seed(of_size, "initialisation")
        where = {seed: runs for seed, runs in seeds.items() if not _emerges_nowhere(runs)}
        heights = {seed: _mean_height(runs) for seed, runs in where.items()}
        transient = {seed: _transient(runs) for seed, runs in where.items()}
        default = {seed: heights_of_default.get(seed, math.nan) for seed in heights}
        found += [
            YesNoRule(TRANSIENT, transient, claim=claim),
            NumberRule(LOWER, less(heights, default), "under", 0.0, claim),
        ]
        if claim == MANY:
            found.append(_some_without(seeds))
    return found


def _emerges_nowhere(runs: pd.DataFrame) -> bool:
    return bool(runs["finished"].all() and not runs["emerged"].any())


def _transient(runs: pd.DataFrame) -> bool | None:
    """Of the runs of an initialisation in which it emerges; None if that cannot be told."""
    if not runs["finished"].all():
        return None
    transient = runs.loc[runs["emerged"], "transient"].all(skipna=False)
    return None if transient is pd.NA else bool(transient)


def _mean_height(runs: pd.DataFrame) -> float:
    emerged = runs["emerged"].fillna(False)
    if not runs["finished"].all() or runs.loc[emerged, "rising"].any():
        return math.nan
    return float(runs.loc[emerged, "height"].mean())


def _some_without(runs_of_seed: dict[int, pd.DataFrame]) -> YesNoRule:
    """One beside others with it; if there is none among a few, there may be one among more."""
    without = [seed for seed, runs in runs_of_seed.items() if _emerges_nowhere(runs)]
    some = any(runs["emerged"].fillna(False).any() for runs in runs_of_seed.values())
    told = f"from {len(without)} of {len(runs_of_seed)} initialisations"
    holds = dict.fromkeys(runs_of_seed, True if without and some else None)
    return YesNoRule(NONE, holds, claim=ONE_WITHOUT, told=told)


if __name__ == "__main__":
    draw_figure_file(__file__)
