"""Thesis, Figure 4.6a: the toy phase change with nothing, c, or b and c clamped."""

from coopetition_interp.figures.toy_script import run_toy_script

if __name__ == "__main__":
    run_toy_script(__doc__, __file__)
