"""Clamps that cannot hold together.

Each clamp claims what it alone may set (`Claim`); two claims on the same thing contradict. What is
not claimed may be touched by several clamps, in this order at each hook point: `Preserve` and
`PerfectLayer0`, then `HeadTemperature`, then all others in the order of the list, so that a later
clamp overrides an earlier one. Across hook points the model's own order decides: a clamp on a
pattern overrides clamps on the scores it comes from, and an ablated head writes nothing, whatever
its pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.claims import Claim
from coopetition_interp.interventions.clamp import Clamp
from coopetition_interp.interventions.fields import shown


def check_contradictions(clamps: Sequence[Clamp], cfg: HookedTransformerConfig) -> None:
    """Refuses a list in which two clamps set the same thing.

    Raises:
        TypeError: If a clamp claims anything but a `Claim`.
        ValueError: Naming both, and what they both set.
    """
    earlier: dict[str, list[tuple[Claim, Clamp]]] = {}
    for clamp in clamps:
        claims = sorted(_claims(clamp, cfg), key=str)
        for claim in claims:
            for theirs, owner in earlier.get(claim.what, ()):
                if claim.overlaps(theirs):
                    both = claim if claim.head is not None else theirs
                    raise ValueError(
                        f"{shown(owner)} and {shown(clamp)} contradict each other: both set "
                        f"{both}; keep one of them"
                    )
        for claim in claims:
            earlier.setdefault(claim.what, []).append((claim, clamp))


def _claims(clamp: Clamp, cfg: HookedTransformerConfig) -> set[Claim]:
    claims = clamp.claims(cfg)
    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(
                f"{shown(clamp)}: claims() gives Claim(what, layer, head); got {shown(claim)}"
            )
    return set(claims)
