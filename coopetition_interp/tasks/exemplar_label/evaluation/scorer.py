"""Scoring many sequences with one model: in chunks, and compiled where it is worth it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from coopetition_interp.interventions import BoundClamps, Clamp, bind, run_clamped
from coopetition_interp.interventions.model_weights import weights_of
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelModel
from coopetition_interp.tasks.exemplar_label.sequences import (
    IN_CONTEXT_METRICS,
    METRICS,
    Sequences,
    context_scores,
    context_scores_of_logits,
    require_sequences,
    score_sequences,
)
from coopetition_interp.training.recorded_graph import compile_record, record
from coopetition_interp.training.subnormals import subnormals_as_zero
from coopetition_interp.training.task import device_of

Metric = Callable[
    [Float[Tensor, "batch n_labels"], Sequences],
    Float[Tensor, " batch"],
]
"""From logits at the query, and the sequences, to a number for each; named by its `__name__`."""

Metrics = Literal["all", "in_context"] | Iterable[Metric]

# Found by timing at 12,800 labels: logits of 512 sequences stay in cache; without logits larger
# chunks share the cost of calling the blocks.
_CHUNK_WITH_LOGITS = 512
_CHUNK_WITHOUT_LOGITS = 2500


class Scorer:
    """Gives each sequence's metrics, for a model that may go on changing.

    Args:
        model: The model; hooks attached to it act (compiled: those attached when it first scores).
        clamps: Clamps to hold.
        metrics: "all" of `METRICS`; "in_context": those of `IN_CONTEXT_METRICS` alone, many times
            faster where there are many labels; or metrics of your own.
        compile: Compile the forward pass, once for each shape of sequences. Takes some ten
            seconds; worth it for hundreds of evaluations.
        chunk: Sequences run at a time; None chooses.
        labels_per_class: How many labels a class owns; with several, "class_accuracy" is among the
            metrics.

    Raises:
        ValueError: If `chunk` or `metrics` is not of the stated kind, or a clamp does not fit.
    """

    def __init__(
        self,
        model: ExemplarLabelModel,
        clamps: Iterable[Clamp] | BoundClamps = (),
        metrics: Metrics = "all",
        compile: bool = False,
        chunk: int | None = None,
        labels_per_class: int = 1,
    ):
        self.metrics, self._own_metrics = _named(metrics)
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1; got {chunk}")
        self.model = model
        self.clamps = bind(clamps, model)
        self.labels_per_class = labels_per_class
        # Clamps and hooks on the unembedding act on logits, so those must then be formed.
        self.forms_logits = (
            self.metrics != "in_context" or bool(self.clamps.clamps) or _is_hooked(model.unembed)
        )
        self.chunk = chunk or (_CHUNK_WITH_LOGITS if self.forms_logits else _CHUNK_WITHOUT_LOGITS)
        self._compile = compile
        self._compiled: dict[torch.Size, Callable[..., tuple[Tensor, ...]]] = {}

    @torch.no_grad()
    def __call__(
        self, sequences: Sequences, W_U: Float[Tensor, "d_model n_labels"] | None = None
    ) -> dict[str, Float[Tensor, " n_sequences"]]:
        """Metrics of each sequence, by name.

        Where only in-context metrics are wanted and no sequence has its right label in context,
        as in the IWL evaluator, they are NaN and the model is not run.

        Args:
            sequences: The sequences.
            W_U: `unembedding_by_label()` of the model as it is now, if at hand.

        Raises:
            TypeError: They are no `Sequences`.
            ValueError: There are none.
        """
        require_sequences(sequences)
        if len(sequences) == 0:
            raise ValueError("there are no sequences to score")
        device = device_of(self.model)
        if self.metrics == "in_context" and not sequences.carries_right_label.any():
            meaningless = torch.full((len(sequences),), float("nan"), device=device)
            return dict.fromkeys(IN_CONTEXT_METRICS, meaningless)
        W_U = self.unembedding_by_label() if W_U is None else W_U
        parts = []
        for part, n_known in self._chunks(sequences):
            part = part.to(device)
            scores = self._scores(part, W_U)
            parts.append({name: values[n_known:] for name, values in scores.items()})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def unembedding_by_label(self) -> Float[Tensor, "d_model n_labels"] | None:
        """The unembedding with each label's column contiguous, so that few are gathered fast.

        None where all logits are formed.
        """
        return None if self.forms_logits else self.model.W_U.detach().T.contiguous().T

    def _chunks(self, sequences: Sequences) -> Iterator[tuple[Sequences, int]]:
        """Chunks, with how many at the start of each were in the one before.

        A compiled graph has one shape, so its last chunk reaches back instead of being shorter.
        """
        for start in range(0, len(sequences), self.chunk):
            missing = max(0, start + self.chunk - len(sequences))
            back = min(start, missing) if self._compile else 0
            yield sequences[start - back : start + self.chunk], back

    def _scores(self, part: Sequences, W_U: Tensor | None) -> dict[str, Tensor]:
        """Metrics of a chunk."""
        if not self._compile:
            with subnormals_as_zero():
                outcome = self._forward(part)
            return self._score(outcome, part, W_U)
        # Detached, as those that the record is tried on: parameters would be compiled anew.
        weights = [weight.detach() for weight in weights_of(self.model).values()]
        inputs = [*weights, part.exemplars, part.labels, part.roles]
        shape = part.exemplars.shape
        if shape not in self._compiled:
            self._compiled[shape], _ = compile_record(record(self._recorded, inputs), inputs)
        with subnormals_as_zero():
            outcomes = self._compiled[shape](*inputs)
        if W_U is not None:
            return self._score(outcomes[0], part, W_U)
        return dict(zip(self._metric_names, outcomes, strict=True))

    @property
    def _metric_names(self) -> tuple[str, ...]:
        if self.metrics == "own":
            return tuple(self._own_metrics)
        if self.metrics == "in_context":
            return IN_CONTEXT_METRICS
        return METRICS if self.labels_per_class == 1 else (*METRICS, "class_accuracy")

    def _forward(
        self, part: Sequences, parameters: dict[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """Logits at the query, or the residual stream that they would be made from."""
        if self.forms_logits:
            return run_clamped(self.model, part, self.clamps, parameters=parameters)
        how = {"return_type": "normalised_query"}
        return torch.func.functional_call(self.model, parameters or {}, (part,), how)

    def _recorded(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What is compiled: the metrics where logits are formed, else what comes before them."""
        *weights, exemplars, labels, roles = inputs
        names = list(weights_of(self.model))
        part = Sequences(exemplars, labels, roles)
        outcome = self._forward(part, dict(zip(names, weights, strict=True)))
        if not self.forms_logits:
            return (outcome,)
        scores = self._score(outcome, part, None)
        return tuple(scores[name] for name in self._metric_names)

    def _score(self, outcome: Tensor, part: Sequences, W_U: Tensor | None) -> dict[str, Tensor]:
        if W_U is not None:
            return context_scores(outcome, W_U, self.model.b_U, part)
        if self.metrics == "own":
            return {name: _of_each(name, m, outcome, part) for name, m in self._own_metrics.items()}
        if self.metrics == "all":
            return score_sequences(outcome, part, self.labels_per_class)
        return context_scores_of_logits(outcome, part)


def _named(metrics: Metrics) -> tuple[str, dict[str, Metric]]:
    """Which metrics are wanted: "all", "in_context" or "own", and the user's own by name."""
    if isinstance(metrics, str):
        if metrics not in ("all", "in_context"):
            raise ValueError(
                f"metrics must be 'all', 'in_context', or a list of functions; got {metrics!r}"
            )
        return metrics, {}
    own = list(metrics)
    names: list[str] = [getattr(metric, "__name__", "") for metric in own]
    if not own or "" in names or len(set(names)) < len(names):
        raise ValueError(f"metrics of your own need names (`__name__`) that differ; got {names}")
    return "own", dict(zip(names, own, strict=True))


def _of_each(name: str, metric: Metric, logits: Tensor, part: Sequences) -> Tensor:
    values = metric(logits, part)
    if values.shape != (len(part),):
        raise ValueError(
            f"the metric {name} must give a number for each of {len(part)} sequences; got a tensor "
            f"of shape {list(values.shape)}"
        )
    return values


def _is_hooked(module: nn.Module) -> bool:
    return any(bool(m.fwd_hooks) for m in module.modules() if isinstance(m, HookPoint))
