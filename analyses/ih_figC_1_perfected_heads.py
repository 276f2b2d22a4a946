"""Thesis, Figure C.1: heads alone with a perfect match, and the labels they miscopy."""

from coopetition_interp.figures.induction_heads.appendix_circuits import perfected
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, perfected)
