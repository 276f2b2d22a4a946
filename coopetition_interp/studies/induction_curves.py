"""Tables of the induction-head study that are read off runs' metrics: curves of the training loss.

Every curve is of the evaluator "train": fixed sequences made as in training, so neighbouring points
differ by learning alone and not by what was sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.studies.induction_heads_of import strongest_heads
from coopetition_interp.studies.study import Study, StudyTable
from coopetition_interp.sweeps.induction_heads import (
    CLAMPED_STEPS,
    GRAFT_SEEDS,
    N_HEADS,
    SCALING,
    SUBCIRCUITS_LEFT,
)
from coopetition_interp.training import RunConfig

LOG_2 = float(np.log(2))
"""The plateau: the loss of guessing between the two labels in context."""

LEARNED_BELOW = 0.4 * LOG_2
"""The thesis calls a task learned when the loss gets there (Figure C.6): the learning time."""

CURVE_COLUMNS = ("sequences_seen", "loss", "accuracy", "p_right_in_context", "training_loss")
"""What is kept of a run's evaluations, besides which evaluator they are of."""

SHAPE_COLUMNS = ("kind", "convexity_gap", "plateau_end", "fall_start", "fall_middle", "fall_end")


def curves_table(name: str, of: Callable[[Study], Mapping[str, str]]) -> StudyTable:
    """A table of runs' curves.

    Args:
        name: The table's.
        of: Names of runs, by the name of the curve.

    Returns:
        A table with columns `curve`, `run`, `heads` (active in layer 1) and `CURVE_COLUMNS`, of the
        evaluator "train"; `training_loss` is the mean over the batches since the row before.
    """

    def runs(study: Study) -> list[str]:
        return list(of(study).values())

    def compute(study: Study) -> pd.DataFrame:
        tables = []
        for curve, run in of(study).items():
            table = training_curve(study.metrics(run))
            table.insert(0, "curve", curve)
            table.insert(1, "run", run)
            table.insert(2, "heads", " ".join(map(str, active_heads(study.config(run)))))
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    return StudyTable(name, runs, compute)


