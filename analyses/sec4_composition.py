"""Coopetition paper, sections 4.1 and 4.2: which paths from layer 0 matter."""

from coopetition_interp.figures.coopetition.layers import composition
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, composition, sweep="coopetition")
