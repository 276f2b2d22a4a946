"""Coopetition paper, Figure 17: the toy model without a floor under mechanism 1, over seeds."""

from coopetition_interp.figures.toy_script import run_toy_script

if __name__ == "__main__":
    run_toy_script(__doc__, __file__)
