"""The model as saved in a run's config, and how it is built."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from transformer_lens import HookedTransformerConfig

from coopetition_interp.config_class import (
    ADDED_LATER,
    Config,
    ConfigError,
    Flag,
    Integer,
    Number,
    Seed,
    config_class,
)
from coopetition_interp.tasks.exemplar_label.model.exemplar_label_transformer import (
    ExemplarLabelTransformer,
)
from coopetition_interp.tasks.exemplar_label.model.recurrent_model import RecurrentModel

ExemplarLabelModel = ExemplarLabelTransformer | RecurrentModel
"""A model of exemplar-label sequences, of any kind."""

MOST_PARAMETERS = 500_000_000
"""Beyond it, weights, gradients and Adam's moments would take over 8 GB."""


@config_class
class ModelConfig(Config):
    """Shape of a model of exemplar-label sequences, apart from what the data decides.

    Attributes:
        kind: "transformer" (an `ExemplarLabelTransformer`), or "rnn" or "lstm" (a
            `RecurrentModel`) of the same depth and width.
        exemplar_embedding: "linear", or "resnet": a small residual network on images' pixels (an
            `ImageEmbed`).
        attention_biases: Train the biases of attention, as the code of the thesis's chapter 2 does;
            otherwise they stay at zero.
        n_layers: Transformer blocks, or recurrent layers.
        n_heads: Attention heads per block of a transformer.
        d_head: Size of a head.
        d_model: Width of the residual stream.
        positions: "learned" (added to every token), "sinusoidal" (added, fixed) or "rotary" (on
            queries and keys of each head).
        position_base: Time constant of sinusoidal or rotary positions. The coopetition appendix
            uses 30, the induction-head work 10000 (rotary).
        mlps: Whether blocks hold an MLP (4x, tanh-GELU) besides attention.
        layer_norm: Pre-LayerNorm with weights and biases, or none at all.
        init_seed: Seed of the initial weights.

    Raises:
        ConfigError: If a value is out of range, or two options contradict each other.
    """

    kind: Literal["transformer", "rnn", "lstm"] = field(
        default="transformer", kw_only=True, metadata=ADDED_LATER
    )
    exemplar_embedding: Literal["linear", "resnet"] = field(
        default="linear", kw_only=True, metadata=ADDED_LATER
    )
    attention_biases: Flag = field(default=False, kw_only=True, metadata=ADDED_LATER)
    n_layers: Annotated[Integer, Field(ge=1, le=100)] = 2
    n_heads: Annotated[Integer, Field(ge=1, le=1000)] = 8
    d_head: Annotated[Integer, Field(ge=1, le=10_000)] = 8
    d_model: Annotated[Integer, Field(ge=1, le=100_000)] = 64
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    position_base: Annotated[Number, Field(gt=1, le=1e9)] = 30.0
    mlps: Flag = False
    layer_norm: Flag = True
    init_seed: Seed = 5

    def __post_init__(self) -> None:
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(
                f"rotary positions turn pairs of dimensions: d_head must be even, got {self.d_head}"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model; got {self.d_model}")
        of_transformers = {
            "mlps": self.mlps,
            "rotary positions": self.positions == "rotary",
            "attention biases": self.attention_biases,
        }
        if self.kind != "transformer" and any(of_transformers.values()):
            what = next(name for name, asked in of_transformers.items() if asked)
            raise ValueError(
                f"{what} belong to a transformer, and the model's kind is {self.kind!r}: leave "
                "mlps and attention_biases false and take learned or sinusoidal positions"
            )

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

    def count_parameters(self, d_feature: int, n_labels: int, n_pairs: int) -> int:
        """How many weights the model has, but for biases and LayerNorms."""
        of_a_layer = {
            "transformer": 4 * self.n_heads * self.d_head + (8 * self.d_model if self.mlps else 0),
            "rnn": 2 * self.d_model,
            "lstm": 8 * self.d_model,
        }[self.kind]
        read = d_feature if self.exemplar_embedding == "linear" else 0  # a resnet is small
        embedded = read + 2 * n_labels + 2 * n_pairs + 1
        return self.d_model * (self.n_layers * of_a_layer + embedded)

    def build(self, d_feature: int, n_labels: int, n_pairs: int) -> ExemplarLabelModel:
        """A freshly initialised model on the CPU.

        Raises:
            ConfigError: If it would have more than `MOST_PARAMETERS`.
            ValueError: If exemplars are no images, and it is to embed images.
        """
        n_parameters = self.count_parameters(d_feature, n_labels, n_pairs)
        if n_parameters > MOST_PARAMETERS:
            raise ConfigError(
                f"a model for {n_labels:,} labels and {d_feature:,} features would have "
                f"{n_parameters:,} parameters, more than the {MOST_PARAMETERS:,} allowed: lower "
                "model.d_model, n_heads, d_head or n_layers, or the number of classes"
            )
        cfg = self.hooked_transformer_config(n_labels, n_pairs)
        base = self.position_base if self.positions == "sinusoidal" else None
        shape = (cfg, d_feature, base, self.init_seed, self.exemplar_embedding)
        if self.kind == "transformer":
            return ExemplarLabelTransformer(*shape, self.attention_biases).eval()
        return RecurrentModel(self.kind, *shape).eval()
