"""Which heads of the main run are induction heads and previous-token heads: measured, kept."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.attention_strengths import head_strengths
from coopetition_interp.studies.study import Study, StudyTable

PREVIOUS_TOKEN_LEAST = 0.5
"""Strength from which on a head of layer 0 counts as a previous-token head."""


def _heads(study: Study) -> pd.DataFrame:
    main = study.run("main")
    return head_strengths(main.model("last"), main.evaluation_sequences["train"])


HEADS = StudyTable("heads", lambda study: ["main"], _heads)
"""Columns `layer`, `head`, `induction_strength`, `previous_token_strength` at the main run's end,
on the sequences that the sweep chose the clamped heads by."""


def strongest_heads(study: Study) -> list[int]:
    """Heads of layer 1 by induction strength, the strongest first."""
    return _by_strength(study, 1, "induction_strength")["head"].tolist()


def previous_token_heads(study: Study) -> list[int]:
    """Heads of layer 0 of strength `PREVIOUS_TOKEN_LEAST` or more, at least the strongest one."""
    table = _by_strength(study, 0, "previous_token_strength")
    n_heads = max(1, int((table["previous_token_strength"] >= PREVIOUS_TOKEN_LEAST).sum()))
    return table["head"].tolist()[:n_heads]


def induction_strengths(study: Study) -> pd.Series:
    """Induction strength of each head of layer 1, by head."""
    table = study.table(HEADS)
    return table[table["layer"] == 1].set_index("head")["induction_strength"]


def _by_strength(study: Study, layer: int, column: str) -> pd.DataFrame:
    table = study.table(HEADS)
    return table[table["layer"] == layer].sort_values(column, ascending=False)
