"""Attention of one sequence, by circuitsvis."""

from __future__ import annotations

from collections.abc import Iterable

import torch

try:
    from circuitsvis.attention import attention_heads
    from circuitsvis.utils.render import RenderedHTML
except ImportError as error:
    raise ImportError(
        "attention is drawn by circuitsvis: pip install 'coopetition-interp[notebooks]'"
    ) from error

from coopetition_interp.analysis.attention_patterns import pair_names
from coopetition_interp.interventions import BoundClamps, Clamp, run_clamped_with_cache
from coopetition_interp.interventions.heads import check_layer
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import PairRole, Sequences


def sequence_attention(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    index: int,
    layer: int,
    clamps: Iterable[Clamp] | BoundClamps = (),
) -> RenderedHTML:
    """Attention patterns of all heads of a layer on one sequence, as a widget for notebooks.

    Made the last expression of a cell, it is shown; without a network too. Exemplars of the query's
    class and labels that are right are marked so.

    Args:
        model: The model.
        sequences: Sequences.
        index: Which of them, from 0.
        layer: Which block, from 0.
        clamps: Clamps to hold.

    Raises:
        ValueError: There is no such sequence or block, or the sequences or clamps do not fit the
            model.
    """
    if not 0 <= index < len(sequences):
        raise ValueError(
            f"there is no sequence {index}: there are {len(sequences)}, counted from 0"
        )
    check_layer(layer, model.cfg, "attention of a sequence")
    sequence = sequences[index : index + 1].to(model.W_E.device)
    name = f"blocks.{layer}.attn.hook_pattern"
    with torch.no_grad():
        _, cache = run_clamped_with_cache(model, sequence, clamps, name)
    return attention_heads(
        cache[name][0].cpu(),  # [head, attending token, attended token]
        # circuitsvis drops the spaces in tokens.
        [token.replace(" ", "_") for token in sequence_tokens(sequence)],
        [f"layer {layer} head {head}" for head in range(model.cfg.n_heads)],
        max_value=1.0,
        min_value=0.0,
    )


def sequence_tokens(sequence: Sequences) -> list[str]:
    """Names of the tokens of a single sequence, with what they are to its query.

    "exemplar A (match)", "label A (right)", "exemplar B", "label B", ..., "query".
    """
    tokens = []
    right = sequence.carries_right_label[0].tolist()
    roles = sequence.roles[0].tolist()
    for pair, name in enumerate(pair_names(sequence.n_pairs)):
        matches = roles[pair] == PairRole.MATCH
        tokens.append(f"exemplar {name}{' (match)' if matches else ''}")
        tokens.append(f"label {name}{' (right)' if right[pair] else ''}")
    return [*tokens, "query"]
