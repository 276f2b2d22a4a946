"""Binding: clamps are checked against a model and each other before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor
from transformer_lens import HookedRootModule, HookedTransformer, HookedTransformerConfig

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interventions.clamp import Clamp, TwoPassClamp, check_is_clamp, full_name
from coopetition_interp.interventions.contradictions import check_contradictions
from coopetition_interp.interventions.during import During
from coopetition_interp.interventions.fields import shown
from coopetition_interp.one_line import clipped


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
    shape: tuple[Hashable, ...]

    def in_order(self) -> list[Clamp]:
        """The clamps in the order in which their edits are applied at a hook point."""
        return sorted(self.clamps, key=lambda clamp: clamp.precedence)


Clamps = Iterable[Clamp] | BoundClamps


def bind(clamps: Clamps, model: HookedRootModule) -> BoundClamps:
    """Checks clamps against a model and each other, and loads what they need, once.

    Every function here binds the clamps it is given. Bind them yourself to run many batches, or
    to find a mistake before hours are spent. (What an edit sets and where shows when a batch
    comes: before the batch runs, and in training before the first step.)

    Args:
        clamps: The clamps; bound ones are given back.
        model: A model they are for; for one that is no `HookedTransformer` there are none.

    Raises:
        ConfigError: If there are clamps for a model that is no `HookedTransformer`.
        TypeError: If something in the list is no clamp, or half of one: no frozen dataclass, two
            passes without `detach`, claims that are no `Claim`.
        ValueError: If a clamp names what the model lacks, two clamps contradict each other, or a
            donor does not fit; if a clamp has a time (see `active_at`); or if bound clamps were
            bound to a model of another shape.
        FileNotFoundError: If a donor's checkpoint is not there.
    """
    shape = _shape(model.cfg) if isinstance(model, HookedTransformer) else ()
    if isinstance(clamps, BoundClamps):
        if clamps.shape != shape:
            raise ValueError(
                "these clamps were bound to a model of another shape: bind them to this one"
            )
        return clamps
    require_list(clamps)
    clamps = tuple(clamps)
    if not isinstance(model, HookedTransformer):
        if clamps:
            raise ConfigError(
                f"clamps hold parts of a transformer, and the model is a {type(model).__name__}: "
                "leave clamps out"
            )
        return BoundClamps((), {}, shape)
    for clamp in clamps:
        check_is_clamp(clamp)
        if isinstance(clamp, During):
            raise ValueError(
                f"{shown(clamp)} has a time, and here is none: take the clamps of a moment by "
                "active_at(clamps, sequences_seen)"
            )
        _check_sets_something(clamp)
        clamp.check(model.cfg)
        _check_first_pass(clamp, model)
    check_contradictions(clamps, model.cfg)
    return BoundClamps(clamps, _donated(clamps, model), shape)


def require_list(clamps: object) -> None:
    """Refuses one clamp without a list around it.

    Raises:
        TypeError: It is one.
    """
    if isinstance(clamps, Clamp):
        raise TypeError(f"clamps come in a list: [{shown(clamps)}]")


def check_hook_point(name: object, model: HookedTransformer, clamp: Clamp, does: str) -> None:
    """Refuses a hook point that the model does not have.

    Args:
        name: The hook point's name.
        model: The model.
        clamp: Who names it.
        does: What for, for the error.

    Raises:
        ValueError: Naming the clamp, the hook point, and those like it.
    """
    if name in model.hook_dict:
        return
    alike = difflib.get_close_matches(str(name)[:100], model.hook_dict, n=3, cutoff=0.7)
    raise ValueError(
        f"{shown(clamp)} {does} {shown(name)}, but the model has no such hook point"
        f"{'; like it: ' + ', '.join(alike) if alike else ''}"
    )


def _check_sets_something(clamp: Clamp) -> None:
    kind = type(clamp)
    own = (kind.edits is not Clamp.edits, kind.replaced_weights is not Clamp.replaced_weights)
    if not any(own):
        raise TypeError(f"{full_name(kind)} sets nothing: write its edits(batch)")


def _check_first_pass(clamp: Clamp, model: HookedTransformer) -> None:
    """Refuses half a protocol, and hook points that the model lacks."""
    kind, reads = type(clamp), clamp.first_pass_reads(model.cfg)
    two_pass = isinstance(clamp, TwoPassClamp)
    if reads and not two_pass:
        raise TypeError(
            f"{full_name(kind)} reads a first pass: subclass TwoPassClamp, with a field "
            "`detach: bool = False`"
        )
    if two_pass and not isinstance(getattr(clamp, "detach", None), bool):
        raise TypeError(
            f"{full_name(kind)} is a two-pass clamp and must say whether the first pass is kept "
            "out of the gradient: give it a field `detach: bool = False`, True or False"
        )
    if two_pass and not reads:
        raise ValueError(f"{shown(clamp)} is a two-pass clamp, but its first_pass_reads is empty")
    if isinstance(reads, str):
        raise TypeError(f"{full_name(kind)}: first_pass_reads gives a set of names, not a text")
    for name in reads:
        check_hook_point(name, model, clamp, "reads in the first pass")


def _donated(clamps: tuple[Clamp, ...], model: HookedTransformer) -> dict[str, Tensor]:
    """Weights in place of the model's; each must be one of these, and be replaced once."""
    own = model.state_dict()
    donated: dict[str, Tensor] = {}
    owners: dict[str, Clamp] = {}
    for clamp in clamps:
        for name, weight in clamp.replaced_weights(model).items():
            if name not in own or own[name].shape != weight.shape:
                raise ValueError(
                    f"{shown(clamp)} replaces {clipped(str(name))}, of shape "
                    f"{list(weight.shape)}; the model's is "
                    f"{list(own[name].shape) if name in own else 'not there'}"
                )
            if name in owners:
                raise ValueError(
                    f"{shown(owners[name])} and {shown(clamp)} contradict each other: both set "
                    f"{name}; keep one of them"
                )
            owners[name] = clamp
            donated[name] = weight
    return donated


def _shape(cfg: HookedTransformerConfig) -> tuple[Hashable, ...]:
    heads = (cfg.n_layers, cfg.n_heads, cfg.n_key_value_heads, cfg.d_head)
    mlps = None if cfg.attn_only else cfg.d_mlp
    others = (cfg.d_model, cfg.d_vocab, cfg.n_ctx, cfg.positional_embedding_type)
    return (*heads, mlps, *others)
