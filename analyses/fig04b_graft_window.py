"""Coopetition paper, Figure 4b: grafts from checkpoints of CIWL-only training."""

from coopetition_interp.figures.coopetition.cooperation import graft_window
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, graft_window, sweep="coopetition")
