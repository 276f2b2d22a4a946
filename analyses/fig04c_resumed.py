"""Coopetition paper, Figure 4c: bursty data from checkpoints of CIWL-only training."""

from coopetition_interp.figures.coopetition.cooperation import resumed
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, resumed, sweep="coopetition")
