"""Thesis, Figure C.5: other sets of heads clamped to the previous token."""

from coopetition_interp.figures.induction_heads.appendix_training import previous_token_clamps
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, previous_token_clamps)
