"""Thesis, Table C.1: heads alone on the strongest head's mistakes."""

from coopetition_interp.figures.induction_heads.appendix_circuits import residual_heads
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, residual_heads)
