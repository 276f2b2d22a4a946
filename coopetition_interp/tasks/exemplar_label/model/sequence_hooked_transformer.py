"""TransformerLens's own methods, where a model of exemplar-label sequences needs them otherwise.

What is not here works as it is: `run_with_cache`, `run_with_hooks`, `transformer_lens.patching`,
`all_composition_scores` and the methods of `ActivationCache`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedTransformer

EXEMPLAR_EMBEDDING = ("exemplar_embed.W", "exemplar_embed.b")
CACHED_WHOLE = (
    "attn.hook_rot_q",
    "attn.hook_rot_k",
)
NORMALISATIONS_THAT_CENTRE = ("LN", "LNPre")

READS_NO_TEXT = "this model reads Sequences of feature vectors and label numbers, not text"
PREDICTS_ONE_LABEL = "this model predicts one label, at the query, and is never fed its own output"

INSTEAD = {
    "generate": (
        PREDICTS_ONE_LABEL,
        "its answers are model(sequences, return_type='query_logits').argmax(-1)",
    ),
    "generate_stream": (
        PREDICTS_ONE_LABEL,
        "its answers are model(sequences, return_type='query_logits').argmax(-1)",
    ),
    "to_tokens": (READS_NO_TEXT, "build Sequences(exemplars, labels, roles)"),
    "to_string": (READS_NO_TEXT, "labels are read off sequences.labels, roles off sequences.roles"),
    "to_str_tokens": (
        READS_NO_TEXT,
        "labels are read off sequences.labels, roles off sequences.roles",
    ),
    "to_single_token": (READS_NO_TEXT, "a label's number is its token"),
    "to_single_str_token": (READS_NO_TEXT, "a label's number is its token"),
    "set_tokenizer": (READS_NO_TEXT, "build Sequences(exemplars, labels, roles)"),
    "get_token_position": (
        READS_NO_TEXT,
        "take sequences.exemplar_positions, .label_positions or .query_position",
    ),
    "load_sample_training_dataset": (READS_NO_TEXT, "take run.evaluation_sequences"),
    "sample_datapoint": (READS_NO_TEXT, "take run.evaluation_sequences"),
    "loss_fn": (
        "only the query of a sequence is scored, not each next token",
        "take model(sequences, return_type='loss')",
    ),
    "init_weights": (
        "TransformerLens's initial weights leave out the exemplar embedding",
        "call coopetition_interp.tasks.exemplar_label.model.initialisation.initialise(model, seed)",
    ),
    "from_pretrained": (
        "no published weights have an exemplar embedding",
        "take load_run(directory).model(sequences_seen)",
    ),
    "from_pretrained_no_processing": (
        "no published weights have an exemplar embedding",
        "take load_run(directory).model(sequences_seen)",
    ),
}
"""Methods of `HookedTransformer` that mean nothing here: why, and what to use instead."""


class SequenceHookedTransformer(HookedTransformer):
    """A `HookedTransformer` whose inherited methods hold for exemplar-label sequences.

    Raises:
        NotImplementedError: By the methods in `INSTEAD`, saying what to use.
    """

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """Sum of the biases written to the residual stream before block `layer`.

        As TransformerLens's, which fails without MLPs and sums in float32 whatever the model's.

        Args:
            layer: Block whose input is meant, up to `n_layers` for the unembedding's.
            mlp_input: Count the attention of block `layer` too.
            include_mlp_biases: Count the MLPs of the blocks before.

        Raises:
            ValueError: If `mlp_input` is asked of a block that is not there.
        """
        if mlp_input and layer >= self.cfg.n_layers:
            raise ValueError(f"there is no block {layer}, so no input of its MLP")
        total = torch.zeros_like(self.b_O[0])
        for bias in self.b_O[: layer + mlp_input]:
            total = total + bias
        if include_mlp_biases and not self.cfg.attn_only:
            for bias in self.b_out[:layer]:
                total = total + bias
        return total

    def tokens_to_residual_directions(
        self, tokens: str | int | Int[Tensor, "*dims"]
    ) -> Float[Tensor, "*dims d_model"]:
        """Columns of W_U of some labels; `ActivationCache.logit_attrs` multiplies by them.

        Warns where the final LayerNorm has weights of its own, which W_U alone leaves out.

        Args:
            tokens: Labels, by number.

        Raises:
            NotImplementedError: If given text.
        """
        labels: Any = self.to_single_token(tokens) if isinstance(tokens, str) else tokens
        if self.cfg.normalization_type == "LN":
            warnings.warn(
                "W_U leaves out the final LayerNorm's weights, so logit_attrs will not sum to "
                "logits: fold them first, in a copy, by process_weights_(center_unembed=False)",
                stacklevel=3,
            )
        return self.W_U[:, labels].movedim(0, -1)

    def center_writing_weights(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """As TransformerLens's, with the exemplar embedding, which writes to the stream too."""
        return super().center_writing_weights(_with_centred_exemplar_embedding(state_dict))

    def load_and_process_state_dict(
        self,
        state_dict: dict[str, Tensor],
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        fold_value_biases: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> None:
        """Loads weights in an equivalent, simpler form; `process_weights_` does so in place.

        As TransformerLens's, with the exemplar embedding. The computation stays the same, but for
        rounding in float32 and, with `center_unembed`, a constant off all logits of a token.
        A folded model is for looking at, not for training: its LayerNorms have no weights, and its
        attention biases are no longer zero.

        Args:
            state_dict: The weights, by this model's names.
            fold_ln: Put the LayerNorms' weights and biases into the matrices that read from them.
            center_writing_weights: Make what is written to the residual stream of mean zero, which
                a LayerNorm takes off anyhow. Nothing is centred without LayerNorm.
            center_unembed: Take each token's mean off its logits.
            fold_value_biases: Put the values' biases into the attention's output bias.
            refactor_factored_attn_matrices: Make the columns of W_Q, W_K, W_V and the rows of W_O
                orthogonal within each head, leaving QK and OV as they are.

        Raises:
            ValueError: If QK is to be refactored under rotary positions, which stand between Q
                and K.
        """
        if refactor_factored_attn_matrices and self.cfg.positional_embedding_type == "rotary":
            raise ValueError(
                "rotary positions turn queries and keys, so their weights cannot be refactored: "
                "leave refactor_factored_attn_matrices off"
            )
        fold_ln = fold_ln and self.cfg.normalization_type is not None
        if center_writing_weights and self.cfg.normalization_type in NORMALISATIONS_THAT_CENTRE:
            state_dict = _with_centred_exemplar_embedding(state_dict)
        super().load_and_process_state_dict(
            state_dict,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights
            and self.cfg.normalization_type in NORMALISATIONS_THAT_CENTRE,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        if self.cfg.attn_only:
            for block in self.blocks:
                if hasattr(block, "ln2"):  # folding gives every block one, MLP or not
                    del block.ln2
            self.setup()

    def get_caching_hooks(
        self,
        names_filter: Any = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
        pos_slice: Any = None,
    ) -> tuple[dict[str, Tensor], list[Any], list[Any]]:
        """As TransformerLens's, which would slice some activations along another axis than tokens.

        With `pos_slice`, those of `exemplar_embed` [batch, n_exemplars, ...] and rotated queries
        and keys [batch, n_tokens, n_heads, d_head] are cached whole.
        """
        whole_names = [
            n for n in self.hook_dict if n.startswith("exemplar_embed.") or n.endswith(CACHED_WHOLE)
        ]
        cache, forward, backward = super().get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, cache, pos_slice
        )
        _, whole_forward, whole_backward = super().get_caching_hooks(
            whole_names, incl_bwd, device, remove_batch_dim, cache
        )
        whole, whole_back = dict(whole_forward), dict(whole_backward)
        forward = [(name, whole.get(name, hook)) for name, hook in forward]
        backward = [(name, whole_back.get(name, hook)) for name, hook in backward]
        return cache, forward, backward


def _with_centred_exemplar_embedding(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    centred = {  # an image embedding has no such weights, and what it writes stays as it is
        name: state_dict[name] - state_dict[name].mean(-1, keepdim=True)
        for name in EXEMPLAR_EMBEDDING
        if name in state_dict
    }
    return {**state_dict, **centred}


def _refusal(name: str, why: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{name}: {why}; {instead}")

    refuse.__name__ = name
    refuse.__doc__ = f"Refused: {why}; {instead}."
    return refuse


for _name, (_why, _instead) in INSTEAD.items():
    _method: Any = _refusal(_name, _why, _instead)
    if _name.startswith("from_"):  # called on the class
        _method = staticmethod(_method)
    setattr(SequenceHookedTransformer, _name, _method)
