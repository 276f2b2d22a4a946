"""The chapter of the coopetition study."""

TITLE = "Strategy coopetition"
ORDER = 1
INTRODUCTION = """
A two-layer attention-only transformer reads two exemplars, each followed by its label, and then a
query exemplar, whose label it has to give. In-context learning (ICL) looks the query's label up in
the context; context-constrained in-weights learning (CIWL) knows the class, and picks its label out
of those in context. The study shows that the two share layer 1, compete, and yet help each other.
"""
HEADLINE_FIGURE = "fig01b_transience"
KEY_FIGURES = (
    "fig01b_transience",
    "fig02a_fig12_attention",
    "fig03_weight_swaps",
    "fig04b_graft_window",
    "fig04c_resumed",
    "fig06_matched",
    "fig13_one_layer",
    "fig18a_previous_token_blocked",
)
GLOSSARY = {
    "ICL": "In-context learning: the label is copied from the context. Its evaluator gives the "
    "two classes the labels 0 and 1 at random, so that only the context tells which is right.",
    "IWL": "In-weights learning: the label is known from training. Its evaluator has the right "
    "label nowhere in context.",
    "CIWL": "Context-constrained in-weights learning: the label is known from training, but must "
    "also be in context. Its evaluator has the right label in context, beside an exemplar of "
    "another class.",
    "Flip": "An evaluator on which ICL and CIWL disagree: the labels in context are swapped. Its "
    "score is 1 where the network follows the context and 0 where it follows its weights.",
    "bursty data": "Training sequences whose query class is also in context.",
    "in-context accuracy": "The share of sequences whose right label is the more probable of the "
    "labels in context; chance is one half.",
    "rise": "ICL is first at 0.65 and stays there for three evaluations.",
    "peak": "Flip is at its highest after the rise.",
    "crossing": "Flip falls through 0.5 after the peak, for three evaluations.",
    "end": "Three times the crossing.",
}
