"""Thesis, Figure C.6: strength of heads against what they do alone, over seeds."""

from coopetition_interp.figures.induction_heads.appendix_training import seeds
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, seeds)
