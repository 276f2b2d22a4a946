"""Running a model under clamps: once, with a cache, or for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from transformer_lens import ActivationCache, HookedTransformer, HookedTransformerConfig
from transformer_lens.hook_points import HookPoint

from coopetition_interp.interventions.clamp import Clamp, ClampedBatch, Edit, ModelInput
from coopetition_interp.interventions.contradictions import check_contradictions
from coopetition_interp.model.exemplar_label_transformer import ExemplarLabelTransformer
from coopetition_interp.sequences.sequences import Sequences


@dataclass(frozen=True, eq=False)
class BoundClamps:
    """Clamps found to fit a model and each other, with their donors loaded: see `bind`.

    Attributes:
        clamps: The clamps, in the order given.
        donated: Weights that grafts put in place of the model's, by name.
        shape: What the model must look like.
    """

    clamps: tuple[Clamp, ...]
    donated: Mapping[str, Tensor]
    shape: tuple[int, ...]

    def in_order(self) -> list[Clamp]:
        """The clamps in the order in which their edits are applied at a hook point."""
        return sorted(self.clamps, key=lambda clamp: clamp.precedence)


Clamps = Iterable[Clamp] | BoundClamps

NamesFilter = str | Sequence[str] | Callable[[str], bool]


def bind(clamps: Clamps, model: HookedTransformer) -> BoundClamps:
    """Checks clamps against a model and each other, and loads what they need, once.

    Every function here binds the clamps it is given. Bind them yourself to run many batches, or
    to find a mistake before hours are spent.

    Args:
        clamps: The clamps; bound ones are given back.
        model: A model they are for.

    Raises:
        TypeError: If something in the list is no clamp.
        ValueError: If a clamp names what the model lacks, two clamps contradict each other, or a
            donor does not fit; or if bound clamps were bound to a model of another shape.
        FileNotFoundError: If a donor's checkpoint is not there.
    """
    shape = _shape(model.cfg)
    if isinstance(clamps, BoundClamps):
        if clamps.shape != shape:
            raise ValueError(
                "these clamps were bound to a model of another shape: bind them to this one"
            )
        return clamps
    if isinstance(clamps, Clamp):
        raise TypeError(f"clamps come in a list: [{clamps}]")
    clamps = tuple(clamps)
    for clamp in clamps:
        if not isinstance(clamp, Clamp):
            raise TypeError(f"{clamp!r} is not a clamp")
        clamp.check(model.cfg)
    check_contradictions(clamps, model.cfg)
    donated: dict[str, Tensor] = {}
    for clamp in clamps:
        donated |= clamp.replaced_weights(model)
    return BoundClamps(clamps, donated, shape)


def run_clamped(
    model: HookedTransformer,
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
        model: The model.
        sequences: `Sequences`, or for any other `HookedTransformer` tokens [batch, n_tokens].
        clamps: What is held; an empty list is the plain model.
        return_type: As `model.forward` takes it; "query_logits" are the last token's for any model.
        parameters: Weights to run with in place of the model's, by name.

    Returns:
        What `return_type` names: logits of the query [batch, n_labels] by default.

    Raises:
        TypeError: If a clamp has to know exemplars from labels and is fed tokens.
        ValueError: See `bind`.
        FileNotFoundError: See `bind`.
    """
    bound = bind(clamps, model)
    weights = {**(parameters or {}), **bound.donated}
    with _edited(model, _clamped_pass_edits(model, sequences, bound, weights)):
        return _forward(model, weights, sequences, return_type)


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
        ValueError: See `bind`.
        FileNotFoundError: See `bind`.
    """
    bound = bind(clamps, model)
    weights = {**(parameters or {}), **bound.donated}
    edits = _clamped_pass_edits(model, sequences, bound, weights)
    was_caching = model.is_caching
    kept, caching_hooks, _ = model.get_caching_hooks(names_filter)
    try:
        with _edited(model, edits), model.hooks(fwd_hooks=caching_hooks):
            logits = _forward(model, weights, sequences, "query_logits")
    finally:
        model.is_caching = was_caching
    return logits, ActivationCache(kept, model)


@contextmanager
def clamped(
    model: HookedTransformer, sequences: ModelInput, clamps: Clamps
) -> Iterator[HookedTransformer]:
    """Holds clamps on a model for the length of a `with` block.

    Inside, use the model as ever, with `run_with_cache`, `run_with_hooks`, `hooks`: at each hook
    point your own hooks run after the clamps, whether added before the block or inside. The first
    pass of two-pass clamps runs on entering, so hooks of yours that are on the model by then fire
    in it too. `reset_hooks` does not remove clamps; leaving the block does, however it is left.

    Gradients of several losses through one first pass need `retain_graph=True`, or `detach=True`
    in the clamp.

    Args:
        model: The model.
        sequences: What it will be run on. Clamps that are tied to a batch (those that look at
            labels or features, and two-pass ones) refuse another input.
        clamps: What is held.

    Yields:
        The model.

    Raises:
        TypeError: See `run_clamped`.
        ValueError: See `bind`; also when the model is run on another input than `sequences`.
        FileNotFoundError: See `bind`.
    """
    bound = bind(clamps, model)
    edits = _clamped_pass_edits(model, sequences, bound, bound.donated)
    tied = [clamp for clamp in bound.clamps if clamp.tied_to_batch]

    def refuse_other_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else kwargs.get("input")
        if isinstance(given, Sequences | Tensor) and given is not sequences:
            raise ValueError(
                f"{tied[0]} holds for the sequences given to clamped(); to run others, clamp "
                "the model for them"
            )

    guards = [model.register_forward_pre_hook(refuse_other_input, with_kwargs=True)] if tied else []
    try:
        with _edited(model, edits), _weights_in_place(model, bound.donated):
            yield model
    finally:
        for guard in guards:
            guard.remove()


def _shape(cfg: HookedTransformerConfig) -> tuple[int, ...]:
    return (cfg.n_layers, cfg.n_heads, cfg.d_model, cfg.d_head, cfg.d_vocab, cfg.n_ctx)


def _forward(
    model: HookedTransformer,
    weights: Mapping[str, Tensor],
    input: ModelInput,
    return_type: str | None,
    **how: Any,
) -> Any:
    """The model's output, with some of its weights replaced."""
    query_of_all = return_type == "query_logits" and not isinstance(model, ExemplarLabelTransformer)
    how["return_type"] = "logits" if query_of_all else return_type
    if weights:
        output = functional_call(model, dict(weights), (input,), how)
    else:
        output = model(input, **how)
    return output[:, -1] if query_of_all else output


