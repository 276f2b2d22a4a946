"""Clamps that cannot hold together.

Each clamp claims, in words, what it alone may set; two claims on the same thing contradict. What is
not claimed may be touched by several clamps, in this order at each hook point: `Preserve` and
`PerfectLayer0`, then `HeadTemperature`, then all others in the order of the list, so that a later
clamp overrides an earlier one. Across hook points the model's own order decides: a clamp on a
pattern overrides clamps on the scores it comes from, and an ablated head writes nothing, whatever
its pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.clamp import Clamp


def check_contradictions(clamps: Sequence[Clamp], cfg: HookedTransformerConfig) -> None:
    """Refuses a list in which two clamps set the same thing.

    Raises:
        ValueError: Naming both, and what they both set.
    """
    owners: dict[str, Clamp] = {}
    for clamp in clamps:
        for claim in sorted(clamp.claims(cfg)):
            if claim in owners:
                raise ValueError(
                    f"{owners[claim]} and {clamp} contradict each other: both set {claim}; "
                    "keep one of them"
                )
            owners[claim] = clamp
