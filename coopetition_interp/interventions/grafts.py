"""Clamps that take whole layers from another trained model.

A graft says whose weights run in which layers, so it holds in the first pass of two-pass clamps
too, and clamps on heads of grafted layers act on the donor's heads. The donor is read once, when
clamps are bound, and never changes afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from coopetition_interp.files.regular_file import UnreadableFileError, not_there
from coopetition_interp.files.tensor_file import read_tensor_file
from coopetition_interp.interventions.claims import (
    BLOCK_INPUT,
    BLOCK_WEIGHTS,
    EMBEDDING_WEIGHTS,
    UNEMBEDDING_WEIGHTS,
    Claim,
)
from coopetition_interp.interventions.clamp import Clamp, ClampedBatch, Edit
from coopetition_interp.interventions.fields import integer, shown
from coopetition_interp.interventions.model_weights import BATCH_NORM
from coopetition_interp.one_line import clipped, one_line

Checkpoint = str | os.PathLike[str] | HookedTransformer
"""A safetensors file holding a model's state dict, or a model in memory."""


class _Graft(Clamp):
    checkpoint: Checkpoint
    layer: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        layer = integer(self.layer)
        if layer is None or layer < -1:
            raise ValueError(
                f"{name}: layer is a block's number, or -1 for the embedding; got "
                f"{shown(self.layer)}"
            )
        object.__setattr__(self, "layer", layer)
        if isinstance(self.checkpoint, str | os.PathLike):
            object.__setattr__(self, "checkpoint", os.fspath(self.checkpoint))
        elif not isinstance(self.checkpoint, HookedTransformer):
            of_run = (
                ": take its checkpoint_path()"
                if hasattr(self.checkpoint, "checkpoint_path")
                else ""
            )
            raise ValueError(
                f"{name}: checkpoint is the path of a safetensors file, or a model; got "
                f"{type(self.checkpoint).__name__}{of_run}"
            )

    def check(self, cfg: HookedTransformerConfig) -> None:
        if self.layer >= cfg.n_layers:
            raise ValueError(
                f"{shown(self)}: the model has no block {shown(self.layer)}, its blocks are 0 to "
                f"{cfg.n_layers - 1}"
            )

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        return iter(())

    def __str__(self) -> str:
        donor = repr(self.checkpoint) if isinstance(self.checkpoint, str) else "<a model in memory>"
        return f"{type(self).__name__}(checkpoint={donor}, layer={self.layer})"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class GraftIn(_Graft):
    """Takes the residual stream after a block from another model (thesis C.5.1; paper 5.1).

    Embedding and blocks up to `layer` are the donor's and stay fixed: the model's own get no
    gradient. One pass.

    Attributes:
        checkpoint: Path of a safetensors file (a state dict), or a model in memory.
        layer: The last block that is the donor's; -1 for the embedding alone.
    """

    checkpoint: Checkpoint
    layer: int

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """The grafted layers, and what they feed."""
        claimed = {Claim(EMBEDDING_WEIGHTS)}
        claimed |= {Claim(BLOCK_WEIGHTS, layer) for layer in range(self.layer + 1)}
        if self.layer >= 0:
            claimed.add(Claim(BLOCK_INPUT, 1))
        return claimed

    def replaced_weights(self, model: HookedTransformer) -> dict[str, Tensor]:
        """The donor's weights up to `layer`."""
        return _donor_weights(self, model, lambda depth: depth <= self.layer)


@dataclass(frozen=True, repr=False)
class GraftOut(_Graft):
    """Feeds the residual stream after a block into another model (coopetition paper 5.1).

    Blocks after `layer`, the final LayerNorm and the unembedding are the donor's and stay fixed,
    but pass gradients back to what the model computes up to `layer`. One pass.

    Attributes:
        checkpoint: Path of a safetensors file (a state dict), or a model in memory.
        layer: The last block that is the model's own; -1 for its embedding alone.
    """

    checkpoint: Checkpoint
    layer: int

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """The grafted layers."""
        claimed = {Claim(BLOCK_WEIGHTS, layer) for layer in range(self.layer + 1, cfg.n_layers)}
        return claimed | {Claim(UNEMBEDDING_WEIGHTS)}

    def replaced_weights(self, model: HookedTransformer) -> dict[str, Tensor]:
        """The donor's weights after `layer`."""
        return _donor_weights(self, model, lambda depth: depth > self.layer)


