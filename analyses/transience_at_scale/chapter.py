"""The chapter of transience at scale."""

TITLE = "The transient nature of in-context learning"
ORDER = 6
INTRODUCTION = """
On data where every sequence can be answered from its context, in-context learning (ICL) emerges,
and then gives way while the training loss goes on falling. The study asks what hangs on the depth
and width of the network, on the classes, on what exemplars are, on how often classes come, and on
penalties on the weights.
"""
HEADLINE_FIGURE = "fig3_2_transience"
KEY_FIGURES = (
    "fig3_2_transience",
    "fig3_4_drawings",
    "fig3_5_sizes",
    "fig3_7_zipf",
    "fig3_8_l2",
    "fig3_9_width",
)
GLOSSARY = {
    "height": "The highest value of a running median of 3 evaluations.",
    "onset": "When a curve is first nine tenths of the way from chance to its height.",
    "fall": "The height less the mean of the last tenth of the run.",
    "slope": "Of the least-squares line from the peak to the end, per million sequences.",
    "transient": "The height is 0.55 or more, and the fall 0.05 or more; a curve that still rises "
    "at its end cannot tell.",
}