def training_curve(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows of the evaluator "train", with `CURVE_COLUMNS`."""
    rows = metrics[metrics["evaluator"] == "train"]
    return rows[list(CURVE_COLUMNS)].reset_index(drop=True)


def active_heads(config: RunConfig) -> list[int]:
    """Heads of layer 1 that a run did not hold at 0."""
    off = {
        head
        for clamp in config.clamps
        if isinstance(clamp, AblateHeads)
        for layer, head in clamp.heads
        if layer == 1
    }
    return [head for head in range(config.model.n_heads) if head not in off]


def split_curves(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A curves table's curves by name, in its order."""
    return {str(name): curve for name, curve in table.groupby("curve", sort=False)}


def learning_time(sequences_seen: np.ndarray, loss: np.ndarray) -> float:
    """Sequences seen when the loss falls below `LEARNED_BELOW` (thesis, Figure C.6).

    Interpolated between evaluations; NaN if it never does.
    """
    seen, loss = np.asarray(sequences_seen, dtype=float), np.asarray(loss, dtype=float)
    below = np.flatnonzero(loss < LEARNED_BELOW)
    if len(below) == 0:
        return float("nan")
    first = int(below[0])
    if first == 0:
        return float(seen[0])
    share = (loss[first - 1] - LEARNED_BELOW) / (loss[first - 1] - loss[first])
    return float(seen[first - 1] + share * (seen[first] - seen[first - 1]))


def curve_shapes(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Whether each curve has a phase change, by the measure of `analysis.phase_change`, and when.

    What decides is the choice between the two labels in context: the probability, of those two,
    that is not given to the right one. The loss also falls while the network learns which labels
    are in context at all: exponentially, from over 2 to log 2, by which a circuit that starts to
    form meanwhile is hidden. The measure of the loss is given besides.

    Args:
        curves: Tables by name, with `sequences_seen`, `loss`, `accuracy` and `p_right_in_context`.

    Returns:
        Columns `curve`; of the choice in context: `kind`, `convexity_gap`, `plateau_end`,
        `fall_start`, `fall_middle`, `fall_end`, `duration` (of the fall, from a tenth to nine
        tenths; these in sequences seen, NaN unless there is a phase change); of the loss:
        `loss_kind`, `loss_gap`, `learning_time`, `last_loss`; `last_accuracy`.

    Raises:
        ValueError: See `loss_shape`.
    """
    rows = []
    for name, curve in curves.items():
        seen, loss = curve["sequences_seen"].to_numpy(), curve["loss"].to_numpy()
        shape = loss_shape(seen, 1 - curve["p_right_in_context"].to_numpy())
        of_loss = loss_shape(seen, loss)
        fields = asdict(shape)
        rows.append(
            {
                "curve": name,
                **{column: fields[column] for column in SHAPE_COLUMNS},
                "duration": shape.duration,
                "loss_kind": of_loss.kind,
                "loss_gap": of_loss.convexity_gap,
                "learning_time": learning_time(seen, loss),
                "last_loss": float(loss[-1]),
                "last_accuracy": float(curve["accuracy"].iloc[-1]),
            }
        )
    return pd.DataFrame(rows)


def _shapes_of(name: str, curves: StudyTable) -> StudyTable:
    return StudyTable(
        name, curves.runs, lambda study: curve_shapes(split_curves(study.table(curves)))
    )


def _single(head: int) -> str:
    return f"single-head/head-{head}"


def _emergence(study: Study) -> pd.DataFrame:
    return study.metrics("main")[["evaluator", *CURVE_COLUMNS]]


def _single_heads(study: Study) -> dict[str, str]:
    return {"all heads": "main", **{f"head {head}": _single(head) for head in range(N_HEADS)}}


def _clamps(study: Study) -> dict[str, str]:
    alone = _single(strongest_heads(study)[0])
    return {"nothing": alone, **{steps: f"clamps/{steps}" for steps in CLAMPED_STEPS}}


def _pairs(study: Study) -> dict[str, str]:
    pairs = {f"rank {r}": f"pairs/strongest-and-rank-{r}" for r in range(2, N_HEADS + 1)}
    return {"all heads": "main", "strongest alone": _single(strongest_heads(study)[0]), **pairs}


def _grafts(study: Study) -> dict[str, str]:
    grafts = {f"seed {seed}": f"grafts/layer-0-of-seed-{seed}" for seed in GRAFT_SEEDS}
    return {"nothing": "main", **grafts}


def _previous_token(study: Study) -> dict[str, str]:
    others = ("strongest-three", "weakest", "weakest-three", "all")
    return {
        "nothing": _single(strongest_heads(study)[0]),
        "strongest": "clamps/step-1",
        **{name: f"previous-token/{name}" for name in others},
    }


def _scaling(study: Study) -> dict[str, str]:
    names = [
        f"classes-{classes}-labels-{labels}/{left}"
        for classes, labels in SCALING
        for left in ("full", *SUBCIRCUITS_LEFT)
    ]
    return {name: f"scaling/{name}" for name in names}


def _emergence_shape(study: Study) -> pd.DataFrame:
    return curve_shapes({"main": training_curve(study.table(EMERGENCE))})


EMERGENCE = StudyTable("fig4_3_losses", lambda study: ["main"], _emergence)
EMERGENCE_SHAPE = StudyTable("fig4_3_shape", lambda study: ["main"], _emergence_shape)
SINGLE_HEADS = curves_table("fig4_5_single_heads", _single_heads)
SINGLE_HEAD_SHAPES = _shapes_of("fig4_5_single_heads_shapes", SINGLE_HEADS)
CLAMPS = curves_table("fig4_6b_clamps", _clamps)
CLAMP_SHAPES = _shapes_of("fig4_6b_clamps_shapes", CLAMPS)
SCALING_CURVES = curves_table("fig4_9_scaling", _scaling)
SCALING_SHAPES = _shapes_of("fig4_9_scaling_shapes", SCALING_CURVES)
PAIRS = curves_table("figC_2_pairs", _pairs)
PAIR_SHAPES = _shapes_of("figC_2_pairs_shapes", PAIRS)
GRAFTS = curves_table("figC_4_grafts", _grafts)
GRAFT_SHAPES = _shapes_of("figC_4_grafts_shapes", GRAFTS)
PREVIOUS_TOKEN = curves_table("figC_5_previous_token", _previous_token)
PREVIOUS_TOKEN_SHAPES = _shapes_of("figC_5_previous_token_shapes", PREVIOUS_TOKEN)

CURVE_TABLES = (
    EMERGENCE,
    EMERGENCE_SHAPE,
    SINGLE_HEADS,
    SINGLE_HEAD_SHAPES,
    CLAMPS,
    CLAMP_SHAPES,
    SCALING_CURVES,
    SCALING_SHAPES,
    PAIRS,
    PAIR_SHAPES,
    GRAFTS,
    GRAFT_SHAPES,
    PREVIOUS_TOKEN,
    PREVIOUS_TOKEN_SHAPES,
)
"""All of this module, in the order of the figures."""
