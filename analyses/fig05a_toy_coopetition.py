"""Coopetition paper, Figure 5a: one seed of the toy model, its transience and its divot."""

from coopetition_interp.figures.toy_script import run_toy_script

if __name__ == "__main__":
    run_toy_script(__doc__, __file__)
