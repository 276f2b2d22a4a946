"""Thesis, Figure C.2: training with the strongest head and one other."""

from coopetition_interp.figures.induction_heads.appendix_training import pairs
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, pairs)
