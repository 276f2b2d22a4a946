"""Running a model under clamps: once, with a cache, or for the length of a `with` block."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from transformer_lens import ActivationCache, HookedRootModule, HookedTransformer

from coopetition_interp.interventions.before_running import (
    GuardOfInput,
    bind_to_run,
    runs_as_transformer_lens_does,
)
from coopetition_interp.interventions.binding import BoundClamps, Clamps, check_hook_point
from coopetition_interp.interventions.clamp import Clamp, ClampedBatch, ModelInput, TwoPassClamp
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.on_hook_points import (
    FORMS_LOGITS,
    CheckOfRun,
    PlacedEdit,
    check_all_fired,
    edited,
    weights_in_place,
)

NamesFilter = str | Sequence[str] | Callable[[str], bool]


def run_clamped(
    model: HookedRootModule,
    sequences: ModelInput,
    clamps: Clamps,
    return_type: str = "query_logits",
    parameters: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Runs a model with clamps, and leaves the model as it was.

    Works on a finished model, on the weights of many checkpoints (`parameters`, also under
    `torch.func.vmap`), and inside a traced training step. Hooks already on the model fire too,
    at each hook point after the clamps.

    Args:
        model: The model; one that is no `HookedTransformer` runs without clamps alone.
        sequences: `Sequences`, or for any other `HookedTransformer` tokens [batch, n_tokens].
        clamps: What is held; an empty list is the plain model.
        return_type: As `model.forward` takes it; "query_logits" are the last token's for any model.
        parameters: Weights to run with in place of the model's, by name.

    Returns:
        What `return_type` names: logits of the query [batch, n_labels] by default.

    Raises:
        TypeError: If the model takes another input; if a clamp has to know exemplars from labels
            and is fed tokens; see `bind`.
        ValueError: If there is no such `return_type`; if a clamp sets a hook point that the model
            has not or does not run, or sets it to nothing; if the model is held by `clamped`
            already; if there are no sequences, or `parameters` names what the model has not; see
            `bind`.
        FileNotFoundError: See `bind`.
    """
    bound = bind_to_run(clamps, model, sequences, parameters)
    weights = {**(parameters or {}), **bound.donated}
    if not isinstance(model, HookedTransformer):
        return _forward(model, weights, sequences, return_type)
    edits = _clamped_pass_edits(model, sequences, bound, weights)
    with edited(model, edits):
        output = _forward(model, weights, sequences, return_type)
    if return_type in FORMS_LOGITS:
        check_all_fired(edits)
    return output


