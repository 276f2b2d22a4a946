"""The model as saved in a run's config, and how it becomes an `ExemplarLabelTransformer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformer_lens import HookedTransformerConfig

from coopetition_interp.model.exemplar_label_transformer import ExemplarLabelTransformer


@dataclass(frozen=True)
class ModelConfig:
    """Shape of an `ExemplarLabelTransformer`, apart from what the data decides.

    Attributes:
        n_layers: Transformer blocks.
        n_heads: Attention heads per block.
        d_head: Size of a head.
        d_model: Width of the residual stream.
        positions: "learned" (added to every token), "sinusoidal" (added, fixed) or "rotary" (on
            queries and keys of each head).
        position_base: Time constant of sinusoidal or rotary positions. The coopetition appendix
            uses 30, the induction-head work 10000 (rotary).
        mlps: Whether blocks hold an MLP (4x, tanh-GELU) besides attention.
        layer_norm: Pre-LayerNorm with weights and biases, or none at all.
        init_seed: Seed of the initial weights.
    """

    n_layers: int = 2
    n_heads: int = 8
    d_head: int = 8
    d_model: int = 64
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    position_base: float = 30.0
    mlps: bool = False
    layer_norm: bool = True
    init_seed: int = 5

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads", "d_head", "d_model"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} must be at least 1; got {getattr(self, name)}")
        if self.positions not in ("learned", "sinusoidal", "rotary"):
            raise ValueError(
                f"model.positions must be learned, sinusoidal or rotary; got {self.positions!r}"
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(
                f"rotary positions turn pairs of dimensions: d_head must be even, got {self.d_head}"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model; got {self.d_model}")
        if self.position_base <= 1:
            raise ValueError(f"model.position_base must exceed 1; got {self.position_base}")

    def hooked_transformer_config(self, n_labels: int, n_pairs: int) -> HookedTransformerConfig:
        """The TransformerLens config of this model for `n_labels` labels and `n_pairs` pairs."""
        rotary = self.positions == "rotary"
        return HookedTransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_ctx=2 * n_pairs + 1,
            d_head=self.d_head,
            n_heads=self.n_heads,
            d_mlp=4 * self.d_model,
            act_fn="gelu_new",
            d_vocab=n_labels,
            d_vocab_out=n_labels,
            attn_only=not self.mlps,
            normalization_type="LN" if self.layer_norm else None,
            eps=1e-5,
            positional_embedding_type="rotary" if rotary else "standard",
            rotary_dim=self.d_head if rotary else None,
            rotary_base=self.position_base if rotary else 10000,
            rotary_adjacent_pairs=rotary,
            init_weights=False,
            device="cpu",
            seed=None,
        )

    def build(self, d_feature: int, n_labels: int, n_pairs: int) -> ExemplarLabelTransformer:
        """A freshly initialised model on the CPU."""
        return ExemplarLabelTransformer(
            self.hooked_transformer_config(n_labels, n_pairs),
            d_feature=d_feature,
            sinusoidal_base=self.position_base if self.positions == "sinusoidal" else None,
            init_seed=self.init_seed,
        )
