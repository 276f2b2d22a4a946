"""Small models and sequences for tests."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import PairRole, Sequences

SMALL = ModelConfig(n_heads=4, d_head=4, d_model=12, init_seed=1)
D_FEATURE, N_LABELS = 6, 7


def small_model(
    config: ModelConfig = SMALL,
    n_pairs: int = 2,
    dtype: torch.dtype = torch.float64,
    n_labels: int = N_LABELS,
    **changes: object,
) -> ExemplarLabelTransformer:
    """A model none of whose trainable weights is at a special value such as 0 or 1."""
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    cfg = config.hooked_transformer_config(n_labels, n_pairs)
    cfg.dtype = dtype
    model = ExemplarLabelTransformer(
        cfg,
        d_feature=D_FEATURE,
        sinusoidal_base=config.position_base if config.positions == "sinusoidal" else None,
        init_seed=config.init_seed,
    )
    generator = torch.Generator().manual_seed(config.init_seed)
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.3 * noise.to(dtype)
    return model


def small_sequences(
    batch: int = 6,
    n_pairs: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    n_labels: int = N_LABELS,
) -> Sequences:
    """Context labels are distinct; the right one is that of a random pair, the match."""
    generator = torch.Generator().manual_seed(seed)
    exemplars = torch.randn(batch, n_pairs + 1, D_FEATURE, generator=generator, dtype=dtype)
    labels = torch.stack([torch.randperm(n_labels, generator=generator) for _ in range(batch)])
    labels = labels[:, : n_pairs + 1]
    match = torch.randint(n_pairs, (batch,), generator=generator)
    rows = torch.arange(batch)
    labels[:, -1] = labels[rows, match]
    exemplars[:, -1] += 2 * exemplars[rows, match]
    roles = torch.full((batch, n_pairs + 1), int(PairRole.DISTRACTOR))
    roles[:, -1] = int(PairRole.QUERY)
    roles[rows, match] = int(PairRole.MATCH)
    return Sequences(exemplars, labels, roles)


def leaves(model: ExemplarLabelTransformer) -> dict[str, Tensor]:
    """The model's trainable weights as fresh leaves, by name."""
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in model.trainable_parameters().items()
    }


def query_loss_gradients(
    logits: Tensor, sequences: Sequences, weights: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The query's cross-entropy and its gradient; zeros for weights that play no part."""
    loss = torch.nn.functional.cross_entropy(logits, sequences.right_labels)
    gradients = torch.autograd.grad(
        loss, list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return loss.detach(), dict(zip(weights, gradients, strict=True))


def n_hooks(model: torch.nn.Module) -> int:
    """Forward hooks on the model and on its hook points, however registered."""
    return sum(
        len(module._forward_hooks)
        + len(module._forward_pre_hooks)
        + len(getattr(module, "fwd_hooks", ()))
        for module in model.modules()
    )


DIVERGING = [
    "optimizer.learning_rate=10",
    "model.layer_norm=false",
    "model.mlps=true",
    "model.n_layers=4",
]
"""Overrides of a run that overflows within a few steps, however a processor rounds.

Adam moves every weight by about 10 a step, so that 18 matrices, one after another, multiply what
they read by some hundreds each; float32 ends at 3e38.
"""
