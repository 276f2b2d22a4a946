"""Lengths of the runs of chapter 3, and what they sweep, by scale."""

from __future__ import annotations

from dataclasses import dataclass

SEEDS = (5, 6, 7)
M = 1_000_000


@dataclass(frozen=True)
class Scale:
    """Lengths (in sequences seen) and what is swept.

    Attributes:
        default: Length of the default run.
        others: Of those compared with it.
        on_tokens: Of the runs on tokens.
        on_widths: Of the runs on width.
        depths: Layers, the default's among them.
        drawings: Drawings of each class, the default's among them.
        transforms: (classes, drawings) where all transforms of a character make one class.
        exponents: Of Zipf laws; 0 is the run of many classes.
        weights: Of the L2 penalty.
        widths: Of the residual stream, the default's among them.
        tokens: (classes, exemplars) of the files of token clusters.
        language_models: Whose embeddings these are of, if they are of several.
        heads_grow: Whether a head grows with the width, all heads together being as wide as the
            residual stream.
        seeds: Initial seeds.
    """

    default: int
    others: int
    on_tokens: int
    on_widths: int
    depths: tuple[int, ...]
    drawings: tuple[int, ...]
    transforms: tuple[int, int]
    exponents: tuple[float, ...]
    weights: tuple[float, ...]
    widths: tuple[int, ...]
    tokens: tuple[tuple[int, int], ...]
    language_models: tuple[str, ...] = ()
    heads_grow: bool = False
    seeds: tuple[int, ...] = SEEDS


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        default=8_000,
        others=4_000,
        on_tokens=4_000,
        on_widths=4_000,
        depths=(2, 3),
        drawings=(3, 5),
        transforms=(40, 5),
        exponents=(0.0, 1.0, 2.0),
        weights=(1e-4, 1e-2),
        widths=(16, 32),
        tokens=(),
    ),
    "laptop": Scale(
        default=5 * M,
        others=2 * M,
        on_tokens=1 * M,
        on_widths=1 * M,
        depths=(2, 3, 4),
        drawings=(5, 10, 20),
        transforms=(1_600, 160),
        exponents=(0.0, 1.0, 2.0),
        weights=(1e-4, 1e-3, 1e-2, 1e-1),
        widths=(32, 64, 128),
        tokens=((2_800, 5), (1_400, 10)),
    ),
    "published": Scale(
        default=1_600 * M,
        others=1_600 * M,
        on_tokens=64 * M,
        on_widths=1_600 * M,
        depths=(6, 12, 18),
        drawings=(10, 15, 20),
        transforms=(1_600, 160),
        exponents=(0.0, 1.0, 2.0),
        weights=(1e-5, 1e-4, 1e-3, 1e-2),
        widths=(32, 64, 128),
        tokens=((3_200, 5), (1_600, 10)),
        language_models=("llama-7b", "llama-13b", "llama-30b", "llama-65b"),
        heads_grow=True,
    ),
}
