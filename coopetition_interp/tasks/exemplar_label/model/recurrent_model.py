"""Recurrent networks behind the transformer's input and output (thesis, section 2.3.4)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedRootModule, HookedTransformerConfig
from transformer_lens.components import Embed, LayerNorm, PosEmbed
from transformer_lens.hook_points import HookPoint

from coopetition_interp.tasks.exemplar_label.model.initialisation import (
    initialise_embeddings,
    initialise_unembedding,
    lecun_normal,
)
from coopetition_interp.tasks.exemplar_label.model.token_embedding import (
    PlainUnembed,
    embed_sequences,
    make_exemplar_embed,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequences import Sequences

RETURN_TYPES = ("logits", "query_logits", "normalised_query", "loss")
RecurrentKind = Literal["rnn", "lstm"]


class RecurrentLayer(nn.Module):
    """One layer over the tokens, from a state of zeros.

    "rnn": h = relu(x W_x + b_x + h W_h + b_h). "lstm": four gates of [x, h] with one bias; the
    forget gate is sigmoid(f + 1).

    Hook point: `hook_out` [batch, n_tokens, d_model].
    """

    def __init__(self, kind: RecurrentKind, cfg: HookedTransformerConfig):
        super().__init__()
        self.kind = kind
        width = cfg.d_model * (4 if kind == "lstm" else 1)
        self.W_x = nn.Parameter(torch.empty(cfg.d_model, width, dtype=cfg.dtype))
        self.W_h = nn.Parameter(torch.empty(cfg.d_model, width, dtype=cfg.dtype))
        self.b_x = nn.Parameter(torch.zeros(width, dtype=cfg.dtype))
        if kind == "rnn":
            self.b_h = nn.Parameter(torch.zeros(width, dtype=cfg.dtype))
        self.hook_out = HookPoint()

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial weights; an LSTM's gates read input and state as one vector."""
        fan_in = self.W_x.shape[0] * (2 if self.kind == "lstm" else 1)
        for weight in (self.W_x, self.W_h):
            lecun_normal(weight, fan_in, generator)
        for name, bias in self.named_parameters():
            if name.startswith("b_"):
                bias.zero_()

    def forward(
        self, tokens: Float[Tensor, "batch n_tokens d_model"]
    ) -> Float[Tensor, "batch n_tokens d_model"]:
        """The state after each token."""
        inputs = tokens @ self.W_x + self.b_x  # [batch, n_tokens, width]
        state = cell = torch.zeros_like(tokens[:, 0])
        states = []
        for token in inputs.unbind(1):
            sums = torch.addmm(token, state, self.W_h)
            if self.kind == "rnn":
                state = (sums + self.b_h).relu()
            else:
                enters, new, forgets, leaves = sums.chunk(4, dim=-1)
                cell = (forgets + 1).sigmoid() * cell + enters.sigmoid() * new.tanh()
                state = leaves.sigmoid() * cell.tanh()
            states.append(state)
        return self.hook_out(torch.stack(states, dim=1))


class RecurrentModel(HookedRootModule):
    """A stack of recurrent layers on the tokens of `ExemplarLabelTransformer`.

    Embeddings, added positions, final LayerNorm and unembedding are the transformer's, under the
    same names, with the same hook points; the layers are `layers.0`, `layers.1`, ... Hooks,
    `run_with_cache` and `run_with_hooks` work; clamps, which hold parts of a transformer, do not.

    Args:
        kind: "rnn" (vanilla) or "lstm".
        cfg: `n_layers`, `d_model`, `n_ctx`, `d_vocab` and the normalisation count.
        d_feature: Width of an exemplar's features.
        sinusoidal_base: As of `ExemplarLabelTransformer`.
        init_seed: Seed of the initial weights.
        exemplar_embedding: "linear", or "resnet" for an `ImageEmbed`.
    """

    gives_query_logits = True

    def __init__(
        self,
        kind: RecurrentKind,
        cfg: HookedTransformerConfig,
        d_feature: int,
        sinusoidal_base: float | None = None,
        init_seed: int = 0,
        exemplar_embedding: Literal["linear", "resnet"] = "linear",
    ):
        super().__init__()
        self.cfg = cfg
        self.d_feature = d_feature
        self.sinusoidal_base = sinusoidal_base
        self.exemplar_embed = make_exemplar_embed(exemplar_embedding, d_feature, cfg)
        self.embed = Embed(cfg)
        self.hook_embed = HookPoint()
        self.pos_embed = PosEmbed(cfg)
        self.hook_pos_embed = HookPoint()
        self.layers = nn.ModuleList(RecurrentLayer(kind, cfg) for _ in range(cfg.n_layers))
        self.ln_final = nn.Identity() if cfg.normalization_type is None else LayerNorm(cfg)
        self.unembed = PlainUnembed(cfg)
        self._initialise(init_seed)
        self.setup()

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        initialise_embeddings(self, generator)
        for layer in self.layers:
            assert isinstance(layer, RecurrentLayer)
            layer.initialise(generator)
        initialise_unembedding(self, generator)

    @property
    def n_labels(self) -> int:
        """How many labels the model knows."""
        return self.cfg.d_vocab

    @property
    def W_U(self) -> Float[Tensor, "d_model n_labels"]:
        """The unembedding."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " n_labels"]:
        """The unembedding's bias."""
        return self.unembed.b_U

    def forward(self, input: Sequences, return_type: str = "logits") -> Tensor:
        """Runs the model.

        Args:
            input: Sequences.
            return_type: "logits" [batch, n_tokens, n_labels], "query_logits" [batch, n_labels],
                "normalised_query" [batch, d_model] (what they are made from), or "loss": the
                query's mean cross-entropy.

        Raises:
            TypeError: The input is no `Sequences`.
            ValueError: Its shape does not fit the model, or there is no such return type.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be one of {RETURN_TYPES}; got {return_type!r}")
        states = embed_sequences(self, input)
        for layer in self.layers:
            states = layer(states)
        normalised = self.ln_final(states if return_type == "logits" else states[:, -1:])
        if return_type == "normalised_query":
            return normalised[:, -1]
        logits = self.unembed(normalised)
        if return_type == "logits":
            return logits
        if return_type == "query_logits":
            return logits[:, -1]
        return F.cross_entropy(logits[:, -1], input.right_labels.to(logits.device))
