"""Weight swaps: one half of the network from one checkpoint, the other from every checkpoint.

Coopetition paper, section 5.1. The first half is the embeddings of exemplars, labels and positions
and the blocks up to `layer`; the second is the blocks after it, the final LayerNorm and the
unembedding. Both read and write the same residual stream, so halves of different
checkpoints make a network. If it does what the run does, the fixed half had no more to learn.

This is `GraftIn` (first half fixed) and `GraftOut` (second half fixed) over all checkpoints, as one
model that takes the other half of each checkpoint, without forming logits of labels that are not in
context. With the first half fixed, the residual stream between the halves is computed once.

At d_model 64, 2 layers, 2 pairs and 12,800 labels, one core takes about 9 ms per checkpoint and
1000 sequences with the second half fixed, 2.5 ms with the first, compiled; uncompiled 25 ms and
5 ms; to which reading each file is to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from coopetition_interp.analysis.checkpoints import Checkpoints, chosen_checkpoints
from coopetition_interp.interventions.grafts import weight_depth
from coopetition_interp.interventions.model_weights import weights_of
from coopetition_interp.tasks.exemplar_label.config import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.evaluation import Scorer
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import (
    IN_CONTEXT_METRICS,
    Sequences,
    context_scores,
    summarise,
)
from coopetition_interp.training.recorded_graph import compile_record, record
from coopetition_interp.training.run import Run
from coopetition_interp.training.run_directory import RunDirectory, RunError, read_tensors

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
    checkpoints: Checkpoints = None,
    layer: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
    compile: bool | None = None,
    fixed_from: Run | None = None,
) -> pd.DataFrame:
    """In-context accuracy of a run's checkpoints with one half fixed to one of them.

    Args:
        run: The run. Clamps it was trained with are not held.
        sequences: Evaluators' sequences by name, such as the run's `evaluation_sequences`.
        fixed: Which half does not change.
        fixed_at: Sequences seen at the checkpoint that half is taken from.
        checkpoints: Sequences seen at the checkpoints that give the other half; None for all. For
            a half that is fixed from some moment on, those from `fixed_at` on.
        layer: Last block of the first half; -1 if that is the embedding alone.
        device: Where the model runs.
        progress: Show a progress bar.
        compile: Compile the forward pass, for some ten seconds; None to do so where there is much
            to evaluate.
        fixed_from: The run whose checkpoint gives the half that is fixed, of the same shape; None
            for `run` itself.

    Returns:
        Columns `fixed`, `fixed_at`, `layer`, `sequences_seen` (at the checkpoint of the half that
        is not fixed), `evaluator`, `in_context_accuracy` and `p_right_in_context` (means over
        sequences; NaN for an evaluator such as IWL whose right labels are not in context),
        `n_sequences`.

    Raises:
        TypeError: If a run is of another task, or its model is recurrent.
        ValueError: If `fixed` is no half, the model has no such layer, or the sequences do not fit
            the model.
        RunError: If the run lacks a checkpoint (before any is evaluated), or one is damaged.
    """
    for of_half in (run, fixed_from or run):
        if not isinstance(of_half.config, ExemplarLabelConfig):
            raise TypeError(
                "weights are swapped in runs on exemplars and labels; "
                f"{of_half.path} is of the task {of_half.config.task}"
            )
        if of_half.config.model.kind != "transformer":
            raise TypeError(
                f"weights are swapped in transformers; {of_half.path} is of the kind "
                f"{of_half.config.model.kind}"
            )
    if fixed not in get_args(Half):
        raise ValueError(f"fixed must be 'first half' or 'second half'; got {fixed!r}")
    if layer not in range(-1, run.config.model.n_layers):
        raise ValueError(
            f"layer is the last block of the first half, from -1 (the embedding alone) to "
            f"{run.config.model.n_layers - 1} in this model; got {layer!r}"
        )
    chosen = chosen_checkpoints(run, checkpoints)
    model = (fixed_from or run).model(fixed_at, device)
    sequences = {name: each.to(device) for name, each in sequences.items()}
    if compile is None:
        n_sequences = sum(len(each) for each in sequences.values())
        compile = n_sequences * len(chosen) >= _WORTH_COMPILING
    scorer = _FromResidual(model, layer, sequences, compile) if fixed == "first half" else None
    whole = Scorer(model, metrics="in_context", compile=compile)
    swapped = _not_fixed(model, fixed, layer)
    rows: list[dict[str, Any]] = []
    for seen in tqdm(chosen, disable=not progress, unit="checkpoint"):
        _load(swapped, RunDirectory(run.path).checkpoint_path(seen))
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


def _not_fixed(model: ExemplarLabelTransformer, fixed: Half, layer: int) -> dict[str, Tensor]:
    """The parameters of the half that is not fixed, by name."""
    swapped: dict[str, Tensor] = {}
    for name, parameter in weights_of(model).items():
        depth = weight_depth(name)
        if depth is not None and (depth <= layer) == (fixed == "second half"):
            swapped[name] = parameter
    return swapped


@torch.no_grad()
def _load(parameters: Mapping[str, Tensor], path: Path) -> None:
    """Copies some of a checkpoint's weights.

    Raises:
        RunError: Missing or damaged file, or weights of another shape, naming the first.
    """
    tensors, _ = read_tensors(path)
    for name, parameter in parameters.items():
        if name not in tensors or tensors[name].shape != parameter.shape:
            raise RunError(
                f"{path} has no {name} of shape {list(parameter.shape)}: it belongs to another "
                "kind of model"
            )
        parameter.copy_(tensors[name])


class _FromResidual:
    """Scores what comes after a layer, on the residual stream that the model has there now.

    Args:
        model: The model; what comes after `layer` may go on changing.
        layer: The layer, -1 for the embedding.
        sequences: By name.
        compile: Compile the forward pass, once for each shape.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: ExemplarLabelTransformer,
        layer: int,
        sequences: Mapping[str, Sequences],
        compile: bool,
    ):
        self._model, self._layer, self._compile = model, layer, compile
        self._parameters = {name: each.detach() for name, each in model.named_parameters()}
        self._compiled: dict[torch.Size, Callable[..., tuple[Tensor]]] = {}
        self._parts = {
            name: [(part, self._residual(part)) for part in each.split(_CHUNK)]
            for name, each in sequences.items()
        }

    @torch.no_grad()
    def __call__(
        self, name: str, W_U: Float[Tensor, "d_model n_labels"] | None
    ) -> dict[str, Float[Tensor, " n_sequences"]]:
        """`IN_CONTEXT_METRICS` of each of the sequences of this name."""
        W_U = self._model.W_U if W_U is None else W_U
        scores = [
            context_scores(self._normalised_query(residual), W_U, self._model.b_U, part)
            for part, residual in self._parts[name]
        ]
        return {metric: torch.cat([each[metric] for each in scores]) for metric in scores[0]}

    def _residual(self, part: Sequences) -> Float[Tensor, "batch n_tokens d_model"]:
        return self._model(part, return_type=None, stop_at_layer=self._layer + 1)

    def _normalised_query(
        self, residual: Float[Tensor, "batch n_tokens d_model"]
    ) -> Float[Tensor, "batch d_model"]:
        inputs = [*self._parameters.values(), residual]
        if not self._compile:
            return self._forward(*inputs)[0]
        if residual.shape not in self._compiled:
            recorded = record(self._forward, inputs)
            self._compiled[residual.shape], _ = compile_record(recorded, inputs)
        return self._compiled[residual.shape](*inputs)[0]

    def _forward(self, *inputs: Tensor) -> tuple[Tensor]:
        *weights, residual = inputs
        parameters = dict(zip(self._parameters, weights, strict=True))
        how = {"start_at_layer": self._layer + 1, "return_type": "normalised_query"}
        return (torch.func.functional_call(self._model, parameters, (residual,), how),)
