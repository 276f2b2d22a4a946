"""Coopetition paper, Figure 18a: no previous-token attention, and CIWL all the same."""

from coopetition_interp.figures.coopetition.competition import blocked
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, blocked, sweep="coopetition")
