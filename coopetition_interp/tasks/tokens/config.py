"""What a run on tokens is, beyond what all runs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from transformer_lens import HookedRootModule, HookedTransformer, HookedTransformerConfig

from coopetition_interp.config_class import Config, Count, Flag, Integer, Number, Seed, config_class
from coopetition_interp.interventions import Clamps
from coopetition_interp.tasks.tokens.sources import RepeatedTokens, TokenSource
from coopetition_interp.tasks.tokens.token_sequences import TokenSequences
from coopetition_interp.training.run_config import Evaluate, RunConfig

if TYPE_CHECKING:
    from coopetition_interp.tasks.tokens.task import TokenTask
    from coopetition_interp.training.run import Run


@config_class
class TokenModelConfig(Config):
    """Shape of a `HookedTransformer`, apart from what the data decides.

    Attributes:
        n_layers: Transformer blocks.
        n_heads: Attention heads per block.
        d_head: Size of a head.
        d_model: Width of the residual stream.
        d_mlp: Width of the MLPs; 0 for an attention-only model.
        act_fn: The MLPs' activation, by TransformerLens's name.
        positions: "standard" (learned), "rotary" or "shortformer", by TransformerLens's names.
        layer_norm: LayerNorm with weights and biases, or none at all.
        init_seed: Seed of the initial weights.
    """

    n_layers: Annotated[Integer, Field(ge=1, le=100)] = 2
    n_heads: Annotated[Integer, Field(ge=1, le=1000)] = 4
    d_head: Annotated[Integer, Field(ge=1, le=10_000)] = 16
    d_model: Annotated[Integer, Field(ge=1, le=100_000)] = 64
    d_mlp: Annotated[Integer, Field(ge=0, le=1_000_000)] = 0
    act_fn: Literal["relu", "gelu", "gelu_new", "silu", "solu_ln"] = "gelu"
    positions: Literal["standard", "rotary", "shortformer"] = "standard"
    layer_norm: Flag = True
    init_seed: Seed = 5

    def __post_init__(self) -> None:
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"rotary positions need an even d_head; got {self.d_head}")

    def build(self, d_vocab: int, n_ctx: int, causal: bool) -> HookedTransformer:
        """A freshly initialised model on the CPU."""
        cfg = HookedTransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_ctx=n_ctx,
            d_head=self.d_head,
            n_heads=self.n_heads,
            d_mlp=self.d_mlp or None,
            act_fn=self.act_fn,
            attn_only=self.d_mlp == 0,
            d_vocab=d_vocab,
            attention_dir="causal" if causal else "bidirectional",
            positional_embedding_type=self.positions,
            rotary_dim=self.d_head if self.positions == "rotary" else None,
            normalization_type="LN" if self.layer_norm else None,
            device="cpu",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            return HookedTransformer(cfg)


@config_class
class TokenConfig(RunConfig):
    """A run on tokens: next-token or masked-token cross-entropy.

    Attributes:
        tokens: Where token sequences come from.
        objective: Predict each next token, or the tokens that are masked (in a model whose
            attention goes both ways, with one more token, the mask).
        masked_share: Share of tokens masked, in expectation.
        train_on: Which predictions count in the loss: all, or only those of tokens that repeat.
        model: Shape and initial seed of the transformer.
        n_evaluated: Sequences of each evaluator.
    """

    may_differ_together: ClassVar[tuple[str, ...]] = (
        *RunConfig.may_differ_together,
        "tokens",
        "train_on",
        "model.init_seed",
        "n_evaluated",
    )

    task: Literal["tokens"] = "tokens"
    tokens: TokenSource = field(default_factory=RepeatedTokens)
    objective: Literal["next_token", "masked"] = "next_token"
    masked_share: Annotated[Number, Field(gt=0, lt=1)] = 0.15
    train_on: Literal["all", "repeated"] = "all"
    model: TokenModelConfig = field(default_factory=TokenModelConfig)
    n_evaluated: Count = 500

    @property
    def headline(self) -> Mapping[str, str]:
        """The accuracy of the last evaluator: on what repeats, or on what is held out."""
        return dict.fromkeys(("repeated", "held_out"), "accuracy")

    def build(self) -> TokenTask:
        """See `RunConfig.build`."""
        from coopetition_interp.tasks.tokens.task import build_task

        return build_task(self)

    def fresh_model(self, resolved: Mapping[str, Any]) -> HookedTransformer:
        """See `RunConfig.fresh_model`."""
        causal = self.objective == "next_token"
        d_vocab = resolved["d_vocab"] + (not causal)
        return self.model.build(d_vocab, resolved["n_tokens"], causal)

    def make_evaluation_sequences(self, run: Run) -> dict[str, TokenSequences]:
        """See `RunConfig.make_evaluation_sequences`."""
        from coopetition_interp.tasks.tokens.task import draw_evaluation_sequences

        source = self.tokens.load()
        run.require_resolved("tokens_sha256", source.digest(), f"tokens ({self.tokens})")
        return draw_evaluation_sequences(self, source)

    def evaluator(
        self, model: HookedRootModule, clamps: Clamps = (), compile: bool = False
    ) -> Evaluate:
        """See `RunConfig.evaluator`; columns "loss" (nats), "accuracy" and "p_right"."""
        from coopetition_interp.tasks.tokens.task import make_evaluator

        return make_evaluator(model, clamps)
