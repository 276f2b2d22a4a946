"""Which heads of layer 0 carry in-context learning, by what is lost without them."""

from __future__ import annotations

from collections.abc import Iterable

from coopetition_interp.analysis.attention_strengths import previous_token_strength
from coopetition_interp.analysis.evaluator_curve import CHANCE
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise

LEARNS_IN_CONTEXT = 0.6
"""In-context accuracy under which there is nothing for a head to carry."""


def icl_heads(
    model: ExemplarLabelTransformer, sequences: Sequences, share_lost: float = 0.8
) -> list[int]:
    """The fewest heads of layer 0 without which most of in-context learning is lost.

    The paper (Appendix E.2) finds them by their attention patterns and then by ablation. Here the
    losses decide. Heads are ablated one after the other, each time the head whose ablation, jointly
    with those before it, costs most accuracy above chance; of equal ones the stronger
    previous-token head. That goes on until `share_lost` of it is lost. Then each head that the loss
    does not need is taken out again, the first chosen last.

    Args:
        model: A model that learns in context, such as a run's checkpoint at Flip's peak.
        sequences: Of the ICL evaluator: two labels in context, so chance is 1/2.
        share_lost: Share of the accuracy above chance that must go.

    Returns:
        Heads of layer 0, the costliest first.

    Raises:
        ValueError: The model does not learn in context, or keeps more than that share with all
            of layer 0's heads off.
    """
    strengths = previous_token_strength(model, sequences)
    ranked = strengths[strengths.layer == 0].sort_values("strength", ascending=False)["head"]
    left = [int(head) for head in ranked]

    def above_chance_without(heads: Iterable[int]) -> float:
        off = [AblateHeads([(0, head) for head in heads])] if heads else []
        return summarise(score_model(model, sequences, off))["in_context_accuracy"] - CHANCE

    intact = above_chance_without([])
    if intact <= LEARNS_IN_CONTEXT - CHANCE:
        raise ValueError(
            f"the model does not learn in context (accuracy {CHANCE + intact:.3f}), so no head "
            "carries it: take a checkpoint at Flip's peak"
        )
    enough = (1 - share_lost) * intact
    kept = above_chance_without(left)
    if kept > enough:
        raise ValueError(
            f"in-context accuracy is {CHANCE + kept:.3f} even with all heads of layer 0 off: they "
            "do not carry in-context learning"
        )
    off: list[int] = []
    while above_chance_without(off) > enough:
        without = {head: above_chance_without([*off, head]) for head in left}
        off.append(min(left, key=without.__getitem__))  # the first of equal ones
        left.remove(off[-1])
    for head in reversed(off[:]):
        others = [other for other in off if other != head]
        if above_chance_without(others) <= enough:
            off = others
    return off
