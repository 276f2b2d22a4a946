"""Weight swaps: one half of the network from one checkpoint, the other from every checkpoint.

The coopetition paper's Fig. 3b and 3c (section 4.3). The first half is the embeddings of exemplars,
labels and positions and the blocks up to `layer`; the second is the blocks after it, the final
LayerNorm and the unembedding. Both read and write the same residual stream, so halves of different
checkpoints make a network. If it does what the run does, the fixed half had no more to learn.

This is `GraftIn` (first half fixed) and `GraftOut` (second half fixed) over all checkpoints, as one
model that takes only the other half from each file, without forming logits of labels that are not
in context. With the first half fixed, the residual stream between the halves is computed once.

At d_model 64, 2 layers, 2 pairs and 12,800 labels, one core takes 12 ms per checkpoint and 1000
sequences with the second half fixed, 3 ms with the first; reading files is 1 % of that or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from coopetition_interp.evaluation import Scorer
from coopetition_interp.interventions.grafts import weight_depth
from coopetition_interp.model import ExemplarLabelTransformer
from coopetition_interp.model.recorded_graph import compile_record, record
from coopetition_interp.sequences import (
    IN_CONTEXT_METRICS,
    Sequences,
    concatenate,
    context_scores,
    summarise,
)
from coopetition_interp.training.run import Run
from coopetition_interp.training.run_directory import RunError, read_tensors

Half = Literal["first half", "second half"]

COLUMNS = (
    "fixed",
    "fixed_at",
    "layer",
    "sequences_seen",
    "evaluator",
    *IN_CONTEXT_METRICS,
    "n_sequences",
)
"""Columns of `weight_swap`'s table."""

_CHUNK = 2500  # sequences; what is between the halves then stays in the processor's cache
_WORTH_COMPILING = 1_000_000  # sequences times checkpoints


def weight_swap(
    run: Run,
    sequences: Mapping[str, Sequences],
    fixed: Half,
    fixed_at: int,
    checkpoints: Iterable[int] | None = None,
    layer: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
    compile: bool | None = None,
) -> pd.DataFrame:
    """In-context accuracy of a run's checkpoints with one half fixed to one of them (Fig. 3b, 3c).

    Args:
        run: The run. Clamps it was trained with are not held.
        sequences: Evaluators' sequences by name, such as the run's `evaluation_sequences`.
        fixed: Which half does not change: "second half" in Fig. 3b, "first half" in Fig. 3c.
        fixed_at: Sequences seen at the checkpoint that half is taken from, in the paper 20M (Fig.
            3b), and 4.25M, 7.75M and 15M (Fig. 3c).
        checkpoints: Sequences seen at the checkpoints that give the other half; None for all. For
            a half that is fixed from some moment on, those from `fixed_at` on.
        layer: Last block of the first half; -1 if that is the embedding alone.
        device: Where the model runs.
        progress: Show a progress bar.
        compile: Compile the forward pass, for some ten seconds; None to do so where there is much
            to evaluate.

    Returns:
        Columns `fixed`, `fixed_at`, `layer`, `sequences_seen` (at the checkpoint of the half that
        is not fixed), `evaluator`, `in_context_accuracy` and `p_right_in_context` (means over
        sequences; NaN for an evaluator such as IWL whose right labels are not in context),
        `n_sequences`.

    Raises:
        ValueError: If `fixed` is no half, the model has no such layer, or the sequences do not fit
            the model.
        RunError: If the run lacks a checkpoint (before any is evaluated), or one is damaged.
    """
    if fixed not in get_args(Half):
        raise ValueError(f"fixed must be 'first half' or 'second half'; got {fixed!r}")
    if layer not in range(-1, run.config.model.n_layers):
        raise ValueError(
            f"layer is the last block of the first half, from -1 (the embedding alone) to "
            f"{run.config.model.n_layers - 1} in this model; got {layer!r}"
        )
    paths = _paths(run, checkpoints)
    model = run.model(fixed_at, device)
    sequences = {name: each.to(device) for name, each in sequences.items()}
    if compile is None:
        n_sequences = sum(len(each) for each in sequences.values())
        compile = n_sequences * len(paths) >= _WORTH_COMPILING
    scorer = _FromResidual(model, layer, sequences, compile) if fixed == "first half" else None
    whole = Scorer(model, metrics="in_context", compile=compile)
    swapped = _not_fixed(model, fixed, layer)
    rows: list[dict[str, Any]] = []
    for seen, path in tqdm(paths, disable=not progress, unit="checkpoint"):
        _load(swapped, path)
        W_U = whole.unembedding_by_label()
        for name, each in sequences.items():
            scores = whole(each, W_U) if scorer is None else scorer(name, W_U)
            rows.append(
                {
                    "fixed": fixed,
                    "fixed_at": fixed_at,
                    "layer": layer,
                    "sequences_seen": seen,
                    "evaluator": name,
                    **summarise(scores),
                    "n_sequences": len(each),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
