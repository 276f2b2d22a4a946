"""The chapter of the toy models."""

TITLE = "Toy models"
ORDER = 3
INTRODUCTION = """
Vectors learned through their tensor products are enough for both studies' main findings. Three
vectors make a phase change. Two mechanisms that share vectors and compete make one of them
transient, and let the other worsen for a moment while it forms.
"""
KEY_FIGURES = ("fig4_6a_phase_change", "fig5a_coopetition", "fig16_transience")
GLOSSARY = {
    "plateau": "The error with all vectors zero. A seed has left it when its loss is under half.",
    "mechanism 1 and 2": "Stand for ICL and CIWL: the first is quicker to learn; the second is "
    "better in the end if the first has a floor mu1.",
    "divot": "A transient rise of mechanism 2's error by 1 % of its range or more.",
}
