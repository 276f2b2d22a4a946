"""Composition of heads read off weights alone (thesis C.3)."""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformer

COMPOSITIONS = ("Q", "K", "V")


@torch.no_grad()
def composition_scores(model: HookedTransformer) -> pd.DataFrame:
    """Composition score of every head with every head of a later layer.

    The thesis's score: |W_O W_X| / (|W_O| |W_X|), in Frobenius norms, where W_O is the earlier
    head's output and W_X the later head's query, key or value matrix. `all_composition_scores` of
    TransformerLens instead compares whole OV and QK circuits. Between unrelated heads the score
    is about 1 / sqrt(d_model), not 0.

    Args:
        model: A model; weights of LayerNorms are not folded in.

    Returns:
        Columns `composition` ("Q", "K" or "V"), `from_layer`, `from_head`, `to_layer`, `to_head`,
        `score` (0 to 1).
    """
    rows = []
    for composition in COMPOSITIONS:
        reads = getattr(model, f"W_{composition}")
        for from_layer in range(model.cfg.n_layers):
            for to_layer in range(from_layer + 1, model.cfg.n_layers):
                scores = _scores(model.W_O[from_layer], reads[to_layer])
                rows += [
                    {
                        "composition": composition,
                        "from_layer": from_layer,
                        "from_head": from_head,
                        "to_layer": to_layer,
                        "to_head": to_head,
                        "score": score,
                    }
                    for from_head, of_head in enumerate(scores.tolist())
                    for to_head, score in enumerate(of_head)
                ]
    columns = ["composition", "from_layer", "from_head", "to_layer", "to_head", "score"]
    return pd.DataFrame(rows, columns=columns)


def _scores(
    writes: Float[Tensor, "from_heads d_head d_model"],
    reads: Float[Tensor, "to_heads d_model d_head"],
) -> Float[Tensor, "from_heads to_heads"]:
    products = torch.einsum("ihm,jmk->ijhk", writes, reads)
    norms = torch.outer(writes.norm(dim=(1, 2)), reads.norm(dim=(1, 2)))
    return products.norm(dim=(2, 3)) / norms
