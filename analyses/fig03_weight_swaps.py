"""Coopetition paper, Figure 3: induction strength, and one half of the network fixed."""

from coopetition_interp.figures.coopetition.layers import weight_swaps
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, weight_swaps, sweep="coopetition")
