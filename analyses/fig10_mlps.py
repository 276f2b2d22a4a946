"""Coopetition paper, Figure 10: blocks with MLPs."""

from coopetition_interp.figures.coopetition.emergence import mlps
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, mlps, sweep="coopetition")
