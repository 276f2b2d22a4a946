"""Thesis, Figure C.4: training with layer 0 fixed to that of trained networks."""

from coopetition_interp.figures.induction_heads.appendix_training import grafts
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, grafts)
