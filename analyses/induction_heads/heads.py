"""What the figures share about heads: how strong they are at the end, and on what they are scored.

A head's induction strength is its attention to the right label less that to the other; its
previous-token strength, the attention of label tokens to the token before.
"""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.attention_strengths import attention_deltas, head_strengths
from coopetition_interp.analysis.head_correlations import delta_correlations
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.style import PALETTE, CurveStyle, head_style
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


@measure()
def heads_alike(run: ExemplarLabelRun) -> pd.DataFrame:
    """Correlations of layer 1's attention deltas over sequences, at the end, by pair of heads.

    On the sequences that the run was evaluated on.
    """
    deltas = attention_deltas(run.model("last"), run.evaluation_sequences["train"])
    return delta_correlations(deltas, layer=1)


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


def with_strengths(table: pd.DataFrame, heads: pd.DataFrame) -> pd.DataFrame:
    """A table with the strengths of its heads.

    Args:
        table: Columns `init_seed` and `head`, of layer 1.
        heads: `heads_at_end` of the main runs.

    Returns:
        The rows of the seeds in `heads`, and `induction_strength` and `rank`, which is 1 for the
        strongest of a seed.
    """
    layer_1 = heads.loc[heads["layer"] == 1, ["init_seed", "head", "induction_strength"]]
    return table.merge(with_ranks(layer_1, "induction_strength"), on=["init_seed", "head"])


def with_ranks(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A table with the `rank` of each row in its seed by a column, the largest first."""
    ranks = table.groupby("init_seed")[column].rank(ascending=False, method="first")
    return table.assign(rank=ranks.astype(int))


def rank_style(rank: int) -> CurveStyle:
    """The look of the head of a rank, whichever it is in a seed."""
    return CurveStyle(f"rank {rank}", head_style(int(rank) - 1).colour)


def seed_colours(seeds: pd.Series) -> list[str]:
    """The colour of each point of a scatter plot, by its seed."""
    return [PALETTE[int(seed) % len(PALETTE)] for seed in seeds]


def head_names(table: pd.DataFrame) -> list[str]:
    """What is said of each point of a scatter plot."""
    pairs = zip(table["init_seed"], table["head"], strict=True)
    return [f"seed {seed}, head {head}" for seed, head in pairs]


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
