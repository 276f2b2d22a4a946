"""A HookedTransformer whose input is a batch of exemplar-label sequences."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, cast

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import HookedTransformerConfig

from coopetition_interp.tasks.exemplar_label.model.joined_attention import JoinedBlock
from coopetition_interp.tasks.exemplar_label.model.sequence_hooked_transformer import (
    SequenceHookedTransformer,
)
from coopetition_interp.tasks.exemplar_label.model.token_embedding import (
    ExemplarEmbed,
    PlainUnembed,
    embed_sequences,
    make_exemplar_embed,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequences import Sequences

RETURN_TYPES = ("logits", "query_logits", "normalised_query", "loss", "both", None)
NOT_READ = (
    *("parallel_attn_mlp", "use_local_attn", "n_key_value_heads", "use_qk_norm"),
    *("output_logits_soft_cap", "use_normalization_before_and_after"),
)
"""Fields of a TransformerLens config that the joined blocks or the unembedding do not go by."""
QUERY_RETURN_TYPES = ("query_logits", "normalised_query", "loss")
ReturnType = Literal["logits", "query_logits", "normalised_query", "loss", "both"] | None


class LogitsAndLoss(NamedTuple):
    """What `return_type="both"` gives."""

    logits: Float[Tensor, "batch n_tokens n_labels"]
    loss: Float[Tensor, ""]


class ExemplarLabelTransformer(SequenceHookedTransformer):
    """The transformer of the coopetition paper (section 2.1), as a `HookedTransformer`.

    Tokens alternate exemplar, label, exemplar, label, ..., query exemplar. Exemplars enter through
    `exemplar_embed`, labels through `embed` (`W_E` has a row per label); `hook_embed` sees the
    interleaved token embeddings [batch, n_tokens, d_model]. Everything downstream is
    TransformerLens's own, so hook names, `run_with_cache`, `run_with_hooks`, `hooks`,
    `ActivationCache`, `patching`, `W_Q`, `OV`... are the usual ones. To TransformerLens's functions
    `Sequences` are tokens [batch, n_tokens]; like tokens, they are moved to the model's device.

    Only the query is trained and scored, so besides TransformerLens's `return_type`s there is
    "query_logits" [batch, n_labels]: the final LayerNorm and the unembedding then run on the query
    token alone, and their hook points see [batch, 1, ...]. The last block too runs on the query
    alone, but only while nothing is hooked to it other than keys and values: its hook points always
    see all tokens.

    The attention biases that TransformerLens creates are kept at zero and are not trained, for
    parity with the published model, unless that is asked for.

    Args:
        cfg: Shape of the transformer. `d_vocab` is the number of labels; `n_ctx` the number of
            tokens, 2 * n_pairs + 1.
        d_feature: Width of an exemplar's features.
        sinusoidal_base: If given, `pos_embed.W_pos` holds sinusoids of this time constant and is
            not trained. Requires `cfg.positional_embedding_type == "standard"`.
        init_seed: Seed of the initial weights (see `initialisation`).
        exemplar_embedding: "linear", or "resnet" for an `ImageEmbed`.
        attention_biases: Train the biases of queries, keys, values and of attention's output.

    Raises:
        ValueError: If `cfg` contradicts itself or cannot be fed exemplar-label sequences.
    """

    gives_query_logits = True
    """Whether `return_type="query_logits"` is known to it, as to no other `HookedTransformer`."""

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        d_feature: int,
        sinusoidal_base: float | None = None,
        init_seed: int = 0,
        exemplar_embedding: Literal["linear", "resnet"] = "linear",
        attention_biases: bool = False,
    ):
        from coopetition_interp.tasks.exemplar_label.model.initialisation import initialise

        if isinstance(cfg, dict):
            cfg = HookedTransformerConfig(**cfg)
        cfg.init_weights = False
        if cfg.n_ctx < 3 or cfg.n_ctx % 2 == 0:
            raise ValueError(
                f"n_ctx is 2 * n_pairs + 1, so an odd number of at least 3; got {cfg.n_ctx}"
            )
        for name in NOT_READ:
            given = getattr(cfg, name, None)
            if given and not (name == "output_logits_soft_cap" and given < 0):
                raise ValueError(
                    f"{name} is {given!r}, which this model does not go by: leave it out, or take "
                    "a HookedTransformer on tokens"
                )
        if d_feature < 1:
            raise ValueError(f"d_feature must be at least 1; got {d_feature}")
        if sinusoidal_base is not None and cfg.positional_embedding_type != "standard":
            raise ValueError(
                "sinusoidal positions are added to the tokens: use positional_embedding_type "
                f"'standard', not {cfg.positional_embedding_type!r}"
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="HookedTransformer is deprecated")
            super().__init__(cfg, move_to_device=False)
        self.d_feature = d_feature
        self.sinusoidal_base = sinusoidal_base
        self.exemplar_embed = make_exemplar_embed(exemplar_embedding, d_feature, self.cfg)
        self.unembed = PlainUnembed(self.cfg)
        for index in range(self.cfg.n_layers):
            self.blocks[index] = JoinedBlock(self.cfg, index)
        initialise(self, init_seed, attention_biases)
        if self.cfg.device is not None:
            self.to(self.cfg.device, print_details=False)
        self.setup()  # names the hook points of the modules added here

    @property
    def n_labels(self) -> int:
        """How many labels the model knows."""
        return self.cfg.d_vocab

    @property
    def W_exemplar(self) -> Float[Tensor, "d_feature d_model"]:
        """Weight of a linear exemplar embedding."""
        assert isinstance(self.exemplar_embed, ExemplarEmbed)
        return self.exemplar_embed.W

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that training changes, by name: not sinusoids, nor biases kept at zero."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def input_to_embed(self, input: Sequences, *args: Any, **kwargs: Any) -> tuple:  # type: ignore[override]
        """Token embeddings with positions, in the form `HookedTransformer.forward` wants."""
        return embed_sequences(self, input), None, None, None

    def forward(  # type: ignore[override]
        self,
        input: Sequences | Float[Tensor, "batch n_tokens d_model"],
        return_type: ReturnType = "logits",
        loss_per_token: bool = False,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        right_labels: Int[Tensor, " batch"] | None = None,
    ) -> Any:
        """Runs the model.

        Args:
            input: Sequences; or, with `start_at_layer`, a residual stream.
            return_type: "logits" for all tokens [batch, n_tokens, n_labels] (as TransformerLens),
                "query_logits" for the query alone [batch, n_labels], "normalised_query" for what
                they are made from [batch, d_model], "loss" for the query's mean cross-entropy,
                "both" for (logits, loss), None for nothing.
            loss_per_token: Return the loss of each sequence [batch] instead of their mean.
            start_at_layer: First block to run, `input` being the residual stream before it.
            stop_at_layer: Block to stop before; the residual stream is returned.
            right_labels: With `start_at_layer` and a loss: the labels to predict, since a residual
                stream does not carry them.

        Raises:
            TypeError: If `input` is not of the stated kind.
            ValueError: If shapes do not fit the model, it has no such layer, or a loss is asked
                without labels.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be one of {RETURN_TYPES}; got {return_type!r}")
        n_layers = self.cfg.n_layers
        for name, layer in (("start_at_layer", start_at_layer), ("stop_at_layer", stop_at_layer)):
            if layer is not None and not -n_layers <= layer <= n_layers:
                raise ValueError(f"{name} must be within +-{n_layers}, the layers; got {layer}")
        if start_at_layer is not None and not isinstance(input, Tensor):
            raise TypeError(
                "with start_at_layer the input is the residual stream before that block "
                f"[batch, n_tokens, d_model]; got {type(input).__name__}"
            )
        query_alone = stop_at_layer is None and return_type in QUERY_RETURN_TYPES
        # Nobody looks at what the last block does at other tokens: leave it out.
        last_block = cast(JoinedBlock, self.blocks[-1])
        cut_short = query_alone and last_block.query_alone_suffices and start_at_layer != n_layers
        last = (n_layers - cut_short) if stop_at_layer is None else stop_at_layer
        residual: Any = super().forward(
            input, return_type=None, start_at_layer=start_at_layer, stop_at_layer=last
        )
        if stop_at_layer is not None:
            return residual
        if cut_short:
            residual = last_block.forward_query(residual)
        elif query_alone:
            residual = residual[:, -1:]
        if self.cfg.normalization_type is not None:
            residual = self.ln_final(residual)
        if return_type is None:
            return None
        if return_type == "normalised_query":
            return residual[:, -1]
        logits = self.unembed(residual)
        if return_type == "logits":
            return logits
        if return_type == "query_logits":
            return logits[:, -1]
        if isinstance(input, Sequences):
            right_labels = input.right_labels
        elif right_labels is None:
            raise ValueError("a loss after start_at_layer needs right_labels")
        loss = F.cross_entropy(
            logits[:, -1],
            right_labels.to(logits.device),
            reduction="none" if loss_per_token else "mean",
        )
        return loss if return_type == "loss" else LogitsAndLoss(logits, loss)
