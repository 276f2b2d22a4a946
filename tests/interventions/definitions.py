"""The clamps' definitions, entry by entry, on the plain-torch reference model.

Each function gives what it sets: activation name -> function. `clamped_reference` runs a list of
them; the order in a list is the order of application.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from reference_model import reference_forward
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.sequences import Sequences

Overrides = dict[str, Callable[[Tensor], Tensor]]
Definition = Callable[[Sequences, dict[str, Tensor]], Overrides]
"""Of a batch and the activations of its first pass."""


def clamped_reference(
    weights: dict[str, Tensor],
    sequences: Sequences,
    definitions: Sequence[Definition],
    positions: str = "learned",
    first_pass: Overrides | None = None,
    detach: bool = False,
) -> Tensor:
    """The query's logits under definitions; `first_pass` overrides activations of the first."""

    def run(overrides: Overrides) -> dict[str, Tensor]:
        return reference_forward(
            weights,
            sequences.exemplars,
            sequences.context_labels,
            positions=positions,
            overrides=overrides,
        )

    first = run(first_pass or {})
    if detach:
        first = {name: value.detach() for name, value in first.items()}
    combined: Overrides = {}
    for definition in definitions:
        for name, function in definition(sequences, first).items():
            earlier = combined.get(name, lambda value: value)
            combined[name] = lambda value, f=function, g=earlier: f(g(value))
    return run(combined)["logits"][:, -1]


def previous_token(heads, strength=1.0, rows=None) -> Definition:
    def define(sequences, first):
        def pattern_of(layer):
            def override(pattern):
                pattern = pattern.clone()
                for head in [h for at, h in heads if at == layer]:
                    for i in range(pattern.shape[-1]):
                        if rows is not None and i not in rows:
                            continue
                        pattern[:, head, i] = 0
                        if i == 0:
                            pattern[:, head, i, i] = 1
                        else:
                            pattern[:, head, i, i - 1] = strength
                            pattern[:, head, i, i] = 1 - strength
                return pattern

            return override

        return {f"pattern.{layer}": pattern_of(layer) for layer in {at for at, _ in heads}}

    return define


def self_attention(heads, rows=None) -> Definition:
    def define(sequences, first):
        def pattern_of(layer):
            def override(pattern):
                pattern = pattern.clone()
                for head in [h for at, h in heads if at == layer]:
                    for i in range(pattern.shape[-1]):
                        if rows is None or i in rows:
                            pattern[:, head, i] = 0
                            pattern[:, head, i, i] = 1
                return pattern

            return override

        return {f"pattern.{layer}": pattern_of(layer) for layer in {at for at, _ in heads}}

    return define


def block_previous_token(layer, heads, rows=None) -> Definition:
    def define(sequences, first):
        def override(scores):
            scores = scores.clone()
            for head in heads:
                for i in range(1, scores.shape[-1]):
                    if rows is None or i in rows:
                        scores[:, head, i, i - 1] = -1e9
            return scores

        return {f"scores.{layer}": override}

    return define


def query_row(layer, heads, shares_of: Callable[[Sequences, int], list[float]]) -> Definition:
    """Sets the query's row to one share per pair, on its label token."""

    def define(sequences, first):
        def override(pattern):
            pattern = pattern.clone()
            for head in heads:
                pattern[:, head, -1] = 0
                for b in range(len(sequences)):
                    for pair, share in enumerate(shares_of(sequences, b)):
                        pattern[b, head, -1, 2 * pair + 1] = share
            return pattern

        return {f"pattern.{layer}": override}

    return define


def induction(layer, heads, strength=1.0) -> Definition:
    def shares(sequences, b):
        *context, answer = sequences.labels[b].tolist()
        right = context.count(answer)
        wrong = len(context) - right
        if right == 0 or wrong == 0:
            return [1 / len(context)] * len(context)
        return [strength / right if x == answer else (1 - strength) / wrong for x in context]

    return query_row(layer, heads, shares)


def match(layer, heads, temperature) -> Definition:
    def shares(sequences, b):
        *context, query = sequences.exemplars[b]
        cosines = [float(x @ query / (x.norm() * query.norm())) for x in context]
        if temperature == 0:
            return [float(i == cosines.index(max(cosines))) for i in range(len(cosines))]
        powers = [math.exp(c / temperature) for c in cosines]
        return [power / sum(powers) for power in powers]

    return query_row(layer, heads, shares)


def silence_exemplars(layer, heads) -> Definition:
    def define(sequences, first):
        def override(scores):
            scores = scores.clone()
            for head in heads:
                scores[:, head, -1, ::2] = -1e9
            return scores

        return {f"scores.{layer}": override}

    return define


def ablate(*heads: tuple[int, int]) -> Definition:
    def define(sequences, first):
        def values_of(layer):
            def override(v):
                keep = torch.ones(v.shape[2], dtype=v.dtype)
                for at, head in heads:
                    if at == layer:
                        keep[head] = 0
                return v * keep[:, None]

            return override

        return {f"v.{layer}": values_of(layer) for layer in {at for at, _ in heads}}

    return define


def ablate_embedding() -> Definition:
    return lambda sequences, first: {"embedding": lambda tokens: tokens * 0}


def temperature(layer, heads, t) -> Definition:
    def define(sequences, first):
        def override(scores):
            scores = scores.clone()
            for head in heads:
                scores[:, head] = first[f"scores.{layer}"][:, head] / t
            return scores

        return {f"scores.{layer}": override}

    return define


def copy_from(layer, head) -> Definition:
    def define(sequences, first):
        def override(logits):
            rows = []
            for b in range(len(sequences)):
                labels = sequences.context_labels[b].tolist()
                row = [torch.tensor(-1e9, dtype=logits.dtype)] * logits.shape[-1]
                for label in set(labels):
                    tokens = [2 * i + 1 for i, x in enumerate(labels) if x == label]
                    row[label] = first[f"scores.{layer}"][b, head, -1, tokens].exp().sum().log()
                rows.append(torch.stack(row))
            return torch.cat([logits[:, :-1], torch.stack(rows)[:, None]], 1)

        return {"logits": override}

    return define


def preserve(*names: str) -> Definition:
    """Of "pattern.0", "q.1" and so on; a pattern may still be overridden through its scores."""
    return lambda sequences, first: {name: lambda _, n=name: first[n] for name in names}


def perfect_layer_0_first_pass() -> Overrides:
    seen = {}

    def remember(tokens):
        seen["embeddings"] = tokens
        return tokens

    def shifted(_):
        e = seen["embeddings"]
        last = e.shape[1] - 1
        return torch.stack([e[:, i - 1] if 0 < i < last else e[:, i] for i in range(e.shape[1])], 1)

    return {"resid_pre.0": remember, "resid_pre.1": shifted}


def perfect_layer_0() -> Definition:
    """To be used with `perfect_layer_0_first_pass`."""

    def define(sequences, first):
        seen = {}

        def remember(tokens):
            seen["embeddings"] = tokens
            return tokens

        return {
            "resid_pre.0": remember,
            "resid_pre.1": lambda _: seen["embeddings"],
            "pattern.1": lambda _: first["pattern.1"],
        }

    return define
