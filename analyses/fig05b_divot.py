"""Coopetition paper, Figure 5b: losses over training, and the divot of CIWL."""

from coopetition_interp.figures.coopetition.competition import divot
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, divot, sweep="coopetition")