def run_clamped_with_cache(
    model: HookedTransformer,
    sequences: ModelInput,
    clamps: Clamps,
    names_filter: NamesFilter | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> tuple[Float[Tensor, "batch n_labels"], ActivationCache]:
    """As `run_clamped`, with the activations of the clamped pass as clamps left them.

    Args:
        model: The model.
        sequences: As for `run_clamped`.
        clamps: What is held.
        names_filter: Which activations to cache, as TransformerLens takes it; all if None.
        parameters: As for `run_clamped`. The cache's own methods that use weights (such as
            `logit_attrs`) still use the model's.

    Returns:
        The query's logits, and the cache (detached, as TransformerLens's own). For
        `ExemplarLabelTransformer` the final LayerNorm and the unembedding run on the query alone,
        so their entries are [batch, 1, ...].

    Raises:
        TypeError: See `run_clamped`.
        ValueError: See `run_clamped`.
        FileNotFoundError: See `bind`.
    """
    bound = bind_to_run(clamps, model, sequences, parameters)
    weights = {**(parameters or {}), **bound.donated}
    edits = _clamped_pass_edits(model, sequences, bound, weights)
    was_caching = model.is_caching
    kept, caching_hooks, _ = model.get_caching_hooks(names_filter)
    try:
        with edited(model, edits), model.hooks(fwd_hooks=caching_hooks):
            logits = _forward(model, weights, sequences, "query_logits")
    finally:
        model.is_caching = was_caching
    check_all_fired(edits)
    return logits, ActivationCache(kept, model)


@contextmanager
def clamped(
    model: HookedTransformer, sequences: ModelInput, clamps: Clamps
) -> Iterator[HookedTransformer]:
    """Holds clamps on a model for the length of a `with` block.

    Inside, use the model as ever, with `run_with_cache`, `run_with_hooks`, `hooks`: at each hook
    point your own hooks run after the clamps, whether added before the block or inside. (Other
    clamps are refused inside: give all in one list.) The first pass of two-pass clamps runs on
    entering, so hooks of yours that are on the model by then fire in it too. `reset_hooks` does not
    remove clamps; leaving the block does, however it is left.

    Gradients of several losses through one first pass need `retain_graph=True`, or `detach=True`
    in the clamp.

    Args:
        model: The model.
        sequences: What it will be run on. Clamps that look at it (at labels, at features, at a
            first pass) refuse another input, even an equal one.
        clamps: What is held.

    Yields:
        The model.

    Raises:
        TypeError: See `run_clamped`.
        ValueError: See `run_clamped`, some of it when the model is run inside; also when it is run
            on another input than `sequences`.
        FileNotFoundError: See `bind`.
    """
    bound = bind_to_run(clamps, model, sequences)
    edits = _clamped_pass_edits(model, sequences, bound, bound.donated)
    batches = list({id(edit.batch): edit.batch for edit in edits}.values())
    guard = model.register_forward_pre_hook(
        GuardOfInput(bound.clamps, sequences, batches), with_kwargs=True
    )
    check = model.register_forward_hook(CheckOfRun(edits), with_kwargs=True)
    try:
        with edited(model, edits), weights_in_place(model, bound.donated):
            yield model
    finally:
        check.remove()
        guard.remove()


def _forward(
    model: HookedRootModule,
    weights: Mapping[str, Tensor],
    input: ModelInput,
    return_type: str | None,
    **how: Any,
) -> Any:
    """The model's output, with some of its weights replaced."""
    if runs_as_transformer_lens_does(model) and return_type not in (*FORMS_LOGITS, None):
        raise ValueError(
            f"return_type must be one of {', '.join(FORMS_LOGITS)} or None; got {return_type!r}"
        )
    query_of_all = return_type == "query_logits" and not getattr(model, "gives_query_logits", False)
    how["return_type"] = "logits" if query_of_all else return_type
    if weights:
        try:
            output = functional_call(model, dict(weights), (input,), how)
        finally:
            _give_recurrent_layers_their_own(model)
    else:
        output = model(input, **how)
    return output[:, -1] if query_of_all else output


def _give_recurrent_layers_their_own(model: nn.Module) -> None:
    """Torch's keep a list of their weights, which `functional_call` leaves filled with its own."""
    for layer in model.modules():
        if isinstance(layer, nn.RNNBase):
            layer._flat_weights = [getattr(layer, name) for name in layer._flat_weights_names]


def _clamped_pass_edits(
    model: HookedTransformer,
    input: ModelInput,
    bound: BoundClamps,
    weights: Mapping[str, Tensor],
) -> list[PlacedEdit]:
    """Edits of the clamped pass in order of application, after running the first pass if needed."""
    recorded = _run_first_pass(model, input, bound, weights)
    placed = []
    for clamp in bound.in_order():
        first_pass = {name: recorded[name] for name in clamp.first_pass_reads(model.cfg)}
        batch = ClampedBatch(model.cfg, clamp, input, first_pass)
        placed += _placed(clamp.edits(batch), "edits", model, clamp, batch)
    return placed


def _run_first_pass(
    model: HookedTransformer,
    input: ModelInput,
    bound: BoundClamps,
    weights: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """What two-pass clamps take from their first pass, by hook name."""
    readers = [
        (clamp, sorted(clamp.first_pass_reads(model.cfg)))
        for clamp in bound.clamps
        if isinstance(clamp, TwoPassClamp)
    ]
    if not readers:
        return {}
    edits = []
    for clamp in bound.in_order():
        batch = ClampedBatch(model.cfg, clamp, input)
        edits += _placed(clamp.first_pass_edits(batch), "first_pass_edits", model, clamp, batch)
    recorded: dict[str, Tensor] = {}

    def record(activation: Tensor, name: str) -> Tensor:
        recorded[name] = activation
        return activation

    recorders = [
        PlacedEdit(reader, name, partial(record, name=name), ClampedBatch(model.cfg, reader, input))
        for reader, reads in readers
        for name in reads
    ]
    edits += recorders
    names = {name for _, reads in readers for name in reads}
    wants_gradient = torch.is_grad_enabled() and not all(clamp.detach for clamp, _ in readers)
    with edited(model, edits), torch.set_grad_enabled(wants_gradient):
        if all(name.startswith("blocks.") for name in names):
            last_layer = max(int(name.split(".")[1]) for name in names)
            _forward(model, weights, input, None, stop_at_layer=last_layer + 1)
        else:
            _forward(model, weights, input, "logits")
    check_all_fired(recorders)  # edits past the last block read have nothing to act on
    return recorded


def _placed(
    edits: Any, method: str, model: HookedTransformer, clamp: Clamp, batch: ClampedBatch
) -> list[PlacedEdit]:
    """A clamp's edits, found to be edits of hook points that the model has.

    Raises:
        TypeError: If they are no pairs of a hook point and a function.
        ValueError: If the model has no such hook point.
    """
    wrong = f"{shown(clamp)}: {method}() gives (hook point, function) pairs; got "
    if not isinstance(edits, Iterable):
        raise TypeError(f"{wrong}{shown(edits)}")
    placed = []
    for edit in edits:
        is_pair = isinstance(edit, tuple) and len(edit) == 2
        if not (is_pair and isinstance(edit[0], str) and callable(edit[1])):
            raise TypeError(f"{wrong}{shown(edit)}")
        check_hook_point(edit[0], model, clamp, "sets")
        _check_takes_activation(edit[1], wrong)
        placed.append(PlacedEdit(clamp, edit[0], edit[1], batch))
    return placed


def _check_takes_activation(edit: Callable[..., Any], wrong: str) -> None:
    try:
        signature = inspect.signature(edit)
    except ValueError:  # of some built-in functions Python cannot tell
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(
            f"{wrong}a function of {signature}: an edit takes the activation alone"
        ) from error
