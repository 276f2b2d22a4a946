"""The chapter of the induction-head study."""

TITLE = "What needs to go right for an induction head"
ORDER = 2
INTRODUCTION = """
A two-layer attention-only transformer learns to copy the label of the one exemplar in context that
matches the query. The loss stands still until induction heads form, all at once. The study clamps
parts of the circuit while it is trained, and so tells apart three parts that are each learned
smoothly, and whose interaction makes the phase change.
"""
HEADLINE_FIGURE = "fig4_3_emergence"
KEY_FIGURES = (
    "fig4_3_emergence",
    "fig4_5_heads",
    "fig4_6b_clamps",
    "fig4_9_data_scaling",
    "figC_3_connectivity",
    "figC_6_seeds",
)
GLOSSARY = {
    "induction strength": "A head's attention from the query to the right label, less that to the "
    "other one.",
    "previous-token head": "A head of layer 0 that gives half or more of label tokens' attention "
    "to the token before.",
    "match and copy": "What an induction head does: it finds the label that follows the matching "
    "exemplar (steps 1, 2, 3qk and 4 of the circuit), and writes it to the output (3v and 5).",
    "clamped": "Held at a perfect value while the rest is trained.",
    "phase change": "A convexity gap of 0.15 or more: how far a curve stands above its lower "
    "convex hull, as a share of what is left to fall. An exponential has none. It is taken of the "
    "probability, of the two labels in context, that is not given to the right one.",
    "log 2": "The loss of guessing between the two labels in context.",
}
