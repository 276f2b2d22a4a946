"""The chapter of the Gaussian bank."""

TITLE = "A warning: a bank that is too easy"
ORDER = 4
INTRODUCTION = """
An earlier version of the coopetition study was run on Gaussian classes instead of real characters.
In-context learning came and went there too, but for another reason, which this chapter shows.
"""
