"""What the figures share about heads: how strong they are at the end, and on what they are scored.

A head's induction strength is its attention to the right label less that to the other; its
previous-token strength, the attention of label tokens to the token before.
"""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.attention_strengths import head_strengths
from coopetition_interp.reporting.measure import measure
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, make_evaluation_sequences

PREVIOUS_TOKEN_LEAST = 0.5
"""Strength from which on a head of layer 0 counts as a previous-token head."""

N_CHECKPOINTS = 200
"""Checkpoints that curves over a run's checkpoints have, evenly spread over those it kept."""


@measure()
def heads_at_end(run: ExemplarLabelRun) -> pd.DataFrame:
    """Columns `layer`, `head`, `induction_strength`, `previous_token_strength`.

    On the sequences that the run was evaluated on, by which the plan chooses the clamped heads.
    """
    return head_strengths(run.model("last"), run.evaluation_sequences["train"])


def by_strength(heads: pd.DataFrame, layer: int, strength: str) -> list[int]:
    """Heads of a layer, the strongest first.

    Args:
        heads: As `heads_at_end` gives it.
        layer: Which.
        strength: A column.
    """
    of_layer = heads[heads["layer"] == layer].sort_values(strength, ascending=False)
    return [int(head) for head in of_layer["head"]]


def strongest_heads(heads: pd.DataFrame) -> list[int]:
    """Heads of layer 1 by induction strength, the strongest first."""
    return by_strength(heads, 1, "induction_strength")


def previous_token_heads(heads: pd.DataFrame) -> list[int]:
    """Heads of layer 0 of strength `PREVIOUS_TOKEN_LEAST` or more, at least the strongest one."""
    enough = (heads["layer"] == 0) & (heads["previous_token_strength"] >= PREVIOUS_TOKEN_LEAST)
    return by_strength(heads, 0, "previous_token_strength")[: max(1, int(enough.sum()))]


def induction_strengths(heads: pd.DataFrame) -> pd.Series:
    """Induction strength of each head of layer 1, by head."""
    return heads[heads["layer"] == 1].set_index("head")["induction_strength"]


def training_sequences(run: ExemplarLabelRun, n_sequences: int) -> Sequences:
    """Fixed sequences made as in a run's training.

    Args:
        run: The run.
        n_sequences: How many.
    """
    train = next(each for each in run.config.evaluators if each.name == "train")
    made = make_evaluation_sequences(
        run.bank,
        run.split,
        [train.replace(n_sequences=n_sequences)],
        seed=run.config.evaluation_seed,
        n_labels=run.resolved["n_labels"],
    )
    return made["train"]
