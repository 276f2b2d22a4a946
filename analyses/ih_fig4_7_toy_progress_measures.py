"""Thesis, Figure 4.7: the clamp shows a smooth exponential, progress measures a phase change."""

from coopetition_interp.figures.toy_script import run_toy_script

if __name__ == "__main__":
    run_toy_script(__doc__, __file__)
