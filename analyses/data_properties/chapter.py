"""The chapter of data properties."""

TITLE = "Data properties that drive in-context learning"
ORDER = 5
INTRODUCTION = """
A transformer reads eight exemplars, each followed by its label, and a query exemplar. Whether it
learns to look the query's label up in the context (in-context learning, ICL) or knows the classes
by heart (in-weights learning, IWL) hangs on the data: on how bursty, how varied, how many and how
skewed the classes are. The study changes one property at a time.
"""
HEADLINE_FIGURE = "fig2_2_burstiness"
KEY_FIGURES = (
    "fig2_2_burstiness",
    "fig2_3_variation",
    "fig2_5_classes",
    "fig2_6_zipf",
    "fig2_7_architectures",
)
GLOSSARY = {
    "bursty sequence": "Its query's class is three times among the eight pairs; so is one other.",
    "p(bursty)": "The share of bursty sequences in training; in the others every class is drawn "
    "independently.",
    "emerged": "In-context accuracy of 0.55 or more at the highest of a running median of 3 "
    "evaluations; chance is one half.",
    "held-out classes": "Characters that are never trained on.",
}
