"""Thesis, Table C.2: heads with a perfect match on the strongest's mistakes of copying."""

from coopetition_interp.figures.induction_heads.appendix_circuits import residual_copies
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, residual_copies)