_DOES_NOT_ACT = (
    *("device", "n_devices", "dtype", "seed", "init_mode", "init_weights", "initializer_range"),
    *("model_name", "original_architecture", "tokenizer_name", "tokenizer_prepends_bos"),
    *("default_prepend_bos", "trust_remote_code", "decoder_start_token_id", "from_checkpoint"),
    *("checkpoint_index", "checkpoint_label_type", "checkpoint_value", "load_in_4bit", "n_params"),
    *("quantization_method", "use_hook_tokens", "use_attn_result", "use_split_qkv_input"),
    *("use_attn_in", "use_hook_mlp_in", "ungroup_grouped_query_attention"),
    *("n_layers", "n_ctx", "d_vocab", "d_vocab_out", "d_mlp", "attn_types"),
    *("rotary_base", "rotary_base_local"),
)
"""Fields of a model's config that change nothing computed, or that what is grafted tells of: shapes
of weights, and tables of rotary positions."""

_OFTEN_FIXED = ("attn.b_Q", "attn.b_K", "attn.b_V", "attn.b_O", "pos_embed.W_pos")


def weight_depth(name: str) -> int | None:
    """Where in a model a weight is: what grafts till or from a layer take goes by this.

    Args:
        name: Its name in the state dict.

    Returns:
        -1 before block 0, i in block i, a large number after the blocks; None if it is no weight
        of a `HookedTransformer`.
    """
    part, *rest = name.split(".")
    if part in ("exemplar_embed", "embed", "pos_embed"):
        return -1
    if part == "blocks" and rest and rest[0].isdigit():
        return int(rest[0])
    if part in ("ln_final", "unembed"):
        return 10**9
    return None


def _donor_weights(
    graft: _Graft, model: HookedTransformer, wanted: Callable[[int], bool]
) -> dict[str, Tensor]:
    """The donor's weights at the wanted depths, fixed, on the model's device and in its dtype.

    A checkpoint may leave out buffers and the attention biases and sinusoids that training never
    touches: the model's own are then used.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or its layers do not fit the model's.
    """

    def chosen(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        depths = {name: weight_depth(name) for name in weights}
        return {name: weights[name] for name, d in depths.items() if d is not None and wanted(d)}

    own = chosen(dict(model.state_dict()))
    if any(BATCH_NORM in name for name in own):
        raise ValueError(
            f"{shown(graft)} would fix an embedding with batch normalisations, whose statistics go "
            "on changing: graft what comes after the embedding, by GraftOut, or take a linear one"
        )
    required = chosen(
        {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad or not name.endswith(_OFTEN_FIXED)
        }
    )
    donor = chosen(_read(graft.checkpoint))
    for name in sorted({*donor, *required}):
        if name not in donor:
            raise ValueError(
                f"{shown(graft)}: the donor has no {name}, the model has one of shape "
                f"{list(own[name].shape)}: a donor is a model of the same shape"
            )
        if name not in own:
            raise ValueError(
                f"{shown(graft)}: the donor has a {name} of shape {list(donor[name].shape)}, "
                "the model has none: a donor is a model of the same shape"
            )
        if donor[name].shape != own[name].shape:
            raise ValueError(
                f"{shown(graft)}: {name} is {list(donor[name].shape)} in the donor and "
                f"{list(own[name].shape)} in the model: a donor is a model of the same shape"
            )
    if isinstance(graft.checkpoint, HookedTransformer):
        _require_same_computation(graft, model.cfg, graft.checkpoint.cfg)
    return {
        name: tensor.detach().to(device=own[name].device, dtype=own[name].dtype, copy=True)
        for name, tensor in donor.items()
    }


def _require_same_computation(
    graft: _Graft, own: HookedTransformerConfig, donors: HookedTransformerConfig
) -> None:
    """Refuses a donor in memory whose weights would mean something else in the model.

    Raises:
        ValueError: Naming the field of the config in which they differ.
    """
    ignored = {*_DOES_NOT_ACT, *(("act_fn", "gated_mlp") if own.attn_only else ())}
    there = donors.to_dict()
    for name, value in own.to_dict().items():
        if name not in ignored and there.get(name) != value:
            raise ValueError(
                f"{shown(graft)}: {name} is {shown(there.get(name))} in the donor and "
                f"{shown(value)} in the model, so its weights would compute something else: a "
                "donor is a model of the same architecture"
            )


def _read(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The state dict of a checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole safetensors file, or not what was written.
    """
    if isinstance(checkpoint, HookedTransformer):
        return dict(checkpoint.state_dict())
    if os.path.isdir(checkpoint):
        raise ValueError(
            f"{clipped(os.fspath(checkpoint), 300)} is a folder, not a checkpoint to graft from: "
            "name a file, such as a run's load_run(folder).checkpoint_path()"
        )
    if not os.path.isfile(checkpoint):
        raise FileNotFoundError(f"{not_there('checkpoint', checkpoint)}, to graft from")
    try:
        tensors, _ = read_tensor_file(checkpoint)
    except UnreadableFileError as error:
        raise ValueError(f"{one_line(error)}: no checkpoint to graft from") from error
    return tensors