def _clamped_pass_edits(
    model: HookedTransformer,
    input: ModelInput,
    bound: BoundClamps,
    weights: Mapping[str, Tensor],
) -> list[Edit]:
    """Edits of the clamped pass in order of application, after running the first pass if needed."""
    first_pass = _run_first_pass(model, input, bound, weights)
    batch = ClampedBatch(model.cfg, input, first_pass)
    return [edit for clamp in bound.in_order() for edit in clamp.edits(batch)]


def _run_first_pass(
    model: HookedTransformer,
    input: ModelInput,
    bound: BoundClamps,
    weights: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """What two-pass clamps take from their first pass, by hook name."""
    readers = [clamp for clamp in bound.clamps if clamp.first_pass_reads(model.cfg)]
    if not readers:
        return {}
    batch = ClampedBatch(model.cfg, input)
    edits = [edit for clamp in bound.in_order() for edit in clamp.first_pass_edits(batch)]
    recorded: dict[str, Tensor] = {}

    def record(activation: Tensor, name: str) -> Tensor:
        recorded[name] = activation
        return activation

    names = sorted(set().union(*(clamp.first_pass_reads(model.cfg) for clamp in readers)))
    edits += [(name, partial(record, name=name)) for name in names]
    last_layer = max(int(name.split(".")[1]) for name in names)
    wants_gradient = torch.is_grad_enabled() and not all(clamp.detach for clamp in readers)
    with _edited(model, edits), torch.set_grad_enabled(wants_gradient):
        _forward(model, weights, input, None, stop_at_layer=last_layer + 1)
    return recorded


@contextmanager
def _edited(model: HookedTransformer, edits: list[Edit]) -> Iterator[None]:
    """Holds edits on hook points, in order and before any other hook there.

    The hooks are "permanent" to TransformerLens, so that a `reset_hooks` in the meantime leaves
    them; here they go when the block is left.
    """
    points: list[HookPoint] = []
    hooks: list[Any] = []
    try:
        for name, edit in reversed(edits):  # each goes before those already there
            points.append(model.hook_dict[name])
            hooks.append(_as_hook(edit))
            points[-1].add_hook(hooks[-1], is_permanent=True, prepend=True)
        yield
    finally:
        for point in points:
            ours = [handle for handle in point.fwd_hooks if handle.user_hook in hooks]
            for handle in ours:
                handle.hook.remove()
            point.fwd_hooks = [handle for handle in point.fwd_hooks if handle not in ours]


def _as_hook(edit: Any) -> Any:
    """An edit in the form of a TransformerLens hook."""

    def clamp_hook(activation: Tensor, hook: HookPoint) -> Tensor:
        return edit(activation)

    return clamp_hook


@contextmanager
def _weights_in_place(model: HookedTransformer, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Puts weights in place of the model's own, and these back at the end."""
    own: list[tuple[nn.Module, str, Tensor]] = []
    try:
        for name, value in weights.items():
            path, _, leaf = name.rpartition(".")
            module = model.get_submodule(path)
            own.append((module, leaf, getattr(module, leaf)))
            is_parameter = leaf in module._parameters
            setattr(
                module, leaf, nn.Parameter(value, requires_grad=False) if is_parameter else value
            )
        yield
    finally:
        for module, leaf, value in own:
            setattr(module, leaf, value)
