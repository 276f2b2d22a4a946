"""Which heads of layer 0 carry in-context learning by attending to the previous token."""

from __future__ import annotations

import math

from coopetition_interp.analysis.attention_strengths import previous_token_strength
from coopetition_interp.analysis.landmarks import LEAST_MARGIN, STANDARD_ERRORS
from coopetition_interp.evaluation import score_model
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.model import ExemplarLabelTransformer
from coopetition_interp.sequences import Sequences, summarise

CHANCE = 0.5


def icl_heads(model: ExemplarLabelTransformer, sequences: Sequences) -> list[int]:
    """The fewest of layer 0's strongest previous-token heads without which ICL is gone.

    The paper (Appendix E.2) finds them by inspection and then by ablation. Here heads are switched
    off one after the other, in order of their label tokens' attention to the previous token, until
    in-context accuracy is at chance: within `LEAST_MARGIN` of 1/2, or within `STANDARD_ERRORS` of
    the accuracy where that is more, as in `landmarks`.

    Args:
        model: A model that learns in context, such as a run's checkpoint at Flip's peak.
        sequences: Of the ICL evaluator: two labels in context, so chance is 1/2.

    Returns:
        Heads of layer 0, the strongest previous-token head first.

    Raises:
        ValueError: The model does not learn in context, or still does with all of layer 0's heads
            off.
    """
    table = previous_token_strength(model, sequences)
    ranked = table[table.layer == 0].sort_values("strength", ascending=False)["head"].tolist()
    margin = max(LEAST_MARGIN, STANDARD_ERRORS * math.sqrt(0.25 / len(sequences)))

    def accuracy_without(heads: list[int]) -> float:
        off = [AblateHeads([(0, head) for head in heads])] if heads else []
        return summarise(score_model(model, sequences, off))["in_context_accuracy"]

    accuracy = accuracy_without([])
    if accuracy <= CHANCE + margin:
        raise ValueError(
            f"the model does not learn in context (accuracy {accuracy:.3f}), so no head carries "
            "it: take a checkpoint at Flip's peak"
        )
    for count in range(1, len(ranked) + 1):
        accuracy = accuracy_without(ranked[:count])
        if abs(accuracy - CHANCE) <= margin:
            return ranked[:count]
    raise ValueError(
        f"in-context accuracy is {accuracy:.3f} even with all heads of layer 0 off: they do not "
        "carry in-context learning"
    )
