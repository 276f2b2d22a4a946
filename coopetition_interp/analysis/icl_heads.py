"""Which heads of layer 0 carry in-context learning by attending to the previous token."""

from __future__ import annotations

from coopetition_interp.analysis.attention_strengths import previous_token_strength
from coopetition_interp.analysis.landmarks import LEAST_MARGIN
from coopetition_interp.evaluation import score_model
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.model import ExemplarLabelTransformer
from coopetition_interp.sequences import Sequences, summarise


def icl_heads(model: ExemplarLabelTransformer, sequences: Sequences) -> list[int]:
    """The fewest of layer 0's strongest previous-token heads without which ICL is gone.

    The paper (Appendix E.2) finds them by inspection and then by ablation: "gone" is in-context
    accuracy within `LEAST_MARGIN` of chance while they are off. Heads are added in order of their
    label tokens' attention to the previous token.

    Args:
        model: A model that learns in context, such as a run's checkpoint at Flip's peak.
        sequences: Of the ICL evaluator: two labels in context, so chance is 1/2.

    Returns:
        Heads of layer 0, the strongest previous-token head first; all of them if ICL survives
        every smaller set.
    """
    table = previous_token_strength(model, sequences)
    ranked = table[table.layer == 0].sort_values("strength", ascending=False)["head"].tolist()
    for count in range(1, len(ranked)):
        off = AblateHeads([(0, head) for head in ranked[:count]])
        metrics = summarise(score_model(model, sequences, [off]))
        if metrics["in_context_accuracy"] <= 0.5 + LEAST_MARGIN:
            return ranked[:count]
    return ranked
